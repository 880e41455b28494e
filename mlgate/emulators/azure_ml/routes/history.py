"""Run history: how a run went, which the job itself does not tell."""

from __future__ import annotations

from typing import Any

from mlgate.emulators.azure_ml.bodies import RUN_DATA
from mlgate.emulators.azure_ml.exchange import REGION, Answer, Refusal
from mlgate.emulators.azure_ml.jobs import Job, RunError
from mlgate.emulators.azure_ml.routing import API, WORKSPACE, Call, route

_HISTORY = f"/history/v1.0{WORKSPACE}"


def run_data(call: Call) -> Answer:
    """test_pipeline_job...LongRunning...test_pipeline_job_download, of a command job."""
    job = _run(call, call.body["runId"])
    return Answer(
        body={
            "runMetadata": _metadata(call, job),
            "runDefinition": None,
            "jobSpecification": None,
            "systemSettings": None,
        }
    )


def run_details(call: Call) -> Answer:
    """No recording: the members of the SDK's own model of the answer."""
    job = _run(call, call.groups["name"])
    artifacts = call.workspace.artifacts(job)
    return Answer(
        body={
            "runId": job.name,
            "runUuid": _metadata(call, job)["runUuid"],
            "rootRunId": job.name,
            "target": _target(job),
            "status": job.status,
            "createdUtc": job.created.isoformat(),
            "startTimeUtc": job.started.isoformat() if job.started else None,
            "endTimeUtc": job.ended.isoformat() if job.ended else None,
            "error": _error(job.error) if job.error else None,
            "warnings": None,
            "tags": job.spec.get("tags") or {},
            "properties": job.spec.get("properties") or {},
            "parameters": {},
            "services": {},
            "inputDatasets": [],
            "outputDatasets": [],
            "runDefinition": None,
            "logFiles": {log: call.service.storage.read_url(artifacts / log) for log in job.logs},
            "revision": 1,
            "settings": {},
        }
    )


def _metadata(call: Call, job: Job) -> dict[str, Any]:
    started = job.started.isoformat() if job.started else None
    ended = job.ended.isoformat() if job.ended else None
    return {
        "runNumber": job.number + 1,
        "rootRunId": job.name,
        "createdUtc": job.created.isoformat(),
        "userId": call.workspace.principal.client_id,
        "token": None,
        "tokenExpiryTimeUtc": None,
        "error": _error(job.error) if job.error else None,
        "warnings": None,
        "revision": 1,
        "runUuid": f"{job.number:032x}",
        "parentRunUuid": None,
        "rootRunUuid": f"{job.number:032x}",
        "cancelationReason": job.cancelation_reason,
        "currentAttemptId": 1,
        "runId": job.name,
        "parentRunId": None,
        "status": job.status,
        "startTimeUtc": started,
        "endTimeUtc": ended,
        "displayName": job.spec.get("displayName") or job.name,
        "name": None,
        "dataContainerId": job.data_container,
        "description": job.spec.get("description"),
        "hidden": bool(job.spec.get("isArchived")),
        "runType": "azureml.scriptrun",
        "properties": job.spec.get("properties") or {},
        "parameters": {},
        "scriptName": None,
        "target": _target(job),
        "tags": job.spec.get("tags") or {},
        "settings": {},
        "services": {},
        "inputDatasets": [],
        "outputDatasets": [],
        "runDefinition": None,
        "jobSpecification": None,
        "inputs": {},
        "outputs": None,
    }


def _error(error: RunError) -> dict[str, Any]:
    return {
        "error": {
            "code": error.code,
            "severity": None,
            "message": error.message,
            "messageFormat": error.message_format,
            "messageParameters": {},
            "referenceCode": error.reference,
            "detailsUri": None,
            "target": None,
            "details": [],
            "innerError": None,
            "debugInfo": None,
            "additionalInfo": None,
        },
        "correlation": None,
        "environment": REGION,
        "location": REGION,
        "time": error.time.isoformat(),
        "componentName": "",
    }


def _target(job: Job) -> str | None:
    compute = job.spec.get("computeId")
    return compute.rpartition("/")[2] if compute else None


def _run(call: Call, name: str) -> Job:
    job = call.workspace.jobs.get(name)
    if job is None:
        raise Refusal(404, "UserError", f"Run {name} was not found.")
    return job


ROUTES = (
    route(
        "history.rundata",
        f"POST {_HISTORY}/rundata",
        ("v1.0",),
        "test_pipeline_job...LongRunning...test_pipeline_job_download",
        run_data,
        shape=RUN_DATA,
        host=API,
    ),
    route(
        "history.details",
        f"GET {_HISTORY}/runs/{{name}}/details",
        ("v1.0",),
        "SDK",
        run_details,
        host=API,
    ),
)
