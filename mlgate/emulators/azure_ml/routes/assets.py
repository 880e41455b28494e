"""Code and environment versions. A lookup by hash ignores the name and searches the workspace."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import uuid4

from mlgate.emulators.azure_ml.bodies import CODE_VERSION, ENVIRONMENT_VERSION, PENDING_UPLOAD
from mlgate.emulators.azure_ml.exchange import Answer, Refusal
from mlgate.emulators.azure_ml.mounts import CODE_URI
from mlgate.emulators.azure_ml.records import asset
from mlgate.emulators.azure_ml.routing import ARM, WORKSPACE, Call, route
from mlgate.emulators.azure_ml.workspace import Asset

_VERSIONS = f"{WORKSPACE}/codes/{{name}}/versions"
_CODE = f"{_VERSIONS}/{{version}}"
_ENVIRONMENT = f"{WORKSPACE}/environments/{{name}}/versions/{{version}}"


def find_codes(call: Call) -> Answer:
    wanted = (call.request.query.get("hash"), call.request.query.get("hashVersion"))
    found = [
        asset(call.workspace, "codes", code)
        for code in call.workspace.codes.values()
        if _hash(code.properties) == wanted
    ]
    return Answer(body={"value": found[:1]})


def start_upload(call: Call) -> Answer:
    """A new container for these files, which belong to nothing until they are a code version.

    A workspace without keys cannot sign its URL.
    """
    storage = call.service.storage
    container = f"{call.workspace.id[:23]}-{secrets.token_hex(13)}"
    storage.make_container(container)
    account = f"/providers/Microsoft.Storage/storageAccounts/{storage.account}"
    scope = call.workspace.path.partition("/providers/")[0]
    signed = {"credentialType": "SAS", "sasUri": storage.upload_url(container)}
    return Answer(
        body={
            "blobReferenceForConsumption": {
                "blobUri": f"https://{storage.host}:443/{container}",
                "storageAccountArmId": scope + account,
                "credential": None if call.workspace.keyless else signed,
            },
            "pendingUploadId": str(uuid4()),
            "pendingUploadType": "None",
        }
    )


def put_code(call: Call) -> Answer:
    key = call.groups["name"], call.groups["version"]
    asked = call.body["properties"]
    if not CODE_URI.fullmatch(asked["codeUri"]):  # no recording has files at a container's root
        raise Refusal(400, "UserError", "codeUri must name a folder of a container.")
    there = call.workspace.codes.get(key)
    if there is not None and there.properties["codeUri"] != asked["codeUri"]:
        raise Refusal(
            400,
            "UserError",
            f"A code with this name ({key[0]}) and version ({key[1]}) already exists. "
            "Its codeUri cannot be changed.",
        )
    properties = {
        "description": asked.get("description"),
        "tags": asked.get("tags") or {},
        "properties": {name: str(v) for name, v in (asked.get("properties") or {}).items()},
        "isArchived": bool(asked.get("isArchived")),
        "isAnonymous": False,
        "codeUri": asked["codeUri"],
        "provisioningState": "Succeeded",
    }
    code = there or Asset(*key, properties, call.now)
    call.workspace.codes[key] = code
    return _made(call, asset(call.workspace, "codes", code), 200 if there else 201)


def get_code(call: Call) -> Answer:
    code = call.workspace.codes.get((call.groups["name"], call.groups["version"]))
    if code is None:
        raise Refusal(404, "UserError", f"There is no code {call.groups['name']}.")
    return Answer(body=asset(call.workspace, "codes", code))


def put_environment(call: Call) -> Answer:
    """201 even if the version exists: test_command_job...test_ray_command_job."""
    key = call.groups["name"], call.groups["version"]
    asked = call.body["properties"]
    properties = {
        "description": asked.get("description"),
        "tags": asked.get("tags") or {},
        "properties": {"azureml.labels": ""},
        "isArchived": bool(asked.get("isArchived")),
        "isAnonymous": bool(asked.get("isAnonymous")),
        "autoDeleteSetting": None,
        "environmentType": "UserCreated",
        "image": asked.get("image"),
        "condaFile": asked.get("condaFile") or "",
        "osType": "Linux",
        "autoRebuild": "Disabled",
        "provisioningState": "Succeeded",
        "stage": "Logged" if asked.get("isAnonymous") else "Development",
        "intellectualProperty": None,
    }
    there = call.workspace.environments.get(key)
    environment = Asset(*key, properties, there.created if there else call.now)
    call.workspace.environments[key] = environment
    return _made(call, asset(call.workspace, "environments", environment), 201)


def get_environment(call: Call) -> Answer:
    name, version = call.groups["name"], call.groups["version"]
    environment = call.workspace.environments.get((name, version))
    if environment is None:
        raise Refusal(404, "UserError", f"There is no environment {name}:{version}.")
    return Answer(body=asset(call.workspace, "environments", environment))


def _hash(properties: dict[str, Any]) -> tuple[str | None, str | None]:
    given = properties["properties"]
    return given.get("hash_sha256"), given.get("hash_version")


def _made(call: Call, body: dict[str, Any], status: int) -> Answer:
    return Answer(status, body, {"Location": f"https://{ARM}{call.request.target}"})


_UPLOAD = "test_code...test_download_directory_code"
_ANONYMOUS = "test_command_job...test_ray_command_job"
ROUTES = (
    route(
        "codes.find",
        f"GET {_VERSIONS}",
        ("2023-04-01",),
        "test_code...test_create_and_get",
        find_codes,
        query=("hash", "hashVersion"),
    ),
    route(
        "codes.upload",
        f"POST {_CODE}/startPendingUpload",
        ("2023-04-01",),
        _UPLOAD,
        start_upload,
        shape=PENDING_UPLOAD,
    ),
    route("codes.put", f"PUT {_CODE}", ("2023-04-01",), _UPLOAD, put_code, shape=CODE_VERSION),
    route("codes.get", f"GET {_CODE}", ("2023-04-01",), _UPLOAD, get_code),
    route(
        "environments.put",
        f"PUT {_ENVIRONMENT}",
        ("2023-04-01-preview",),
        _ANONYMOUS,
        put_environment,
        shape=ENVIRONMENT_VERSION,
    ),
    route(
        "environments.get", f"GET {_ENVIRONMENT}", ("2023-04-01-preview",), "SDK", get_environment
    ),
)
