"""Run history: details of runs that the job itself does not show."""

from __future__ import annotations

import re
from typing import Any

from mlgate.emulators.azure_ml.bodies import RESOLVED_URIS, RUN_DATA
from mlgate.emulators.azure_ml.exchange import REGION, Answer, Refusal
from mlgate.emulators.azure_ml.jobs import Job, RunError
from mlgate.emulators.azure_ml.mounts import output_uri
from mlgate.emulators.azure_ml.routing import API, WORKSPACE, Call, route
from mlgate.emulators.azure_ml.workspace import PROVIDER

_HISTORY = f"/history/v1.0{WORKSPACE}"
_ASSET = re.compile(r"azureml://.*/data/azureml_(?P<job>.+)_output_data_(?P<output>\w+)/versions/1")


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
    """No recording: the fields are those of the SDK's own model."""
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
        "outputs": _outputs(call, job) if job.status == "Completed" else None,
    }


def _error(error: RunError) -> dict[str, Any]:
    """Of a command's run: test_pipeline_job...LongRunning...child_run_download."""
    return {
        "error": {
            "code": error.code,
            "severity": None,
            "message": error.message,
            "messageFormat": None,
            "messageParameters": {},
            "referenceCode": None,
            "detailsUri": None,
            "target": None,
            "details": [],
            "innerError": None,
            "debugInfo": None,
            "additionalInfo": None,
        },
        "correlation": None,
        "environment": None,
        "location": None,
        "time": "0001-01-01T00:00:00+00:00",
        "componentName": "CommonRuntime",
    }


def resolve_uris(call: Call) -> Answer:
    """The locations of data assets; here only outputs of jobs are data assets."""
    found = {}
    for asset in call.body["values"]:
        match = _ASSET.fullmatch(asset)
        job = call.workspace.jobs.get(match["job"]) if match else None
        if match is not None and job is not None:
            place = output_uri(job, match["output"]).removeprefix("azureml://")
            scope = call.workspace.path.replace(f"providers/{PROVIDER}/", "").removeprefix("/")
            found[asset] = {"uri": f"azureml://{scope}/{place}", "type": "UriFolder"}
    return Answer(body={"values": found})


def _outputs(call: Call, job: Job) -> dict[str, Any]:
    """The data assets that the service creates for the named outputs."""
    data = f"azureml://locations/{REGION}/workspaces/{call.workspace.id}/data"
    return {
        name: {
            "assetId": f"{data}/azureml_{job.name}_output_data_{name}/versions/1",
            "type": given["jobOutputType"],
        }
        for name, given in (job.spec.get("outputs") or {}).items()
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
    route(
        "data.uris",
        f"POST /data/v1.0{WORKSPACE}/dataversion/batchGetResolvedUris",
        ("1.5.0",),
        "SDK",
        resolve_uris,
        shape=RESOLVED_URIS,
        host=API,
    ),
)
