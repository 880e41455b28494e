"""What the stand-in answers to a client that does everything right."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
import requests

from mlgate.emulators.azure_devops import AzureDevOps
from mlgate.emulators.azure_devops.plan import NO_GUID
from tests.unit.emulators.azure_devops.support import Client


def test_a_task_has_the_nine_properties_of_the_pipeline_task(client: Client) -> None:
    assert sorted(client.ids) == [
        "AuthToken",
        "HubName",
        "JobId",
        "PlanId",
        "PlanUrl",
        "ProjectId",
        "TaskInstanceId",
        "TaskInstanceName",
        "TimelineId",
    ]
    assert client.ids["PlanUrl"] == client.server.collection_url
    assert client.ids["PlanUrl"].endswith("/org/")


def test_the_token_is_shaped_like_a_jwt_that_says_when_it_expires(server: AzureDevOps) -> None:
    task = server.new_task(token_lifetime=timedelta(hours=2))
    claims = task.properties["AuthToken"].split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    left = datetime.fromtimestamp(decoded["exp"], UTC) - datetime.now(UTC)
    assert timedelta(hours=1) < left <= timedelta(hours=2)


def test_completing_a_task_ends_its_step_and_its_job(client: Client) -> None:
    assert client.event(result="failed").status_code == 204
    assert client.task.completions == ["failed"]
    assert client.task.wait_completed(0) == "failed"
    rows = client.get().json()["value"]
    assert {(row["type"], row["state"], row["result"]) for row in rows} == {
        ("Job", "completed", "failed"),
        ("Task", "completed", "failed"),
    }


def test_nobody_waits_longer_than_told(client: Client) -> None:
    assert client.task.wait_completed(0.01) is None


def test_a_second_completion_is_recorded_without_effect(client: Client) -> None:
    client.event(result="succeeded")
    client.event(result="failed")
    assert client.task.completions == ["succeeded", "failed"]
    assert client.task.record.result == "succeeded"
    assert len(client.server.violations) == 1


def test_a_task_that_does_not_wait_takes_no_events(server: AzureDevOps) -> None:
    client = Client(server, server.new_task(wait=False))
    assert client.event().status_code == 400
    assert client.task.record.state == "completed"
    assert client.task.completions == []


def test_an_event_of_another_task_is_refused(client: Client) -> None:
    assert client.event(taskId=client.ids["JobId"]).status_code == 404
    assert client.task.completions == []


@pytest.mark.parametrize(("version", "swapped"), [(12, True), (13, False)])
def test_gates_of_old_plans_are_told_by_swapped_ids(
    version: int, swapped: bool, server: AzureDevOps
) -> None:
    client = Client(server, server.new_task(hub="Gates", plan_version=version))
    swap = client.event(jobId=client.ids["TaskInstanceId"], taskId=NO_GUID)
    assert (swap.status_code == 204) is swapped
    assert (client.event().status_code == 204) is not swapped


def test_the_plan_tells_its_version(client: Client) -> None:
    plan = client.send("GET", client.url, version="7.2-preview.2").json()
    assert (plan["planId"], plan["version"]) == (client.ids["PlanId"], 12)


def test_a_patch_changes_what_it_names_and_nothing_else(client: Client) -> None:
    client.patch(state="inProgress", currentOperation="one", variables={"A": {"value": "1"}})
    answer = client.patch(percentComplete=40, variables={"B": {"value": "2"}}).json()
    assert answer["count"] == 1
    assert answer["value"][0]["currentOperation"] == "one"
    record = client.task.record
    assert (record.state, record.percent, record.operation) == ("inProgress", 40, "one")
    assert sorted(record.variables) == ["A", "B"]


def test_a_patch_makes_a_record_that_was_not_there(client: Client) -> None:
    child = "11111111-2222-3333-4444-555555555555"
    client.patch(id=child, parentId=client.ids["JobId"], type="Task", name="train")
    assert child in [row["id"] for row in client.get().json()["value"]]


def test_feed_lines_are_kept_in_order_with_their_numbers(client: Client) -> None:
    assert client.lines("a", "b", startLine=7).status_code == 204
    assert client.lines("c").status_code == 204
    assert [(line.text, line.number) for line in client.task.feed] == [
        ("a", 7),
        ("b", 8),
        ("c", None),
    ]


def test_a_log_is_made_once_for_a_path_and_appended_to(client: Client) -> None:
    for text in ("one\n", "two\n"):
        log = client.send("POST", f"{client.url}/logs", json={"path": "logs\\x"}).json()
        client.send(
            "POST",
            f"{client.url}/logs/{log['id']}",
            data=text.encode(),
            headers={"Content-Type": "application/octet-stream"},
        )
    assert client.task.log == ""
    client.patch(log={"id": log["id"]})
    assert client.task.log == "one\ntwo\n"
    assert client.server.violations == []


def test_a_path_is_read_in_any_case_and_with_double_slashes(client: Client) -> None:
    origin, _, rest = client.records.partition("/org/")
    path = f"/org/{rest}"
    for spelling in (path.upper(), path.replace("/", "//")):
        assert client.send("GET", f"{origin}{spelling}").status_code == 200


def test_field_names_are_read_in_any_case_but_that_is_careless(client: Client) -> None:
    client.patch(State="InProgress")
    assert client.task.record.state == "inProgress"
    [violation] = client.server.violations
    assert violation.endswith("field 'State' is spelled 'state'")


def test_basic_authorization_is_as_good_as_bearer(client: Client) -> None:
    answer = requests.get(
        client.records,
        params={"api-version": "4.1"},
        auth=("", client.ids["AuthToken"]),
        timeout=30,
    )
    assert answer.status_code == 200


def test_an_api_version_may_come_in_the_accept_header(client: Client) -> None:
    headers = {"Accept": "application/json; api-version=4.1"}
    assert client.send("GET", client.records, version=None, headers=headers).status_code == 200
    assert client.server.violations == []


def test_an_identity_of_the_organization_may_call_every_plan(client: Client) -> None:
    answer = client.send("GET", client.records, token=client.server.new_identity())
    assert answer.status_code == 200
    assert client.server.requests[-1].caller == "identity"


def test_requests_are_remembered_with_their_status_and_without_their_token(
    client: Client,
) -> None:
    client.get()
    client.event(name="Nonsense")
    assert [(seen.method, seen.call, seen.status) for seen in client.server.requests] == [
        ("GET", "records.get", 200),
        ("POST", "events", 400),
    ]
    assert client.ids["AuthToken"] not in repr(client.server.requests)


def test_what_arrives_is_told_as_it_arrives(client: Client) -> None:
    """So that a terminal can follow a build live."""
    lines: list[str] = []
    percents: list[int | None] = []
    client.task.on_feed = lambda arrived: lines.extend(line.text for line in arrived)
    client.task.on_record = lambda record: percents.append(record.percent)
    client.lines("a", "b")
    client.patch(percentComplete=10)
    client.lines("c")
    client.patch(percentComplete=10)
    client.patch(percentComplete=20)
    assert lines == ["a", "b", "c"]
    assert percents == [10, 10, 20]


def test_a_canceled_step_ends_in_silence(client: Client) -> None:
    """No message, no error: only the record says so, and late writes are taken."""
    client.task.cancel()
    assert client.task.wait_completed(0) == "canceled"
    assert client.patch(percentComplete=10).status_code == 200
    assert client.event().status_code == 204
    assert client.task.record.result == "canceled"


@pytest.mark.parametrize(
    ("type_key", "status"),
    [
        ("TaskOrchestrationPlanNotFoundException", 404),
        ("TaskOrchestrationPlanSecurityException", 403),
        ("TaskOrchestrationPlanTerminatedException", 400),
    ],
)
def test_an_ended_plan_refuses_every_call(type_key: str, status: int, client: Client) -> None:
    client.task.end_plan(type_key)
    for answer in (
        client.get(),
        client.patch(percentComplete=1),
        client.lines("a"),
        client.event(),
    ):
        assert (answer.status_code, answer.json()["typeKey"]) == (status, type_key)
    assert client.task.completions == []
    assert client.task.feed == []


def test_an_expired_token_gets_a_page_or_a_401(client: Client) -> None:
    client.task.expire_token()
    for answer in (client.get(), client.lines("a"), client.event()):
        assert answer.status_code == 203
        assert answer.headers["Content-Type"] == "text/html"
    refused = client.patch(percentComplete=1)
    assert refused.status_code == 401
    assert "TF400813" in refused.json()["message"]


def test_a_token_expires_by_the_clock() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with AzureDevOps(clock=lambda: now) as server:
        client = Client(server, server.new_task(token_lifetime=timedelta(hours=1)))
        assert client.get().status_code == 200
        now += timedelta(hours=1)
        assert client.get().status_code == 203


def test_a_token_is_no_good_for_another_plan(client: Client) -> None:
    other = Client(client.server, client.server.new_task())
    answer = client.send("GET", client.records, token=other.ids["AuthToken"])
    assert answer.json()["typeKey"] == "TaskOrchestrationPlanNotFoundException"
