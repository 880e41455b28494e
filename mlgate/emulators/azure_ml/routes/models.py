"""Registered models: their versions, and the jobs that made them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from mlgate.emulators.azure_ml.bodies import MODEL_VERSION
from mlgate.emulators.azure_ml.exchange import Answer, Detail, Refusal
from mlgate.emulators.azure_ml.mounts import output_uri
from mlgate.emulators.azure_ml.records import asset
from mlgate.emulators.azure_ml.routing import ARM, WORKSPACE, Call, route
from mlgate.emulators.azure_ml.workspace import PROVIDER, Asset

_VERSIONS = f"{WORKSPACE}/models/{{name}}/versions"
_MODEL = f"{_VERSIONS}/{{version}}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_JOB = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)(?:/paths/(.*))?")
_TYPES = ("custom_model", "mlflow_model", "triton_model")
_VIEWS = {"ActiveOnly": (False,), "ArchivedOnly": (True,), "All": (False, True)}
_NEWEST = "createdtime desc"


def put_model(call: Call) -> Answer:
    """201, or 200 for an existing version, of which only some fields can be changed."""
    name, version = call.groups["name"], call.groups["version"]
    asked = call.body["properties"]
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version):
        raise Refusal(400, "UserError", f"The model name or version '{name}:{version}' is invalid.")
    if asked["modelType"] not in _TYPES:
        raise Refusal(400, "UserError", f"The model type '{asked['modelType']}' is not supported.")
    there = call.workspace.models.get((name, version))
    uri, job = (asked["modelUri"], None) if there else _resolved(call, asked["modelUri"])
    if there is not None:
        job = there.properties["jobName"]
        same = uri == there.asked or _long(call, uri) == there.properties["modelUri"]
        same = same and asked.get("jobName") in (None, job)
        if not same or asked["modelType"] != there.properties["modelType"]:
            raise Refusal(
                400,
                "UserError",
                f"The asset path of {name}:{version} cannot be changed. Only its description, "
                "tags and isArchived can be updated.",
            )
        uri = there.properties["modelUri"]
    archived = bool(asked.get("isArchived"))
    properties = {
        "description": asked.get("description"),
        "tags": asked.get("tags") or {},
        "properties": asked.get("properties") or {},
        "isArchived": archived,
        "isAnonymous": bool(asked.get("isAnonymous")),
        "autoDeleteSetting": None,
        "flavors": asked.get("flavors") or {},
        "modelType": asked["modelType"],
        "modelUri": uri,
        "jobName": job,
        "provisioningState": "Succeeded",
        "stage": "Archived" if archived else "Development",
        "intellectualProperty": None,
    }
    if there is None:
        made = Asset(name, version, properties, call.now, asked=asked["modelUri"])
        call.workspace.models[name, version] = made
        where = {"Location": f"https://{ARM}{call.request.target}"}
        return Answer(201, asset(call.workspace, "models", made), where)
    there.properties = properties
    return Answer(200, asset(call.workspace, "models", there))


def get_model(call: Call) -> Answer:
    name, version = call.groups["name"], call.groups["version"]
    model = call.workspace.models.get((name, version))
    if model is None:
        raise _not_found(f"Model with name: {name} and version: {version} not found.")
    return Answer(body=asset(call.workspace, "models", model))


def list_models(call: Call) -> Answer:
    """Newest first, `page_size` at a time."""
    query, name = call.request.query, call.groups["name"]
    archived = _VIEWS.get(query.get("listViewType", "ActiveOnly"))
    if archived is None or query.get("$orderBy", _NEWEST) != _NEWEST:
        call.violation(f"listViewType or $orderBy is not known: {dict(query)}")
        raise Refusal(400, "UserError", "The query is not valid.")
    named = [model for model in call.workspace.models.values() if model.name == name]
    if not named:
        raise _not_found(f"Model container with name: {name} not found.")
    found = [model for model in reversed(named) if model.properties["isArchived"] in archived]
    begin = int(query.get("$skip", "0"))
    end = begin + min(int(query.get("$top", "100")), call.workspace.page_size)
    page: dict[str, Any] = {
        "value": [asset(call.workspace, "models", model) for model in found[begin:end]]
    }
    if end < len(found) and "$top" not in query:
        onward = urlencode({**query, "$skip": end})
        address = f"https://{ARM}{call.request.path}?{onward}"
        page["nextLink"] = call.workspace.onward(address)
    return Answer(body=page)


def _resolved(call: Call, uri: str) -> tuple[str, str | None]:
    """The path in the datastore, and the job if the path is one of a job's output."""
    found = _JOB.fullmatch(uri)
    if found is None:
        if call.workspace.folder(uri) is None:
            raise Refusal(400, "UserError", f"The model path '{uri}' is not valid.")
        return _long(call, uri), None
    job = call.workspace.jobs.get(found[1])
    if job is None or found[2] not in (job.spec.get("outputs") or {}):
        raise Refusal(400, "UserError", f"The job output of '{uri}' was not found.")
    place = f"{output_uri(job, found[2]).rstrip('/')}/{found[3] or ''}"
    folder = call.workspace.folder(place)
    assert folder is not None
    if next(call.service.storage.list(folder), None) is None:
        raise Refusal(400, "UserError", f"'{uri}' has no files.")
    return _long(call, place.rstrip("/")), job.name


def _long(call: Call, uri: str) -> str:
    """The long form of the path, with the workspace in front, as in all answers."""
    if not uri.startswith("azureml://datastores/"):
        return uri.replace("/resourcegroups/", "/resourceGroups/")
    path = call.workspace.path.removeprefix("/").replace(f"providers/{PROVIDER}/", "")
    return f"azureml://{path}/{uri.removeprefix('azureml://')}"


def _not_found(what: str) -> Refusal:
    detail = Detail("ModelNotFound", what)
    return Refusal(404, "UserError", "The specified resource was not found.", details=(detail,))


_RECORDED = "test_model...test_model_archive_restore_version"
_VERSION = ("2023-08-01-preview",)
ROUTES = (
    route("models.put", f"PUT {_MODEL}", _VERSION, _RECORDED, put_model, shape=MODEL_VERSION),
    route("models.get", f"GET {_MODEL}", _VERSION, _RECORDED, get_model),
    route(
        "models.list",
        f"GET {_VERSIONS}",
        _VERSION,
        _RECORDED,
        list_models,
        query=("listViewType", "$orderBy", "$top", "$skip"),
    ),
)
