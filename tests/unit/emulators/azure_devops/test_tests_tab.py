"""Test runs, their results and attachments, and what is attached to the step's record."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
import requests

from mlgate.emulators.azure_devops import AzureDevOps
from tests.unit.emulators.azure_devops.support import Client


class Publisher(Client):
    """A client that publishes test results of its task's build."""

    @property
    def tests(self) -> str:
        return f"{self.ids['PlanUrl']}{self.ids['ProjectId']}/_apis/test/runs"

    def call(self, method: str, path: str = "", **options: Any) -> requests.Response:
        return self.send(method, self.tests + path, version="7.1", **options)

    def create(self, **changes: Any) -> requests.Response:
        build = {"id": self.task.build_id}
        body = {"name": "gate", "automated": True, "state": "InProgress", "build": build}
        return self.call("POST", json={**body, **changes})

    def result(self, name: str = "train", **changes: Any) -> requests.Response:
        result = {"testCaseTitle": name, "automatedTestName": name, "outcome": "Passed"}
        return self.call("POST", "/1/results", json=[{**result, **changes}])

    def attach(self, **changes: Any) -> requests.Response:
        body = {"stream": base64.b64encode(b"<html>").decode(), "fileName": "executed.html"}
        return self.call("POST", "/1/Results/100000/attachments", json={**body, **changes})

    def keep(self, content: bytes = b"# fine", kind: str = "Summary") -> requests.Response:
        step = self.ids["TaskInstanceId"]
        return self.send(
            "PUT",
            f"{self.records}/{step}/attachments/DistributedTask.Core.{kind}/mlgate",
            version="5.1-preview.1",
            data=content,
            headers={"Content-Type": "application/octet-stream"},
        )


@pytest.fixture
def publisher(server: AzureDevOps) -> Publisher:
    return Publisher(server, server.new_task(build_id=4711))


def test_a_test_run_is_filled_and_completed(publisher: Publisher) -> None:
    assert publisher.create().json()["id"] == 1
    assert publisher.result(state="InProgress").json()["value"][0]["id"] == 100000
    assert publisher.attach().status_code == 200
    done = [{"id": 100000, "state": "Completed"}]
    assert publisher.call("PATCH", "/1/results", json=done).status_code == 200
    assert publisher.call("PATCH", "/1", json={"state": "Completed"}).status_code == 200
    [run] = publisher.task.test_runs
    assert (run.name, run.state) == ("gate", "Completed")
    assert run.named("train").attachments == {"executed.html": b"<html>"}
    assert run.named("train").fields["outcome"] == "Passed"
    assert publisher.server.violations == []


def test_what_was_made_can_be_found_again(publisher: Publisher) -> None:
    publisher.create()
    publisher.result()
    publisher.attach()
    uri = {"buildUri": "vstfs:///Build/Build/4711"}
    listed = requests.get(
        publisher.tests,
        params={"api-version": "7.1", **uri},
        headers={"Authorization": f"Bearer {publisher.ids['AuthToken']}"},
        timeout=30,
    )
    assert [run["name"] for run in listed.json()["value"]] == ["gate"]
    [result] = publisher.call("GET", "/1/results").json()["value"]
    assert (result["id"], result["automatedTestName"]) == (100000, "train")
    files = publisher.call("GET", "/1/Results/100000/attachments").json()["value"]
    assert [file["fileName"] for file in files] == ["executed.html"]


def test_a_build_shows_its_own_test_runs_alone(publisher: Publisher) -> None:
    other = Publisher(publisher.server, publisher.server.new_task(build_id=4712))
    publisher.create()
    assert other.task.test_runs == []
    assert other.result().status_code == 404


def test_what_is_attached_to_the_record_is_replaced_by_name(publisher: Publisher) -> None:
    assert publisher.keep(b"one").status_code == 201
    publisher.keep(b"two")
    assert publisher.task.attachments == {("Summary", "mlgate"): b"two"}
    assert publisher.server.violations == []


def completed(publisher: Publisher) -> requests.Response:
    publisher.create()
    return publisher.call("PATCH", "/1", json={"state": "Completed"})


SLIPS: dict[str, Callable[[Publisher], object]] = {
    "a second test run": lambda c: (c.create(), c.create()),
    "a second result": lambda c: (c.create(), c.result(), c.result()),
    "a second executed.html": lambda c: (c.create(), c.result(), c.attach(), c.attach()),
    "not automated": lambda c: c.create(automated=False),
    "stackTrace is longer": lambda c: (c.create(), c.result(stackTrace="x" * 1001)),
    "1 to 1000 results": lambda c: (c.create(), c.call("POST", "/1/results", json=[])),
    "an attachment must have": lambda c: (c.create(), c.result(), c.attach(stream="")),
    "completed before its results": lambda c: (
        c.create(),
        c.result(state="InProgress"),
        c.call("PATCH", "/1", json={"state": "Completed"}),
    ),
    "that is Completed": lambda c: (completed(c), c.result()),
    "Completed becomes Aborted": lambda c: (
        completed(c),
        c.call("PATCH", "/1", json={"state": "Aborted"}),
    ),
    "not after startedDate": lambda c: (
        c.create(),
        c.result(startedDate="2026-01-01T00:00:00Z", completedDate="2026-01-01T00:00:00Z"),
    ),
    "after TaskCompleted": lambda c: (c.event(), c.create()),
    "field 'title'": lambda c: c.create(title="x"),
    "attachment type": lambda c: c.keep(kind="Picture"),
    "an empty attachment": lambda c: c.keep(b""),
    "not a valid name": lambda c: c.patch(variables={"metric.a-b": {"value": "1"}}),
}


@pytest.mark.parametrize(("complaint", "slip"), SLIPS.items(), ids=SLIPS)
def test_a_slip_is_a_violation(
    complaint: str, slip: Callable[[Publisher], object], publisher: Publisher
) -> None:
    slip(publisher)
    [violation] = publisher.server.violations
    assert complaint in violation


REFUSED: dict[str, Callable[[Publisher], requests.Response]] = {
    "no such run": lambda c: c.result(),
    "no such build": lambda c: c.create(build={"id": "1"}),
    "no number": lambda c: c.create(build={"id": "20261121.3"}),
    "another pipeline": lambda c: c.create(pipelineReference={"pipelineId": 1}),
    "no build": lambda c: c.call("GET", ""),
    "state": lambda c: c.create(state="Running"),
    "no list": lambda c: (c.create(), c.call("POST", "/1/results", json={}))[1],
    "outcome": lambda c: (c.create(), c.result(outcome="Succeeded"))[1],
    "no time": lambda c: (c.create(), c.result(startedDate="noon"))[1],
    "no such result": lambda c: (c.create(), c.attach())[1],
    "not base64": lambda c: (c.create(), c.result(), c.attach(stream="%"))[2],
}


@pytest.mark.parametrize("send", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(
    send: Callable[[Publisher], requests.Response], publisher: Publisher
) -> None:
    assert send(publisher).status_code in (400, 404)
