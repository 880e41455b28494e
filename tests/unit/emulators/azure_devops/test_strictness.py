"""What a strict stand-in minds, one slip at a time; most of it the real service forgives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import requests

from mlgate.emulators.azure_devops import AzureDevOps
from tests.unit.emulators.azure_devops.support import Client

OTHER = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Slip:
    """A careless request, what the service answers, and what strict mode says of it."""

    send: Callable[[Client], requests.Response]
    status: int
    complaint: str


SLIPS = {
    "route": Slip(lambda c: c.send("GET", f"{c.url}/nothing"), 404, "no such route"),
    "method": Slip(lambda c: c.send("PUT", c.records, json={}), 404, "no such route"),
    "no api-version": Slip(lambda c: c.send("GET", c.records, version=None), 400, "api-version"),
    "api-version": Slip(lambda c: c.send("GET", c.records, version="new"), 400, "api-version"),
    "other version": Slip(lambda c: c.send("GET", c.records, version="7.1"), 200, "not 4.1"),
    "parameter": Slip(lambda c: c.send("GET", f"{c.records}?top=3"), 200, "'top' is unknown"),
    "content type": Slip(
        lambda c: c.send("PATCH", c.records, data=b"{}", headers={"Content-Type": "text/plain"}),
        415,
        "content type",
    ),
    "no authorization": Slip(
        lambda c: requests.get(c.records, params={"api-version": "4.1"}, timeout=30),
        203,
        "no Authorization",
    ),
    "unknown field": Slip(lambda c: c.patch(percent=4), 200, "field 'percent' is unknown"),
    "percent": Slip(lambda c: c.patch(percentComplete=101), 200, "percentComplete 101"),
    "name": Slip(lambda c: c.patch(name="mine"), 200, "display name"),
    "completed": Slip(lambda c: c.patch(state="completed"), 200, "completed by its event"),
    "issues": Slip(
        lambda c: c.patch(issues=[{"type": "error", "message": "m"}] * 11), 200, "issues of type"
    ),
    "record count": Slip(
        lambda c: c.send("PATCH", c.records, json={"count": 2, "value": []}), 200, "count is not"
    ),
    "long line": Slip(lambda c: c.lines("x" * 1025), 204, "longer than 1024"),
    "two lines in one": Slip(lambda c: c.lines("a\nb"), 204, "line break"),
    "many lines": Slip(lambda c: c.lines(*["x"] * 101), 204, "more than 100 lines"),
    "no lines": Slip(lambda c: c.lines(), 204, "count is not"),
    "line count": Slip(lambda c: c.lines("x", count=2), 204, "count is not"),
    "step id": Slip(lambda c: c.lines("x", stepId=OTHER), 204, "stepId"),
    "feed record": Slip(
        lambda c: c.send("POST", f"{c.records}/{OTHER}/feed", json={"value": ["x"], "count": 1}),
        204,
        "the job's record",
    ),
    "log path": Slip(
        lambda c: c.send("POST", f"{c.url}/logs", json={"path": "mine"}), 200, "logs\\"
    ),
}

REFUSED = {
    "no JSON": lambda c: c.send(
        "PATCH", c.records, data=b"{", headers={"Content-Type": "application/json"}
    ),
    "a list": lambda c: c.send("PATCH", c.records, json=[]),
    "no value": lambda c: c.send("PATCH", c.records, json={"count": 0}),
    "no id": lambda c: c.send("PATCH", c.records, json={"count": 1, "value": [{}]}),
    "id": lambda c: c.patch(id="mine"),
    "state": lambda c: c.patch(state="running"),
    "result": lambda c: c.patch(result="passed"),
    "percent": lambda c: c.patch(percentComplete="40"),
    "issue type": lambda c: c.patch(issues=[{"type": "fatal", "message": "m"}]),
    "log as a string": lambda c: c.patch(log="3"),
    "log that is not there": lambda c: c.patch(log={"id": 3}),
    "event name": lambda c: c.event(name="TaskEnded"),
    "event result": lambda c: c.event(result="passed"),
    "event without result": lambda c: c.send(
        "POST",
        f"{c.url}/events",
        version="2.0-preview.1",
        json={
            "name": "TaskCompleted",
            "taskId": c.ids["TaskInstanceId"],
            "jobId": c.ids["JobId"],
        },
    ),
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_a_slip_is_a_violation(slip: Slip, client: Client) -> None:
    assert slip.send(client).status_code == slip.status
    assert len(client.server.violations) == 1
    assert slip.complaint in client.server.violations[0]


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_without_strictness_the_answer_is_the_same(slip: Slip) -> None:
    with AzureDevOps(strict=False) as server:
        client = Client(server, server.new_task())
        assert slip.send(client).status_code == slip.status
        assert server.violations == []


@pytest.mark.parametrize("send", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused(
    send: Callable[[Client], requests.Response], client: Client
) -> None:
    before = client.task.record
    answer = send(client)
    assert answer.status_code == 400
    assert answer.json()["typeKey"] == "VssPropertyValidationException"
    assert client.task.record == before
    assert client.task.completions == []


def test_a_percentage_that_falls_is_a_violation(client: Client) -> None:
    client.patch(percentComplete=50)
    client.patch(percentComplete=40)
    assert client.server.violations[0].endswith("percentComplete falls")


@pytest.mark.parametrize(
    "send",
    [
        lambda c: c.patch(percentComplete=100),
        lambda c: c.lines("late"),
        lambda c: c.event(),
        lambda c: c.send("POST", f"{c.url}/logs", json={"path": "logs\\x"}),
    ],
    ids=["record", "feed", "event", "log"],
)
def test_writing_after_completing_is_a_violation(
    send: Callable[[Client], requests.Response], client: Client
) -> None:
    client.event()
    assert send(client).ok
    assert client.server.violations[0].endswith("written after TaskCompleted")


def test_reading_after_completing_is_none(client: Client) -> None:
    client.event()
    client.get()
    assert client.server.violations == []
