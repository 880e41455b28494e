"""What the live log says of a run, line by line."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import RunState, Trouble, TroubleKind
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.verdict.narration import narrate
from tests.unit.orchestration.engine.builders import NOON, build, passed, run

URL = "https://ml.azure.com/runs/1"


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (run("a"), run("a", submitted=True, studio_url=URL), [f"a: {URL}"]),
        (run("a", studio_url=URL), run("a", studio_url=URL, activity="starting"), ["a: starting"]),
        (run("a"), passed("a", studio_url=URL), [f"a: {URL}", "a: passed"]),
        (run("a"), run("a", status=RunStatus.RUNNING, started_at=NOON), ["a: started"]),
    ],
    ids=["submitted", "known already", "over before it was seen", "without a studio"],
)
def test_a_run_is_told_with_the_way_to_its_studio(
    before: RunState, after: RunState, lines: list[str]
) -> None:
    assert narrate(build(before), build(after)) == lines


LASTING = Trouble("look", TroubleKind.TEMPORARY, NOON, 3, "Azure ML does not answer.")
LINE = "##[warning]Azure ML does not answer. Trying again."


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ((), (LASTING,), [LINE]),
        ((LASTING,), (replace(LASTING, times=4),), []),
        ((LASTING,), (LASTING,), []),
        ((LASTING,), (replace(LASTING, times=4, what="Azure ML answered 503."),), []),
        ((LASTING,), (), []),
        ((LASTING,), (LASTING, replace(LASTING, step="publish", what="Busy.")), ["Busy."]),
        ((LASTING,), (replace(LASTING, kind=TroubleKind.UNFIT, what="No role."),), ["No role."]),
        ((LASTING,), (replace(LASTING, times=1, since=NOON + timedelta(hours=1)),), [LINE]),
    ],
    ids=["new", "again", "no news", "other words", "over", "elsewhere", "worse", "back"],
)
def test_a_trouble_is_told_once_for_as_long_as_it_lasts(
    before: tuple[Trouble, ...], after: tuple[Trouble, ...], lines: list[str]
) -> None:
    told = narrate(build(troubles=before), build(troubles=after))
    assert len(told) == len(lines)
    assert all(words in line for words, line in zip(lines, told, strict=True))


def test_of_many_warnings_the_log_has_the_first() -> None:
    ended = passed("a", warnings=("w",) * 1000)
    lines = narrate(build(run("a")), build(ended))
    assert lines[-2:] == ["##[warning]a: w", "##[warning]a: and 950 more warnings"]
    assert len(lines) == 52


def test_another_attempt_is_told_also_without_a_reason() -> None:
    assert narrate(build(run("a")), build(run("a", attempt=2))) == [
        "##[warning]a: did not succeed. Trying again."
    ]
