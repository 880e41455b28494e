"""Faults to order: each does what its name says, as often as told, and only to its call."""

from __future__ import annotations

import pytest
import requests

from mlgate.emulators.azure_devops import AzureDevOps, Fault, FaultKind
from tests.unit.emulators.azure_devops.support import Client


def test_a_fault_strikes_as_often_as_told_and_only_its_call(client: Client) -> None:
    client.server.faults.add("records.get", Fault.answering(503), times=2)
    assert client.lines("a").status_code == 204
    assert [client.get().status_code for _ in range(3)] == [503, 503, 200]


def test_faults_strike_in_the_order_in_which_they_were_added(client: Client) -> None:
    client.server.faults.add("records.get", Fault.answering(502))
    client.server.faults.add("records.get", Fault.answering(504))
    client.server.faults.add("*", Fault.answering(408))
    assert [client.get().status_code for _ in range(4)] == [502, 504, 408, 200]


def test_throttling_tells_how_long_to_wait(client: Client) -> None:
    client.server.faults.add("feed", Fault.answering(429, "30"))
    answer = client.lines("a")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert "TF400733" in answer.json()["message"]
    assert client.task.feed == []


def test_slowing_down_tells_how_long_to_wait_after_doing_it(client: Client) -> None:
    client.server.faults.add("records.patch", Fault.slow_down("12"))
    answer = client.patch(percentComplete=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (200, "12")
    assert client.task.record.percent == 10


@pytest.mark.parametrize(("kind", "percent"), [(FaultKind.RESET, None), (FaultKind.LOST, 10)])
def test_a_cut_connection_comes_before_or_after_the_effect(
    kind: FaultKind, percent: int | None, client: Client
) -> None:
    client.server.faults.add("records.patch", kind)
    with pytest.raises(requests.ConnectionError):
        client.patch(percentComplete=10)
    assert client.task.record.percent == percent
    assert client.server.requests[-1].status == 0


def test_an_answer_may_come_without_its_effect(client: Client) -> None:
    client.server.faults.add("events", FaultKind.NO_EFFECT)
    assert client.event().status_code == 204
    assert client.task.completions == []
    assert client.task.wait_completed(0) is None


def test_an_effect_may_come_after_the_next_answer(client: Client) -> None:
    client.server.faults.add("events", FaultKind.LATE)
    client.event()
    first, second = (
        {row["state"] for row in client.get().json()["value"] if row["type"] == "Task"}
        for _ in range(2)
    )
    assert (first, second) == ({"pending"}, {"completed"})
    assert client.task.completions == ["succeeded"]
    assert client.server.violations == []


def test_a_redirect_names_its_target(client: Client) -> None:
    client.server.faults.add("plan", Fault.redirect("https://elsewhere.invalid/"))
    answer = client.send("GET", client.url, version="7.2-preview.2")
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://elsewhere.invalid/")


def test_a_garbled_answer_is_no_json(client: Client) -> None:
    client.server.faults.add("records.get", FaultKind.GARBLED)
    answer = client.get()
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_plan_may_look_ended_for_one_call(client: Client) -> None:
    client.server.faults.add("feed", Fault.ended("TaskOrchestrationPlanNotFoundException"))
    assert client.lines("a").json()["typeKey"] == "TaskOrchestrationPlanNotFoundException"
    assert client.lines("a").status_code == 204


def test_a_call_that_hangs_is_let_go_when_the_server_stops() -> None:
    with AzureDevOps() as server:
        client = Client(server, server.new_task())
        server.faults.add("records.get", FaultKind.HANG)
        with pytest.raises(requests.ReadTimeout):
            client.send("GET", client.records, timeout=0.2)
        assert client.get().status_code == 200


def test_a_server_that_stopped_answers_nobody(client: Client) -> None:
    """Not even on a connection that was kept alive."""
    with AzureDevOps() as server, requests.Session() as kept_alive:
        url = server.collection_url
        assert kept_alive.get(url, timeout=30).status_code == 404
        server.__exit__(None, None, None)
        with pytest.raises(requests.ConnectionError):
            kept_alive.get(url, timeout=30)
