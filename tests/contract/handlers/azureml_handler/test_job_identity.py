"""Which identity the jobs of a workspace without keys run with."""

from __future__ import annotations

import pytest

from mlgate.orchestration.runs import FailureKind
from tests.contract.handlers.azureml_handler.support import Bench

OTHER = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        ("user", {"identityType": "UserIdentity"}),
        ("managed", {"identityType": "Managed"}),
        ("managed:{}", {"identityType": "Managed", "clientId": "{}"}),
    ],
)
def test_a_job_on_serverless_compute_reaches_storage_with_the_identity_it_is_given(
    identity: str, told: dict[str, str], keyless: Bench
) -> None:
    client_id = keyless.server.workspace.client_id
    keyless.handler = keyless.another(job_identity=identity.format(client_id))
    task = keyless.task("echo kept > outputs/a")
    assert keyless.run(task).outputs == ("runs/train/outputs/a",)
    sent = keyless.job(task).spec["identity"]
    assert sent == {name: value.format(client_id) for name, value in told.items()}


@pytest.mark.parametrize("identity", [None, f"managed:{OTHER}"])
def test_a_job_that_storage_refuses_never_begins_and_tells_what_it_lacks(
    identity: str | None, keyless: Bench
) -> None:
    keyless.handler = keyless.another(job_identity=identity)
    outcome = keyless.run(keyless.task("echo kept > outputs/a"))
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert "Set MLGATE_JOB_IDENTITY, or give the compute an identity" in outcome.failure.message
    assert outcome.outputs == ()


def test_a_job_has_its_computes_identity_unless_the_host_says_otherwise(bench: Bench) -> None:
    task = bench.task("true")
    assert bench.run(task).failure is None
    assert bench.job(task).spec.get("identity") is None


def test_a_job_is_found_by_a_host_that_gives_another_identity(keyless: Bench) -> None:
    task = keyless.task("true")
    assert keyless.handler.submit(task)
    assert keyless.another(compute="cpu-cluster", job_identity="managed").submit(task)
    assert keyless.ended(task).failure is None
    assert len(keyless.server.jobs) == 1
