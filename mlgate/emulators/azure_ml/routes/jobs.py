"""Jobs: PUT, GET, list and cancel.

No recording shows a cancel or a list; `routes` describes what was decided instead.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from mlgate.emulators.azure_ml.bodies import JOB
from mlgate.emulators.azure_ml.exchange import REGION, Answer, Refusal
from mlgate.emulators.azure_ml.jobs import UPDATABLE, Job
from mlgate.emulators.azure_ml.mounts import code_of, unbound
from mlgate.emulators.azure_ml.records import job as record
from mlgate.emulators.azure_ml.routing import ARM, WORKSPACE, Call, route
from mlgate.emulators.azure_ml.tokens import AML
from mlgate.emulators.azure_ml.workspace import PROVIDER

_JOB = f"{WORKSPACE}/jobs/{{name}}"
_OPERATION = f"/subscriptions/{{subscription}}/providers/{PROVIDER}/locations/{REGION}"
_ENVIRONMENT_ID = re.compile(r"/environments/([^/]+)/versions/([^/]+)")
_VIEWS = {"ActiveOnly": (False,), "ArchivedOnly": (True,), "All": (False, True)}


def put_job(call: Call) -> Answer:
    """201 for a new job; 200 if the immutable part is the same, and nothing runs again."""
    name, spec = call.groups["name"], call.body["properties"]
    there = call.workspace.jobs.get(name)
    if there is not None:
        return _put_again(call, there, spec)
    job = Job(name, spec, call.now, call.workspace.submitted)
    _require_limits(spec)
    _require_compute(call, spec.get("computeId"))
    _require_user(call, spec.get("identity") or {})
    _require_parts(call, job)
    call.workspace.jobs[name] = job
    call.workspace.submitted += 1
    answer = record(call.workspace, job, answers_put=True)
    call.service.compute.submit(job)
    return Answer(201, answer, {"Location": f"https://{ARM}{call.request.target}"})


def _put_again(call: Call, there: Job, spec: dict[str, Any]) -> Answer:
    if Job(there.name, spec, call.now, 0).immutable != there.immutable:
        raise Refusal(
            400,
            "UserError",
            "A job with this name already exists. If you are trying to create a new job, use a "
            "different name. If you are trying to update an existing job, the existing job's "
            "properties cannot be changed. Only description, tags, displayName, properties, and "
            "isArchived can be updated.",
            inner=("ImmutablePropertyChanged",),
        )
    there.spec |= {field: spec[field] for field in UPDATABLE if field in spec}
    return Answer(200, record(call.workspace, there, answers_put=True))


def _require_compute(call: Call, compute: str | None) -> None:
    """test_command_job...test_ray_command_job; a job without compute is serverless."""
    if compute is None:
        return
    prefix, _, name = compute.rpartition("/")
    if prefix != f"{call.workspace.path}/computes" or name not in call.workspace.computes:
        raise Refusal(
            400,
            "UserError",
            f"Unknown compute target '{name}'.",
            inner=("BadArgument", "UnknownTargetType"),
        )


def _require_user(call: Call, identity: dict[str, Any]) -> None:
    """Require the token of the user whose identity the job uses; the SDK sends it in a header."""
    if identity.get("identityType") != "UserIdentity":
        return
    token = {"authorization": f"Bearer {call.request.headers.get('x-azureml-token', '')}"}
    if refused := call.service.tokens.refusal(token, AML):
        call.violation(f"x-azureml-token: {refused[0]}")
        raise Refusal(401, *refused)


def _require_limits(spec: dict[str, Any]) -> None:
    """MicrosoftDocs/azure-ai-docs, resource-limits-capacity.md; the message is ours."""
    for kind in ("tags", "properties"):
        given = spec.get(kind) or {}
        if len(given) > 50:
            raise Refusal(400, "UserError", f"The run has {len(given)} {kind}, more than 50.")
        for name, value in given.items():
            if len(name) > 100 or len(value) > 1000:
                message = f"The key or value of {name[:100]!r} in {kind} is too long."
                raise Refusal(400, "UserError", message)


def _require_parts(call: Call, job: Job) -> None:
    code = job.spec.get("codeId")
    if code is not None and code_of(call.workspace, code) is None:
        raise Refusal(400, "UserError", f"The code '{code}' was not found.")
    environment = str(job.spec["environmentId"])
    found = _ENVIRONMENT_ID.fullmatch(environment.removeprefix(call.workspace.path))
    if found is not None and found.groups() not in call.workspace.environments:
        raise Refusal(400, "UserError", f"The environment '{environment}' was not found.")
    missing = unbound(job)
    if missing:
        names = ", ".join(missing)
        raise Refusal(400, "UserError", f"The command uses {names}, which the job does not have.")


def get_job(call: Call) -> Answer:
    return Answer(body=record(call.workspace, _job(call), answers_put=False))


def list_jobs(call: Call) -> Answer:
    """Newest first, `page_size` at a time."""
    query = call.request.query
    archived = _VIEWS.get(query.get("listViewType", "ActiveOnly"))
    if archived is None or query.get("jobType", "Command") != "Command":
        call.violation(f"listViewType or jobType is not known: {dict(query)}")
        raise Refusal(400, "UserError", "The query is not valid.")
    skipped = int(query.get("$skip", "0"))
    found = [
        job
        for job in reversed(call.workspace.jobs.values())
        if bool(job.spec.get("isArchived")) in archived
        and ("tag" not in query or query["tag"] in (job.spec.get("tags") or {}))
        and _has_properties(job, query.get("properties", ""))
    ]
    end = skipped + call.workspace.page_size
    page: dict[str, Any] = {
        "value": [record(call.workspace, job, answers_put=False) for job in found[skipped:end]]
    }
    if end < len(found):
        onward = urlencode({**query, "$skip": end})
        address = f"https://{ARM}{call.request.path}?{onward}"
        page["nextLink"] = call.workspace.onward(address)
    return Answer(body=page)


def _has_properties(job: Job, asked: str) -> bool:
    """`asked` is "p1,p2=v2"."""
    there = job.spec.get("properties") or {}
    for part in filter(None, asked.split(",")):
        name, equals, value = part.partition("=")
        if name not in there or (equals and there[name] != value):
            return False
    return True


def cancel_job(call: Call) -> Answer:
    job = _job(call)
    if job.over:
        return Answer(200)
    call.service.compute.cancel(job)
    operation = f"jc:{call.workspace.id}:{uuid4()}"
    call.workspace.canceled[operation] = job.name
    place = _OPERATION.replace("{subscription}", call.workspace.subscription_id)
    version = call.request.query["api-version"]
    url = f"https://{ARM}{place}/mfeOperationResults/{operation}?api-version={version}"
    return Answer(202, None, {"Location": url, "Retry-After": "1"})


def cancel_result(call: Call) -> Answer:
    """202 until the job is over."""
    name = call.workspace.canceled.get(call.groups["operation"])
    if name is None:
        raise Refusal(404, "UserError", "There is no such operation.")
    job = call.workspace.jobs.get(name)
    if job is None or job.over:
        return Answer(200)
    return Answer(
        202, None, {"Location": f"https://{ARM}{call.request.target}", "Retry-After": "1"}
    )


def _job(call: Call) -> Job:
    job = call.workspace.jobs.get(call.groups["name"])
    if job is None:
        raise Refusal(404, "UserError", f"Job {call.groups['name']} was not found.")
    return job


_RECORDED = "test_command_job...test_command_job_serverless"
ROUTES = (
    route("jobs.put", f"PUT {_JOB}", ("2025-01-01-preview",), _RECORDED, put_job, shape=JOB),
    route("jobs.get", f"GET {_JOB}", ("2024-01-01-preview",), _RECORDED, get_job),
    route(
        "jobs.list",
        f"GET {WORKSPACE}/jobs",
        ("2024-01-01-preview",),
        "SDK",
        list_jobs,
        query=("listViewType", "tag", "jobType", "properties", "$skip"),
    ),
    route("jobs.cancel", f"POST {_JOB}/cancel", ("2023-04-01-preview",), "SDK", cancel_job),
    route(
        "jobs.canceled",
        f"GET {_OPERATION}/mfeOperationResults/{{operation}}",
        ("2023-04-01-preview",),
        "SDK",
        cancel_result,
    ),
)
