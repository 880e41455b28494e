"""The two datastores of every workspace, and their keys."""

from __future__ import annotations

from datetime import timedelta

from mlgate.emulators.azure_ml.bodies import SECRET_EXPIRY
from mlgate.emulators.azure_ml.exchange import Answer, Refusal
from mlgate.emulators.azure_ml.records import datastore
from mlgate.emulators.azure_ml.routing import WORKSPACE, Call, route
from mlgate.emulators.azure_ml.workspace import BLOB_STORE

_STORES = f"{WORKSPACE}/datastores"


def get_datastore(call: Call) -> Answer:
    return Answer(body=datastore(call.workspace, _name(call)))


def default_datastore(call: Call) -> Answer:
    names = call.workspace.containers
    if call.request.query.get("isDefault") == "true":
        names = {BLOB_STORE: names[BLOB_STORE]}
    return Answer(body={"value": [datastore(call.workspace, name) for name in names]})


def list_secrets(call: Call) -> Answer:
    """No recording shows the refusal: the SDK does not ask a datastore without secrets."""
    name = _name(call)
    if call.workspace.keyless:
        raise Refusal(400, "UserError", f"The datastore {name} has no secrets.")
    hours = (call.body or {}).get("expireAfterHours") or 8
    secret = call.service.storage.secret(timedelta(hours=hours))
    return Answer(body={"secretsType": "Sas", "sasToken": secret})


def _name(call: Call) -> str:
    name = call.groups["name"]
    if name not in call.workspace.containers:
        raise Refusal(404, "UserError", f"The datastore {name} was not found.")
    return name


_RECORDED = "test_command_job...test_command_job_serverless"
ROUTES = (
    route(
        "datastores.get",
        f"GET {_STORES}/{{name}}",
        ("2024-10-01-preview", "2024-07-01-preview"),
        _RECORDED,
        get_datastore,
    ),
    route(
        "datastores.list",
        f"GET {_STORES}",
        ("2024-10-01-preview", "2024-07-01-preview"),
        "test_pipeline_job...LongRunning...test_pipeline_job_download",
        default_datastore,
        query=("isDefault", "count", "orderByAsc"),
    ),
    route(
        "datastores.secrets",
        f"POST {_STORES}/{{name}}/listSecrets",
        ("2024-10-01-preview", "2024-07-01-preview"),
        _RECORDED,
        list_secrets,
        shape=SECRET_EXPIRY,
    ),
)
