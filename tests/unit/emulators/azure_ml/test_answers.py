"""Answers beside what recordings of the real service hold: statuses, codes, key sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.unit.emulators.azure_ml.support import ARM, Client

# test_command_job...test_command_job_serverless: of the PUT's answer, and of the GET's beyond it
PUT_KEYS = {
    "description", "tags", "properties", "parentJobName", "displayName", "status",
    "experimentName", "services", "computeId", "isArchived", "identity", "componentId",
    "notificationSetting", "jobType", "resources", "codeId", "command", "environmentId", "inputs",
    "outputs", "distribution", "limits", "environmentVariables", "parameters", "queueSettings",
}  # a row a line # fmt: skip
GET_KEYS = (PUT_KEYS - {"parentJobName"}) | {"secretsConfiguration", "autologgerSettings"}
PUT_RESOURCES = {
    "instanceCount", "instanceType", "properties", "shmSize", "dockerArgs", "dockerArgsList",
}  # a row a line # fmt: skip
GET_RESOURCES = (PUT_RESOURCES - {"dockerArgsList"}) | {"maxInstanceCount", "locations"}
PUT_OUTPUT = {"description", "uri", "assetName", "mode", "jobOutputType"}
GET_OUTPUT = PUT_OUTPUT | {"assetVersion", "pathOnCompute", "autoDeleteSetting"}
INPUT = {"jobInputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/a/"}


def compute(client: Client, name: str) -> str:
    return f"{client.server.workspace.path}/computes/{name}"


def test_a_new_job_is_told_as_recorded(client: Client) -> None:
    answer = client.put_job("a", inputs={"i": INPUT})
    told = answer.json()["properties"]
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{client.workspace}/jobs/a?api-version=2025-01-01-preview"
    assert told.keys() == PUT_KEYS
    assert told["resources"].keys() == PUT_RESOURCES
    assert told["outputs"]["default"].keys() == PUT_OUTPUT
    assert told["inputs"]["i"].keys() == {"description", "uri", "mode", "jobInputType"}
    assert told["status"] == "Starting"
    assert told["queueSettings"] == {"jobTier": "Null"}


def test_a_job_is_read_as_recorded(client: Client) -> None:
    client.put_job("a", inputs={"i": INPUT}, computeId=compute(client, "cpu-cluster"))
    told = client.get_job("a").json()
    assert told.keys() == {"id", "name", "type", "properties", "systemData"}
    properties = told["properties"]
    assert properties.keys() == GET_KEYS
    assert properties["resources"].keys() == GET_RESOURCES
    assert properties["outputs"]["default"].keys() == GET_OUTPUT
    assert "pathOnCompute" in properties["inputs"]["i"]
    assert properties["properties"]["_azureml.ClusterName"] == "cpu-cluster"


def test_the_same_job_again_is_found_and_not_run_again(client: Client) -> None:
    assert client.put_job("a", tags={"a": "1"}).status_code == 201
    client.server.jobs.wait("a")
    again = client.put_job("a", tags={"b": "2"}, displayName="Later", description="d")
    assert again.status_code == 200
    assert again.json()["properties"]["status"] == "Completed"
    assert client.get_job("a").json()["properties"]["tags"] == {"b": "2"}
    assert len(client.server.jobs) == 1


@pytest.mark.parametrize(
    "change",
    [{"command": "false"}, {"experimentName": "other"}, {"environmentVariables": {"A": "1"}}],
    ids=lambda change: next(iter(change)),
)
def test_a_job_of_that_name_that_differs_is_refused(change: dict[str, Any], client: Client) -> None:
    client.put_job("a")
    answer = client.put_job("a", **change)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "UserError")
    assert error["message"].startswith("A job with this name already exists.")
    assert client.server.violations == []


def test_an_unknown_compute_is_refused_as_recorded(client: Client) -> None:
    answer = client.put_job("a", computeId=compute(client, "testCompute"))
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error.keys() == {"code", "message", "details", "additionalInfo"}
    assert (error["code"], error["message"]) == (
        "UserError",
        "Unknown compute target 'testCompute'.",
    )
    told = {info["type"]: info["info"]["value"] for info in error["additionalInfo"]}
    assert set(told) == {
        "ComponentName", "Correlation", "Environment", "Location", "Time", "InnerError",
    }  # a row a line # fmt: skip
    inner = {"code": "UnknownTargetType", "innerError": None}
    assert told["InnerError"] == {"code": "BadArgument", "innerError": inner}


def upload(client: Client) -> Any:
    url = f"{client.workspace}/codes/a/versions/1/startPendingUpload"
    body = {"pendingUploadType": "TemporaryBlobReference"}
    return client.send("POST", url, "2023-04-01", json=body).json()


def code(client: Client) -> Any:
    container = upload(client)["blobReferenceForConsumption"]["blobUri"]
    hashed = {"hash_sha256": "abc", "hash_version": 202208}
    body = {"properties": {"codeUri": f"{container}/src", "properties": hashed}}
    url = f"{client.workspace}/codes/a/versions/1"
    return client.send("PUT", url, "2023-04-01", json=body).json()["properties"]


def environment(client: Client) -> Any:
    url = f"{client.workspace}/environments/a/versions/1"
    body = {"properties": {"image": "i", "isAnonymous": False}}
    return client.send("PUT", url, "2023-04-01-preview", json=body).json()["properties"]


def datastore(client: Client) -> Any:
    url = f"{client.workspace}/datastores/workspaceblobstore"
    return client.send("GET", url, "2024-07-01-preview").json()["properties"]


def discovery(client: Client) -> Any:
    return client.send("GET", "https://westeurope.api.azureml.ms/discovery").json()


def run_error(client: Client) -> Any:
    client.put_job("a", "exit 3")
    client.server.jobs.wait("a")
    error = client.run("a")["error"]
    return {**error["error"], **error}


RECORDED: dict[str, tuple[Callable[[Client], Any], str]] = {
    "test_code...test_download_directory_code, upload": (
        upload,
        "blobReferenceForConsumption pendingUploadId pendingUploadType",
    ),
    "test_code...test_download_directory_code, code": (
        code,
        "description tags properties isArchived isAnonymous codeUri provisioningState",
    ),
    "test_environment...test_environment_create_conda": (
        environment,
        "description tags properties isArchived isAnonymous autoDeleteSetting environmentType "
        "image condaFile osType autoRebuild provisioningState stage intellectualProperty",
    ),
    "test_command_job...test_command_job_serverless": (
        datastore,
        "description tags properties isDefault credentials subscriptionId resourceGroup "
        "datastoreType accountName containerName endpoint protocol serviceDataAccessAuthIdentity",
    ),
    "test_pipeline_job...LongRunning...test_pipeline_job_download": (
        discovery,
        "api catalog experimentation history hyperdrive labeling modelmanagement pipelines studio",
    ),
    "test_pipeline_job...LongRunning...test_pipeline_job_child_run_download": (
        run_error,
        "error correlation environment location time componentName code severity message "
        "messageFormat messageParameters referenceCode detailsUri target details innerError "
        "debugInfo additionalInfo",
    ),
}


@pytest.mark.parametrize(("ask", "keys"), RECORDED.values(), ids=RECORDED)
def test_an_answer_has_the_keys_of_its_recording(
    ask: Callable[[Client], Any], keys: str, client: Client
) -> None:
    assert ask(client).keys() == set(keys.split())
    assert client.server.violations == []


def test_code_is_found_by_its_hash_whatever_name_is_asked(client: Client) -> None:
    made = code(client)
    assert made["isAnonymous"] is False
    assert made["properties"]["hash_version"] == "202208"
    versions = f"{client.workspace}/codes/other/versions"
    hashes = [{"hash": "abc", "hashVersion": "202208"}, {"hash": "abd", "hashVersion": "202208"}]
    found = [
        client.send("GET", versions, "2023-04-01", params=asked).json()["value"] for asked in hashes
    ]
    assert [[each["name"] for each in value] for value in found] == [["1"], []]


def test_a_code_version_is_not_moved(client: Client) -> None:
    code(client)
    url = f"{client.workspace}/codes/a/versions/1"
    body = {"properties": {"codeUri": "https://elsewhere/container/src"}}
    assert client.send("PUT", url, "2023-04-01", json=body).status_code == 400


@pytest.mark.parametrize("uri", ["https://storage/container", "https://storage/container/"])
def test_code_is_in_a_folder_of_its_container(client: Client, uri: str) -> None:
    body = {"properties": {"codeUri": uri}}
    answer = client.send("PUT", f"{client.workspace}/codes/b/versions/1", "2023-04-01", json=body)
    assert answer.status_code == 400


MISSING: dict[str, Callable[[Client], requests.Response]] = {
    "job": lambda c: c.get_job("a"),
    "job to cancel": lambda c: c.cancel_job("a"),
    "run": lambda c: c.send("POST", f"{c.history}/rundata", "v1.0", json={"runId": "a"}),
    "details": lambda c: c.send("GET", f"{c.history}/runs/a/details", "v1.0"),
    "code": lambda c: c.send("GET", f"{c.workspace}/codes/a/versions/1", "2023-04-01"),
    "environment": lambda c: c.send(
        "GET", f"{c.workspace}/environments/a/versions/1", "2023-04-01-preview"
    ),
    "datastore": lambda c: c.send("GET", f"{c.workspace}/datastores/a", "2024-10-01-preview"),
    "workspace": lambda c: c.send("GET", f"{c.workspace}2", "2024-10-01-preview"),
    "subscription": lambda c: c.send(
        "GET",
        f"{ARM}/subscriptions/other/resourceGroups/emulator/providers/"
        "Microsoft.MachineLearningServices/workspaces/workspace",
        "2024-10-01-preview",
    ),
}


@pytest.mark.parametrize("ask", MISSING.values(), ids=MISSING)
def test_what_is_not_there_is_404_and_no_violation(
    ask: Callable[[Client], requests.Response], client: Client
) -> None:
    assert ask(client).status_code == 404
    assert client.server.violations == []


ABSENT = {
    "code": {"codeId": "/codes/a/versions/1"},
    "environment": {"environmentId": "{workspace}/environments/a/versions/1"},
    "input": {"command": "ls ${{inputs.data}}"},
}


@pytest.mark.parametrize("change", ABSENT.values(), ids=ABSENT)
def test_a_job_of_parts_that_are_not_there_is_refused(
    change: dict[str, str], client: Client
) -> None:
    path = client.server.workspace.path
    filled = {name: value.replace("{workspace}", path) for name, value in change.items()}
    assert client.put_job("a", **filled).status_code == 400
    assert len(client.server.jobs) == 0


def test_lists_are_paged_and_newest_first(client: Client) -> None:
    for number in range(5):
        client.put_job(f"job-{number}", tags={"mlgate": "yes"} if number % 2 else {})
    names, url = [], f"{client.workspace}/jobs?api-version=2024-01-01-preview"
    pages = 0
    while url:
        page = client.send("GET", url).json()
        names += [job["name"] for job in page["value"]]
        url, pages = page.get("nextLink"), pages + 1
    assert (names, pages) == ([f"job-{number}" for number in (4, 3, 2, 1, 0)], 3)
    tagged = client.list_jobs(tag="mlgate").json()
    assert [job["name"] for job in tagged["value"]] == ["job-3", "job-1"]
    assert "nextLink" not in tagged
    assert client.server.violations == []


def test_lists_are_narrowed_by_properties_and_by_what_is_archived(client: Client) -> None:
    client.put_job("a", properties={"build": "1"})
    client.put_job("b", properties={"build": "2"}, isArchived=True)
    found = {
        "build": client.list_jobs(properties="build", listViewType="All"),
        "build=2": client.list_jobs(properties="build=2", listViewType="All"),
        "active": client.list_jobs(),
        "archived": client.list_jobs(listViewType="ArchivedOnly"),
    }
    names = {
        asked: [job["name"] for job in answer.json()["value"]] for asked, answer in found.items()
    }
    assert names == {"build": ["b", "a"], "build=2": ["b"], "active": ["a"], "archived": ["b"]}


def test_an_environment_is_made_as_often_as_it_is_put(client: Client) -> None:
    url = f"{client.workspace}/environments/CliV2AnonymousEnvironment/versions/abc"
    body = {"properties": {"image": "i", "condaFile": "{}", "isAnonymous": True}}
    answers = [client.send("PUT", url, "2023-04-01-preview", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


def test_the_secret_of_a_datastore_is_a_signature(client: Client) -> None:
    secrets = client.send(
        "POST",
        f"{client.workspace}/datastores/workspaceblobstore/listSecrets",
        "2024-10-01-preview",
        json={"expirableSecret": True, "expireAfterHours": 1},
    ).json()
    assert secrets["secretsType"] == "Sas"
    container = client.server.workspace.containers["workspaceblobstore"]
    blob = f"https://{client.server.storage.host}/{container}/a/b.txt"
    headers = {"x-ms-blob-type": "BlockBlob", "Authorization": None}
    forged = secrets["sasToken"].replace("sig=", "sig=A")
    statuses = [
        client.send("PUT", blob + signature, data=b"x", headers=headers).status_code
        for signature in (secrets["sasToken"], "", forged)
    ]
    assert statuses == [201, 403, 403]
    assert client.server.violations == []


@pytest.mark.parametrize("kind", ["tags", "properties"])
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({str(number): "" for number in range(50)}, 201),
        ({str(number): "" for number in range(51)}, 400),
        ({"k" * 100: "v" * 1000}, 201),
        ({"k" * 101: ""}, 400),
        ({"k": "v" * 1001}, 400),
    ],
    ids=["50", "51", "long", "name", "value"],
)
def test_a_run_has_no_more_than_the_service_keeps_of_it(
    kind: str, given: dict[str, str], status: int, client: Client
) -> None:
    asked: dict[str, Any] = {kind: given}
    assert client.put_job("a", **asked).status_code == status
