"""Faults to order: each does what its name says, as often as told, and only to its call."""

from __future__ import annotations

import time

import pytest
import requests

from mlgate.emulators.azure_ml import Fault, FaultKind
from tests.unit.emulators.azure_ml.support import Client


def test_a_fault_strikes_as_often_as_told_and_only_its_call(client: Client) -> None:
    client.server.faults.add("jobs.put", Fault.answering(503), times=2)
    assert client.list_jobs().status_code == 200
    assert [client.put_job("a").status_code for _ in range(3)] == [503, 503, 201]


def test_a_pattern_is_any_of_its_calls(client: Client) -> None:
    client.server.faults.add("jobs.*", Fault.answering(500))
    client.server.faults.add("*", Fault.answering(502))
    assert [client.list_jobs().status_code for _ in range(3)] == [500, 502, 200]


def test_throttling_tells_how_long_to_wait(client: Client) -> None:
    client.server.faults.add("jobs.put", Fault.answering(429, "7"))
    answer = client.put_job("a")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["error"]["code"] == "TooManyRequests"
    assert len(client.server.jobs) == 0


@pytest.mark.parametrize(("kind", "jobs"), [(FaultKind.RESET, 0), (FaultKind.LOST, 1)])
def test_a_cut_connection_comes_before_or_after_the_effect(
    kind: FaultKind, jobs: int, client: Client
) -> None:
    client.server.faults.add("jobs.put", kind)
    with pytest.raises(requests.ConnectionError):
        client.put_job("a")
    assert len(client.server.jobs) == jobs
    assert client.server.requests[-1].status == 0


def test_a_delay_comes_before_the_effect(client: Client) -> None:
    client.server.faults.add("jobs.put", Fault.delay(0.3))
    began = time.monotonic()
    assert client.put_job("a").status_code == 201
    assert time.monotonic() - began >= 0.3


def test_silence_lasts_as_long_as_the_client_waits(client: Client) -> None:
    client.server.faults.add("jobs.list", FaultKind.HANG)
    with pytest.raises(requests.ReadTimeout):
        client.send("GET", f"{client.workspace}/jobs", "2024-01-01-preview", timeout=0.3)


def test_storage_fails_to_order_as_well(client: Client) -> None:
    client.server.faults.add("blob.get", Fault.answering(503))
    blob = f"https://{client.server.storage.host}/container/blob"
    assert [client.read(blob).status_code for _ in range(2)] == [503, 403]


def test_what_strikes_executions_strikes_no_request(client: Client) -> None:
    client.server.faults.add("*", FaultKind.PREEMPT)
    client.put_job("a", "sleep 60")
    assert client.server.jobs.wait("a").status == "Failed"
    client.put_job("b")
    assert client.server.jobs.wait("b").status == "Completed"
