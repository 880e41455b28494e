"""What no recording and no unmodified SDK asks: each slip is refused, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import requests

from mlgate.emulators.azure_ml import AzureML
from tests.unit.emulators.azure_ml.support import ARM, Client

JOB = "2025-01-01-preview"
NODE = {"jobOutputType": "uri_folder", "assetVersion": "2"}


@dataclass(frozen=True)
class Slip:
    """A careless request, what the service answers, and what is remembered of it."""

    send: Callable[[Client], requests.Response]
    status: int
    complaint: str


SLIPS = {
    "the identity of a user without a token of theirs": Slip(
        lambda c: c.put_job("a", identity={"identityType": "UserIdentity"}), 401, "x-azureml-token"
    ),
    "route": Slip(
        lambda c: c.send("GET", f"{c.workspace}/nothing", "2023-04-01"), 404, "no such route"
    ),
    "method": Slip(lambda c: c.send("DELETE", f"{c.workspace}/jobs/a", JOB), 404, "no such route"),
    "known route of another host": Slip(
        lambda c: c.send("GET", f"https://login.microsoftonline.com{c.server.workspace.path}"),
        404,
        "no such route",
    ),
    "letter case of a path": Slip(
        lambda c: c.send("GET", c.workspace.replace("resourceGroups", "resourcegroups"), "x"),
        404,
        "no such route",
    ),
    "no api-version": Slip(lambda c: c.send("GET", c.workspace), 400, "api-version None"),
    "another api-version": Slip(
        lambda c: c.send("GET", c.workspace, "2023-04-01"), 400, "not 2024-10-01-preview"
    ),
    "query key": Slip(lambda c: c.list_jobs(**{"$filter": "x"}), 400, "query key '$filter'"),
    "value of a query key": Slip(lambda c: c.list_jobs(listViewType="Mine"), 400, "listViewType"),
    "content type": Slip(
        lambda c: c.send(
            "PUT",
            f"{c.workspace}/jobs/a",
            JOB,
            data=b"{}",
            headers={"Content-Type": "text/json"},
        ),
        415,
        "content type 'text/json'",
    ),
    "a model without its path": Slip(
        lambda c: c.send(
            "PUT",
            f"{c.workspace}/models/m/versions/1",
            "2023-08-01-preview",
            json={"properties": {"modelType": "custom_model"}},
        ),
        400,
        "Required property 'modelUri'",
    ),
    "a view of models that is none": Slip(
        lambda c: c.send(
            "GET",
            f"{c.workspace}/models/m/versions",
            "2023-08-01-preview",
            params={"listViewType": "Mine"},
        ),
        400,
        "listViewType",
    ),
    "a body where none is taken": Slip(
        lambda c: c.send("GET", c.workspace, "2024-10-01-preview", json={}), 415, "content type"
    ),
    "no JSON": Slip(
        lambda c: c.send(
            "PUT",
            f"{c.workspace}/jobs/a",
            JOB,
            data=b"{",
            headers={"Content-Type": "application/json"},
        ),
        400,
        "Unexpected character",
    ),
    "member of a job": Slip(
        lambda c: c.put_job("a", compute="cpu-cluster"), 400, "Could not find member 'compute'"
    ),
    "member beside the properties": Slip(
        lambda c: c.put_job("a", within={"name": "a"}), 400, "Could not find member 'name'"
    ),
    "member of an output": Slip(
        lambda c: c.put_job("a", outputs={"o": NODE}),
        400,
        "Could not find member 'assetVersion' on object of type 'UriFolderJobOutput'",
    ),
    "kind of job": Slip(lambda c: c.put_job("a", jobType="Pipeline"), 400, "jobType 'Pipeline'"),
    "kind of input": Slip(
        lambda c: c.put_job("a", inputs={"i": {"jobInputType": "mltable", "uri": "azureml://a"}}),
        400,
        "jobInputType 'mltable'",
    ),
    "no command": Slip(lambda c: c.put_job("a", command=None), 400, "Required property 'command'"),
    "number for text": Slip(
        lambda c: c.put_job("a", environmentVariables={"N": 1}), 400, "Could not convert to str"
    ),
    "chunked body": Slip(
        lambda c: c.send("GET", c.workspace, "2024-10-01-preview", data=iter([b""])),
        411,
        "a chunked body",
    ),
    "form field": Slip(lambda c: c.sign_in(response_type="token"), 200, "'response_type'"),
    "scope": Slip(lambda c: c.sign_in(scope="https://vault.azure.net/.default"), 400, "scope"),
    "operation of storage": Slip(
        lambda c: c.send("PATCH", f"https://{c.server.storage.host}/container/blob"),
        404,
        "no such route",
    ),
    "query key of storage": Slip(
        lambda c: c.read(f"https://{c.server.storage.host}/container/blob?snapshot=1"),
        403,
        "query key 'snapshot'",
    ),
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_a_slip_is_refused_and_remembered(slip: Slip, client: Client) -> None:
    assert slip.send(client).status_code == slip.status
    assert len(client.server.violations) == 1
    assert slip.complaint in client.server.violations[0]
    assert len(client.server.jobs) == 0


def test_an_unknown_host_is_not_reached(client: Client) -> None:
    with pytest.raises(requests.exceptions.ProxyError):
        client.send("GET", "https://example.org/simple/")
    assert client.server.violations == ["unknown host example.org:443"]


def test_the_proxy_does_nothing_but_connect(client: Client) -> None:
    proxies = {"http": client.variables["HTTPS_PROXY"]}
    answer = requests.get("http://management.azure.com/", proxies=proxies, timeout=30)
    assert answer.status_code == 405
    assert "GET http://management.azure.com/" in client.server.violations[0]


def test_a_certificate_of_nobody_is_not_trusted(server: AzureML) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(
            ARM, proxies={"https": server.environment["HTTPS_PROXY"]}, timeout=30, verify=True
        )
    assert server.requests == []
