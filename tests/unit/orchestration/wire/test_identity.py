"""Who waits, and which build it is: the same for every delivery of one request."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.admission.identity import PIPELINE_PROPERTIES, build_key, pipeline_address
from mlgate.orchestration.builds import PipelineAddress
from tests.unit.orchestration.wire.samples import GUIDS, PROPERTIES, findings_of, places

MANDATORY = {"PlanUrl", "ProjectId", "PlanId", "JobId", "TimelineId", "AuthToken"}


def address(**changes: str) -> PipelineAddress:
    found = pipeline_address(PROPERTIES | changes)
    assert found is not None
    return found[0]


def test_the_nine_properties_become_an_address_and_a_token() -> None:
    found = pipeline_address(PROPERTIES)
    assert found is not None
    where, token = found
    assert where == PipelineAddress(
        plan_url="https://dev.azure.com/contoso/",
        project_id=GUIDS[0],
        hub_name="build",
        plan_id=GUIDS[1],
        job_id=GUIDS[2],
        timeline_id=GUIDS[3],
        task_instance_id=GUIDS[4],
        task_instance_name="PublishToAzureServiceBus",
    )
    assert token.get_secret_value() == "made-up-token"
    assert "made-up-token" not in repr(found)
    assert set(PROPERTIES) == set(PIPELINE_PROPERTIES)


@pytest.mark.parametrize("hub", ["Build", "release", "GATES", "Checks", "deployment"])
def test_the_hub_is_echoed_as_received(hub: str) -> None:
    assert address(HubName=hub).hub_name == hub


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"other": "x"},
        {"HubName": "build"},
        dict.fromkeys(PIPELINE_PROPERTIES, ""),
        {"planid": "x"},
    ],
)
def test_without_any_mandatory_property_there_is_no_pipeline(properties: dict[str, str]) -> None:
    assert pipeline_address(properties) is None


@pytest.mark.parametrize("name", sorted(MANDATORY))
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_mandatory_property_is_a_finding(name: str, value: str | None) -> None:
    given = {key: text for key, text in PROPERTIES.items() if key != name}
    if value is not None:
        given[name] = value
    found = findings_of(pipeline_address, given)
    assert places(found) == {("missing-property", f"/application-properties/{name}")}


def test_all_that_are_missing_are_told_at_once() -> None:
    found = findings_of(pipeline_address, {"AuthToken": "x"})
    assert len(found) == len(MANDATORY) - 1


def test_an_absent_hub_is_a_release() -> None:
    assert address(HubName="").hub_name == "Release"


def test_an_absent_task_instance_gets_the_same_id_at_every_delivery() -> None:
    made = address(TaskInstanceId="").task_instance_id
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made)
    assert made == address(TaskInstanceId="", PlanId=GUIDS[1].upper()).task_instance_id
    assert made != address(TaskInstanceId="", JobId=GUIDS[0]).task_instance_id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PlanUrl", "dev.azure.com/contoso"),
        ("PlanUrl", "file:///etc"),
        ("PlanUrl", "ssh://dev.azure.com/contoso"),
        ("PlanUrl", "https://me@dev.azure.com/contoso/"),
        ("PlanUrl", "https://dev.azure.com/contoso/?a=b"),
        ("PlanUrl", "https://dev.azure.com\\@evil/"),
        ("PlanUrl", "https://[::1/"),
        ("HubName", "rm"),
        ("HubName", "build/../../x"),
        ("ProjectId", "sales"),
        ("PlanId", f"{{{GUIDS[1]}}}"),
        ("JobId", f"{GUIDS[2]}\n"),
        ("TimelineId", "../x"),
        ("TaskInstanceId", "1"),
        ("AuthToken", "two\r\nlines"),
        ("AuthToken", "tökén"),
    ],
)
def test_a_malformed_property_is_a_finding_that_does_not_repeat_it(name: str, value: str) -> None:
    found = findings_of(pipeline_address, PROPERTIES | {name: value})
    assert places(found) == {("bad-property", f"/application-properties/{name}")}
    assert value not in str(found[0])


def test_a_build_is_plan_job_task_and_attempt() -> None:
    key = build_key(address(), 1, "message-1")
    assert re.fullmatch("[0-9a-f]{20}", key)
    assert key == build_key(address(), 1, "message-2")
    assert key == build_key(address(TimelineId=GUIDS[0], AuthToken="x", HubName="gates"), 1, "")
    others: list[dict[str, Any]] = [
        {"PlanId": GUIDS[0]},
        {"JobId": GUIDS[0]},
        {"TaskInstanceId": GUIDS[0]},
    ]
    keys = {build_key(address(**other), 1, "") for other in others} | {build_key(address(), 2, "")}
    assert len(keys | {key}) == 5


def test_identifiers_are_the_same_in_either_case() -> None:
    upper = {name: PROPERTIES[name].upper() for name in ("PlanId", "JobId", "TaskInstanceId")}
    assert build_key(address(**upper), 1, "") == build_key(address(), 1, "")


def test_without_a_pipeline_a_build_is_its_message() -> None:
    assert build_key(None, 1, "a") == build_key(None, 2, "a")
    assert build_key(None, 1, "a") != build_key(None, 1, "A")


def test_a_message_that_cannot_be_told_apart_is_refused() -> None:
    assert places(findings_of(build_key, None, 1, "")) == {("missing-property", "")}


@given(st.dictionaries(st.sampled_from(PIPELINE_PROPERTIES), st.text()))
def test_no_properties_make_it_raise_anything_but_bad_message(properties: dict[str, str]) -> None:
    codes = {finding.code for finding in findings_of(pipeline_address, PROPERTIES | properties)}
    assert codes <= {"missing-property", "bad-property"}
