"""A build that is a check: what a host finds is its verdict, and what people see."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.checks import (
    Check,
    CheckStatus,
    Examination,
    NotApplicable,
    Wrong,
    conclusion,
    examine,
)
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.wire.messages import read
from mlgate.orchestration.wire.schema import schema
from tests.unit.orchestration.engine.twins import COLLECTION, TOKEN, Killed, World

LEASE = timedelta(seconds=11)
REPOSITORY = {"url": "https://dev.azure.com/contoso/p/_git/r"}
WRONG = Check("queue-send", CheckStatus.WRONG, "It refuses.", "Give it the role Data Sender.")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def checked(world: World) -> str:
    """The key of a check that has ended."""
    key = world.start(kind="check")
    assert key is not None
    world.run_to_end()
    return key


def fails(error: Exception) -> str:
    raise error


def made(*examinations: Examination) -> dict[str, Check]:
    return {check.name: check for check in examine(examinations)}


def test_each_way_to_end_is_a_status() -> None:
    found = made(
        Examination("well", lambda: "It is there.", "-"),
        Examination("none", lambda: fails(NotApplicable("No use for it.")), "-"),
        Examination("wrong", lambda: fails(Wrong("It is not.")), "Make it."),
        Examination("known", lambda: fails(Wrong("It is not.", "Ask Ann.")), "Make it."),
        Examination("ours", lambda: fails(Permanent("It said no.")), "Make it."),
        Examination("bug", lambda: fails(ZeroDivisionError("x")), "Report it."),
    )

    assert found == {
        "well": Check("well", CheckStatus.OK, "It is there."),
        "none": Check("none", CheckStatus.NOT_APPLICABLE, "No use for it."),
        "wrong": Check("wrong", CheckStatus.WRONG, "It is not.", "Make it."),
        "known": Check("known", CheckStatus.WRONG, "It is not.", "Ask Ann."),
        "ours": Check("ours", CheckStatus.WRONG, "It said no.", "Make it."),
        "bug": Check(
            "bug",
            CheckStatus.WRONG,
            "mlgate met an unexpected error: ZeroDivisionError('x')",
            "Report it.",
        ),
    }


def test_what_stands_on_a_wrong_one_is_not_tried() -> None:
    found = made(
        Examination("a", lambda: fails(Wrong("No.")), "Do."),
        Examination("b", lambda: fails(AssertionError()), "-", needs=("a",)),
        Examination("c", lambda: fails(AssertionError()), "-", needs=("b",)),
        Examination("d", lambda: "Fine.", "-", needs=("a-that-is-not-made",)),
    )

    assert [found[name].status for name in "abcd"] == [
        "wrong",
        "not_applicable",
        "not_applicable",
        "ok",
    ]
    assert found["b"].says == "Not tried: it needs a."
    assert conclusion(list(found.values())) == "1 of 2 checks found something wrong: a."


def test_one_that_never_answers_keeps_nobody() -> None:
    never = threading.Event()
    found = made(Examination("a", lambda: str(never.wait()), "Restart it.", limit=0.05))
    never.set()

    assert found["a"].says == "There was no answer within 0 seconds."
    assert found["a"].wrong


def test_all_well_is_a_passed_step(world: World) -> None:
    key = checked(world)
    [asked] = world.doctor.asked
    [(completion, _)] = world.pipeline.completions

    assert completion.verdict is Verdict.SUCCEEDED
    assert completion.reason == "All is well: 1 checks."
    assert (asked.backend, asked.repository and asked.repository.url) == (
        "local",
        REPOSITORY["url"],
    )
    assert asked.pipeline is not None
    assert asked.pipeline.plan_url == COLLECTION
    assert asked.token is not None
    assert asked.token.get_secret_value() == TOKEN
    assert world.state.token(key) is None


def test_what_is_wrong_fails_the_step_with_its_remedy_in_everything_people_see(
    world: World,
) -> None:
    world.doctor.finds.append(WRONG)
    key = checked(world)
    [(completion, _)] = world.pipeline.completions
    lines = "\n".join(line for shown in world.pipeline.shown for line in shown.lines)
    result = json.loads(world.files.read(key, "result.json") or b"")
    junit = ET.fromstring(world.files.read(key, "junit.xml") or b"")
    page = (world.files.read(key, "report.html") or b"").decode()

    assert completion.verdict is Verdict.FAILED
    assert completion.issues == (str(WRONG),)
    assert f"{WRONG.says} {WRONG.remedy}" in lines
    assert result["checks"][1] == {
        "name": "queue-send",
        "status": "wrong",
        "says": WRONG.says,
        "remedy": WRONG.remedy,
    }
    assert [case.get("name") for case in junit.iter("testcase")] == ["queue", "queue-send"]
    assert len(list(junit.iter("failure"))) == 1
    assert WRONG.remedy in page


def test_a_check_whose_hosts_die_fails_after_the_third(world: World) -> None:
    world.doctor.faults = [Killed()] * 3
    key = world.start(kind="check")
    assert key is not None
    while world.doctor.faults:
        world.queue.messages.append(world.queue.messages[0])
        with pytest.raises(Killed):
            world.deliver()
        world.clock.time += LEASE
    world.run_to_end()

    [(completion, _)] = world.pipeline.completions
    assert completion.verdict is Verdict.FAILED
    assert "hosts died" in completion.reason


@pytest.mark.parametrize("field", ["runs", "runs_from", "defaults", "gate", "promote"])
def test_a_check_has_none_of_the_fields_of_runs(field: str) -> None:
    body = {"version": 1, "kind": "check", "repository": REPOSITORY, field: {}}
    codes = {(each.pointer, each.code) for each in read(json.dumps(body).encode()).findings}

    assert (f"/{field}", "conflicting-fields") in codes
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, schema())


def test_the_schema_takes_a_check_and_wants_runs_of_all_others() -> None:
    check = {"version": 1, "kind": "check", "repository": REPOSITORY}
    jsonschema.validate(check, schema())
    for kind in ({}, {"kind": "start"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"version": 1, "repository": REPOSITORY, **kind}, schema())
