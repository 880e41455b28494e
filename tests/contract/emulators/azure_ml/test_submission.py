"""What the unmodified SDK asks to submit a job, and what it gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from mlgate.emulators.azure_ml import AzureML, Fault, FaultKind
from tests.contract.emulators.azure_ml.support import calls, job, training

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

UPLOAD = ["codes.find", "codes.upload", "blob.head", "blob.put", "blob.put", "blob.metadata"]


def test_new_code_is_uploaded_and_known_code_is_found(
    client: MLClient, server: AzureML, code: Path
) -> None:
    first = client.jobs.create_or_update(training("a", code))
    assert calls(server) == [*UPLOAD, "codes.put", "jobs.put"]
    second = client.jobs.create_or_update(training("b", code))
    assert calls(server) == ["codes.find", "codes.get", "jobs.put"]
    assert first.code == second.code
    client.jobs.create_or_update(training("c", second.code))
    assert calls(server) == ["jobs.put"]


def test_changed_code_is_uploaded_again(client: MLClient, server: AzureML, code: Path) -> None:
    first = client.jobs.create_or_update(training("a", code))
    calls(server)
    (code / "lib" / "words.txt").write_text("changed\n")
    second = client.jobs.create_or_update(training("b", code))
    assert calls(server)[: len(UPLOAD)] == UPLOAD
    assert first.code != second.code


def test_an_environment_of_a_job_is_made_by_its_content(client: MLClient, server: AzureML) -> None:
    from azure.ai.ml.entities import Environment

    def environment() -> Any:
        return Environment(image="ubuntu", conda_file={"dependencies": ["python=3.11"]})

    made = [
        client.jobs.create_or_update(job(name, "true", environment=environment()))
        for name in ("a", "b")
    ]
    assert calls(server) == ["environments.put", "jobs.put"] * 2
    assert made[0].environment == made[1].environment


def test_a_registered_environment_is_found_and_used(client: MLClient, server: AzureML) -> None:
    from azure.ai.ml.entities import Environment
    from azure.core.exceptions import ResourceNotFoundError

    with pytest.raises(ResourceNotFoundError):
        client.environments.get("mine", "1")
    client.environments.create_or_update(Environment(name="mine", version="1", image="ubuntu"))
    assert client.environments.get("mine", "1").image == "ubuntu"
    client.jobs.create_or_update(job("a", "true", environment="mine:1"))
    assert calls(server) == ["environments.get", "environments.put", "environments.get", "jobs.put"]


def test_everything_that_a_run_may_ask_for_is_understood(client: MLClient, server: AzureML) -> None:
    asked = job(
        "a",
        "true",
        compute="cpu-cluster",
        display_name="A",
        description="d",
        environment_variables={"A": "1"},
        tags={"mlgate": "1"},
        properties={"build": "7"},
        limit=60,
        instance_count=1,
        shm_size="4g",
    )
    asked.resources.instance_type = "Standard_DS3_v2"
    made = client.jobs.create_or_update(asked)
    assert made.limits.timeout == 60
    assert made.resources.shm_size == "4g"
    assert made.tags == {"mlgate": "1"}
    assert made.properties["build"] == "7"
    assert made.services["Studio"].endpoint.startswith("https://ml.azure.com/runs/a?wsid=")


def test_a_job_without_compute_is_serverless(client: MLClient, server: AzureML) -> None:
    made = client.jobs.create_or_update(job("a", "true", queue_settings={"job_tier": "standard"}))
    assert made.compute is None


def test_an_unknown_compute_is_told(client: MLClient, server: AzureML) -> None:
    with pytest.raises(HttpResponseError, match="Unknown compute target 'other'") as refused:
        client.jobs.create_or_update(job("a", "true", compute="other"))
    assert refused.value.status_code == 400


def test_the_same_job_is_found_and_another_of_its_name_refused(
    client: MLClient, server: AzureML
) -> None:
    client.jobs.create_or_update(job("a", "true"))
    again = client.jobs.create_or_update(job("a", "true", tags={"seen": "twice"}))
    assert again.tags == {"seen": "twice"}
    with pytest.raises(HttpResponseError, match="already exists") as refused:
        client.jobs.create_or_update(job("a", "false"))
    assert refused.value.status_code == 400
    assert len(server.jobs) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault.answering(429, "0"),
        Fault.answering(500),
        Fault(FaultKind.RESET),
        Fault(FaultKind.LOST),
    ],
    ids=["throttled", "failing", "reset", "lost answer"],
)
def test_the_sdk_asks_again(fault: Fault, client: MLClient, server: AzureML) -> None:
    server.faults.add("jobs.put", fault)
    client.jobs.create_or_update(job("a", "true"))
    assert calls(server) == ["jobs.put", "jobs.put"]
    assert len(server.jobs) == 1


def test_a_stranger_gets_no_job(
    client: MLClient, server: AzureML, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.ai.ml import MLClient
    from azure.identity import EnvironmentCredential

    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    stranger = MLClient(EnvironmentCredential(), *server.workspace_name.split("/"))
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        stranger.jobs.create_or_update(job("a", "true"))


def test_an_expired_token_is_refused(client: MLClient, server: AzureML) -> None:
    client.jobs.create_or_update(job("a", "true"))
    server.tokens.expire()
    with pytest.raises(ClientAuthenticationError, match="ExpiredAuthenticationToken"):
        client.jobs.get("a")
