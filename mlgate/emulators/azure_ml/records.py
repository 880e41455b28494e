"""The service's descriptions of its resources, with the same keys as in the recordings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mlgate.emulators.azure_ml.exchange import REGION
from mlgate.emulators.azure_ml.jobs import Job
from mlgate.emulators.azure_ml.mounts import output_uri
from mlgate.emulators.azure_ml.workspace import (
    ARTIFACT_STORE,
    BLOB_STORE,
    PROVIDER,
    Asset,
    Workspace,
)


def system_data(
    workspace: Workspace, created: datetime, *, modified: bool = True
) -> dict[str, Any]:
    by = {"By": workspace.principal.client_id, "ByType": "Application"}
    data = {"createdAt": created.isoformat(), **{f"created{key}": by[key] for key in by}}
    if modified:
        data |= {"lastModifiedAt": created.isoformat()}
        data |= {f"lastModified{key}": by[key] for key in by}
    return data


def asset(workspace: Workspace, kind: str, found: Asset) -> dict[str, Any]:
    """A version of an asset; `kind` is "codes", "environments" or "models"."""
    return {
        "id": f"{workspace.path}/{kind}/{found.name}/versions/{found.version}",
        "name": found.version,
        "type": f"{PROVIDER}/workspaces/{kind}/versions",
        "properties": found.properties,
        "systemData": system_data(workspace, found.created),
    }


def job(workspace: Workspace, found: Job, *, answers_put: bool) -> dict[str, Any]:
    """A job as PUT (2025-01-01-preview) or as GET and lists (2024-01-01-preview) return it.

    Both in test_command_job...test_command_job_serverless.
    """
    return {
        "id": f"{workspace.path}/jobs/{found.name}",
        "name": found.name,
        "type": f"{PROVIDER}/workspaces/jobs",
        "properties": _properties(workspace, found, answers_put=answers_put),
        "systemData": system_data(workspace, found.created, modified=False),
    }


def _properties(workspace: Workspace, found: Job, *, answers_put: bool) -> dict[str, Any]:
    spec = found.spec
    compute = spec.get("computeId")
    cluster = compute.rpartition("/")[2] if compute else None
    of_compute = {"_azureml.ComputeTargetType": "amlctrain", "_azureml.ClusterName": cluster}
    told: dict[str, Any] = {
        "description": spec.get("description"),
        "tags": spec.get("tags") or {},
        "properties": {**(spec.get("properties") or {}), **of_compute},
        "displayName": spec.get("displayName") or found.name,
        "status": found.status,
        "experimentName": found.experiment,
        "services": _services(workspace, found),
        "computeId": compute,
        "isArchived": bool(spec.get("isArchived")),
        "identity": spec.get("identity"),
        "componentId": None,
        "notificationSetting": None,
        "jobType": "Command",
        "resources": _resources(spec.get("resources") or {}, answers_put=answers_put),
        "codeId": spec.get("codeId"),
        "command": spec["command"],
        "environmentId": spec["environmentId"],
        "inputs": {
            name: _input(given, answers_put=answers_put)
            for name, given in (spec.get("inputs") or {}).items()
        },
        "outputs": _outputs(found, answers_put=answers_put),
        "distribution": None,
        "limits": spec.get("limits"),
        "environmentVariables": spec.get("environmentVariables") or {},
        "parameters": {},
        "queueSettings": {"jobTier": (spec.get("queueSettings") or {}).get("jobTier", "Null")},
    }
    if answers_put:
        return told | {"parentJobName": None}
    told["queueSettings"]["priority"] = None
    return told | {"secretsConfiguration": None, "autologgerSettings": None}


def _services(workspace: Workspace, found: Job) -> dict[str, Any]:
    studio = workspace.path.replace("resourceGroups", "resourcegroups")
    endpoints = {
        "Tracking": f"azureml://{REGION}.api.azureml.ms/mlflow/v1.0{workspace.path}?",
        "Studio": f"https://ml.azure.com/runs/{found.name}?wsid="
        + studio.replace(f"providers/{PROVIDER}/", ""),
    }
    unset = dict.fromkeys(("port", "status", "errorMessage", "properties", "nodes"))
    return {
        name: {"jobServiceType": name, "endpoint": endpoint, **unset}
        for name, endpoint in endpoints.items()
    }


def _resources(asked: dict[str, Any], *, answers_put: bool) -> dict[str, Any]:
    told = {
        "instanceCount": asked.get("instanceCount") or 1,
        "instanceType": asked.get("instanceType"),
        "properties": asked.get("properties"),
        "shmSize": asked.get("shmSize") or "2g",
        "dockerArgs": None,
    }
    more = ("dockerArgsList",) if answers_put else ("maxInstanceCount", "locations")
    return told | dict.fromkeys(more)


def _input(given: dict[str, Any], *, answers_put: bool) -> dict[str, Any]:
    told = {"description": None, **given}
    if given["jobInputType"] == "literal":
        return told
    told.setdefault("mode", "ReadOnlyMount")
    return told if answers_put else told | {"pathOnCompute": None}


def _outputs(found: Job, *, answers_put: bool) -> dict[str, Any]:
    """The named outputs, and `default`, which the service adds."""
    unset = dict.fromkeys(("description", "assetName"))
    if not answers_put:
        unset |= dict.fromkeys(("assetVersion", "pathOnCompute", "autoDeleteSetting"))
    told = {
        name: {**unset, "mode": "ReadWriteMount", **given, "uri": output_uri(found, name)}
        for name, given in (found.spec.get("outputs") or {}).items()
    }
    told["default"] = {
        **unset,
        "uri": f"azureml://datastores/{ARTIFACT_STORE}/ExperimentRun/{found.data_container}",
        "mode": "ReadWriteMount",
        "jobOutputType": "uri_folder",
    }
    return told


def datastore(workspace: Workspace, name: str) -> dict[str, Any]:
    """test_command_job...test_command_job_serverless."""
    return {
        "id": f"{workspace.path}/datastores/{name}",
        "name": name,
        "type": f"{PROVIDER}/workspaces/datastores",
        "properties": {
            "description": None,
            "tags": None,
            "properties": None,
            "isDefault": name == BLOB_STORE,
            "credentials": {"credentialsType": "None" if workspace.keyless else "AccountKey"},
            "subscriptionId": workspace.subscription_id,
            "resourceGroup": workspace.resource_group,
            "datastoreType": "AzureBlob",
            "accountName": workspace.account,
            "containerName": workspace.containers[name],
            "endpoint": "core.windows.net",
            "protocol": "https",
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
        },
        "systemData": system_data(workspace, workspace.created),
    }


def workspace_record(workspace: Workspace) -> dict[str, Any]:
    """test_pipeline_job...LongRunning...test_pipeline_job_download, without unread fields."""
    return {
        "id": workspace.path,
        "name": workspace.name,
        "type": f"{PROVIDER}/workspaces",
        "location": REGION,
        "tags": {},
        "etag": None,
        "properties": {
            "friendlyName": workspace.name,
            "description": "",
            "storageAccount": f"/subscriptions/{workspace.subscription_id}/resourceGroups/"
            f"{workspace.resource_group}/providers/Microsoft.Storage/storageAccounts/"
            f"{workspace.account}",
            "hbiWorkspace": False,
            "tenantId": workspace.principal.tenant_id,
            "provisioningState": "Succeeded",
            "v1LegacyMode": False,
            "workspaceId": workspace.id,
            "publicNetworkAccess": "Enabled",
            "discoveryUrl": f"{workspace.api}/discovery",
            "mlFlowTrackingUri": f"azureml://{REGION}.api.azureml.ms/mlflow/v1.0{workspace.path}",
            "systemDatastoresAuthMode": "identity" if workspace.keyless else "accesskey",
        },
        "identity": {"type": "SystemAssigned", "tenantId": workspace.principal.tenant_id},
        "kind": "Default",
        "sku": {"name": "Basic", "tier": "Basic"},
        "systemData": system_data(workspace, workspace.created),
    }
