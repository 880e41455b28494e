"""What follows from a build's state, by table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlgate.orchestration.builds import (
    Build,
    Phase,
    PipelineAddress,
    RunState,
    Trouble,
    TroubleKind,
)
from mlgate.orchestration.engine import pace, progress, steps
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.engine.work import is_suspect
from mlgate.orchestration.runs import CellEvent, FailureKind, Observation, RunStatus
from tests.unit.orchestration.engine.builders import NOON, build, failed, outcome, passed, run

SOON = NOON + timedelta(seconds=1)
SILENT = Observation(RunStatus.RUNNING)
ADDRESS = PipelineAddress("https://dev.azure.com/o/", "p", "build", "1", "2", "3", "4")


@pytest.mark.parametrize(
    ("state", "step"),
    [
        pytest.param(build(phase=Phase.RECEIVED), steps.Prepare(), id="first the commit"),
        pytest.param(build(run("a"), run("b")), steps.Submit(("a", "b")), id="all at once"),
        pytest.param(
            build(run("a"), run("b", needs=("a",))), steps.Submit(("a",)), id="needs first"
        ),
        pytest.param(
            build(passed("a"), run("b", needs=("a",))), steps.Submit(("b",)), id="needs passed"
        ),
        pytest.param(
            build(run("a", submitted=True), run("b", needs=("a",))),
            steps.Watch(SOON + pace.LOCAL_LOOK),
            id="needs under way",
        ),
        pytest.param(
            build(run("a", submitted=True, ended=True), run("b")),
            steps.Submit(("b",)),
            id="a free place is filled before what was in it is collected",
        ),
        pytest.param(build(passed("a"), failed("b")), steps.Judge(), id="all over"),
        pytest.param(
            build(passed("a"), phase=Phase.COMPLETING), steps.Write(), id="judged, to be written"
        ),
        pytest.param(build(passed("a"), phase=Phase.COMPLETED), steps.Stop(), id="nothing left"),
        pytest.param(
            build(run("a", submitted=True), run("b"), ending_since=NOON),
            steps.Cancel(),
            id="the end cancels what is active and what waits",
        ),
        pytest.param(
            build(run("a", submitted=True, ended=True), ending_since=NOON),
            steps.Collect(("a",)),
            id="the end keeps what ended by itself",
        ),
        pytest.param(build(phase=Phase.RECEIVED, ending_since=NOON), steps.Judge(), id="too late"),
        pytest.param(
            build(run("a", not_before=NOON + timedelta(seconds=2))),
            steps.Watch(NOON + timedelta(seconds=2)),
            id="a retry waits",
        ),
    ],
)
def test_next_step(state: Build, step: steps.Step) -> None:
    assert steps.next_step(state, SOON) == step


@pytest.mark.parametrize(
    ("after", "step"),
    [
        (steps.Submit, steps.Collect(("a",))),
        (steps.Collect, steps.Submit(("b",))),
        (steps.Prepare, steps.Submit(("b",))),
    ],
)
def test_submitting_and_collecting_take_turns(after: type[steps.Step], step: steps.Step) -> None:
    """With hundreds of runs, either would otherwise keep the other waiting for very long."""
    state = build(run("a", submitted=True, ended=True), run("b"))
    assert steps.next_step(state, SOON, after=after) == step


def test_where_nothing_has_ended_one_slice_is_submitted_after_the_other() -> None:
    state = build(run("a", submitted=True), run("b"))
    assert steps.next_step(state, SOON, after=steps.Submit) == steps.Submit(("b",))


def test_a_full_backend_is_not_asked_again_in_the_same_look() -> None:
    step = steps.next_step(build(run("a")), SOON, frozenset({steps.Submit}))

    assert step == steps.Watch(SOON + pace.LOCAL_LOOK)


def test_a_slice_bounds_what_is_submitted_before_the_state_is_saved() -> None:
    many = build(*(run(f"r{number}") for number in range(60)))

    step = steps.next_step(many, SOON)

    assert isinstance(step, steps.Submit)
    assert len(step.names) == steps.SLICE


@pytest.mark.parametrize(
    ("ending_since", "exhausted", "step"),
    [
        (None, set(), steps.Submit(("b",))),
        (None, {steps.Submit}, steps.Watch(SOON + pace.LOCAL_LOOK)),
        (NOON, set(), steps.Cancel()),
        (NOON, {steps.Cancel}, steps.Watch(SOON + pace.LOCAL_LOOK)),
    ],
)
def test_what_cannot_be_taken_over_keeps_nothing_else_waiting_and_is_not_given_up(
    ending_since: datetime | None, exhausted: set[type[steps.Step]], step: steps.Step
) -> None:
    left = run("a", submitted=True, ended=True)
    other = run("b") if ending_since is None else passed("b")

    state = build(left, other, ending_since=ending_since)

    assert steps.next_step(state, SOON, frozenset(exhausted), frozenset({"a"})) == step


STUCK = run(
    "stuck",
    submitted=True,
    ended=True,
    troubles=(Trouble("collect", TroubleKind.TEMPORARY, NOON, 1, "No room."),),
    not_before=SOON + timedelta(seconds=1),
)


@pytest.mark.parametrize(
    ("runs", "seconds", "step"),
    [
        pytest.param(
            (STUCK, run("a", submitted=True, ended=True)), 0, steps.Collect(("a",)), id="new first"
        ),
        pytest.param((STUCK, run("a")), 5, steps.Submit(("a",)), id="then what is submitted"),
        pytest.param((STUCK, passed("a")), 5, steps.Collect(("stuck",)), id="at last itself"),
        pytest.param((STUCK, passed("a")), 0, steps.Watch(SOON + timedelta(seconds=1)), id="later"),
        pytest.param(
            (replace(STUCK, not_before=SOON + timedelta(hours=1)),),
            0,
            steps.Collect(("stuck",)),
            id="at once, where a wrong clock has written when",
        ),
    ],
)
def test_what_could_not_be_collected_comes_after_all_else_and_once_its_pause_is_over(
    runs: tuple[RunState, ...], seconds: float, step: steps.Step
) -> None:
    assert steps.next_step(build(*runs), SOON + timedelta(seconds=seconds)) == step


@pytest.mark.parametrize(
    ("state", "exhausted", "step"),
    [
        ({}, {steps.Write}, steps.Post()),
        ({"pipeline": ADDRESS}, set(), steps.Write()),
        ({"pipeline": ADDRESS}, {steps.Write}, steps.Publish()),
        ({"pipeline": ADDRESS, "published": True}, set(), steps.Post()),
        ({"pipeline": ADDRESS, "completion_posted": True}, set(), steps.Post()),
    ],
)
def test_a_judged_build_is_written_then_published_then_told(
    state: dict[str, Any], exhausted: set[type[steps.Step]], step: steps.Step
) -> None:
    judged = build(passed("a"), phase=Phase.COMPLETING, **state)

    assert steps.next_step(judged, SOON, frozenset(exhausted)) == step


def test_attempts_that_never_end_do_not_hold_a_canceled_build_for_ever() -> None:
    stuck = build(run("a", submitted=True), ending_since=NOON)
    asked = frozenset({steps.Cancel})

    waiting = steps.next_step(stuck, NOON + pace.ENDING_GRACE - timedelta(seconds=1), asked)
    decided = steps.next_step(stuck, NOON + pace.ENDING_GRACE, asked)

    assert isinstance(waiting, steps.Watch)
    assert decided == steps.Judge()


def test_a_look_is_never_later_than_the_deadline() -> None:
    state = build(run("a", submitted=True, submitted_at=NOON), host=None)
    just_before = state.deadline - timedelta(seconds=1)

    assert steps.next_step(state, just_before) == steps.Watch(state.deadline)


@pytest.mark.parametrize(
    ("age", "pipeline", "pause"),
    [(10, True, 5), (120, True, 12), (7200, True, 30), (7200, False, 60)],
)
def test_looks_at_the_cloud_back_off_with_age(age: int, pipeline: bool, pause: int) -> None:
    state = build(
        run("a", submitted=True, submitted_at=NOON),
        host=None,
        deadline=NOON + timedelta(days=1),
        pipeline=ADDRESS if pipeline else None,
    )
    now = NOON + timedelta(seconds=age)

    assert steps.next_step(state, now) == steps.Watch(now + timedelta(seconds=pause))


def test_a_build_that_could_submit_nothing_yet_backs_off_as_well() -> None:
    later = NOON + timedelta(minutes=9)
    state = build(run("a", not_before=later), host=None)
    now = NOON + timedelta(minutes=2)

    assert steps.next_step(state, now) == steps.Watch(now + timedelta(seconds=12))
    just_before = later - timedelta(seconds=1)
    assert steps.next_step(state, just_before) == steps.Watch(later)


def test_absorb_takes_progress_in_and_leaves_the_end_to_collection() -> None:
    state = build(run("a", submitted=True), run("b", submitted=True))
    cells = (CellEvent(1, 0.5, "succeeded"),)
    seen = {
        state.attempt_of(state.run("a")): Observation(RunStatus.RUNNING, NOON, cells, 3),
        state.attempt_of(state.run("b")): Observation(RunStatus.SUCCEEDED),
    }

    after = progress.absorb(state, seen, SOON)

    assert (after.run("a").status, after.run("a").cells) == (RunStatus.RUNNING, cells)
    assert (after.run("b").ended, after.run("b").status.ended) == (True, False)


def test_a_run_has_an_activity_until_it_begins_or_ends() -> None:
    state = build(run("a", submitted=True))
    attempt = state.attempt_of(state.run("a"))
    copying = Observation(RunStatus.QUEUED, activity="copying files")

    found = progress.absorb(state, {attempt: copying}, SOON)
    begun = progress.absorb(found, {attempt: SILENT}, SOON)
    over = progress.absorb(found, {attempt: replace(copying, status=RunStatus.FAILED)}, SOON)

    assert found.run("a").activity == "copying files"
    assert begun.run("a").activity is None
    assert over.run("a").activity is None


@pytest.mark.parametrize(
    ("changes", "since"),
    [
        ({}, None),
        ({"hindered": 1.0, "ended_at": NOON}, NOON),
        ({"begun": {Doing.TURN: 2}, "ended_at": NOON}, NOON),
        ({"begun": {Doing.TURN: 1}, "ended_at": NOON}, None),
        ({"hindered": 1.0, "ending_since": NOON}, NOON - pace.LONGEST_ENDING),
        (
            {"hindered": 1.0, "ending_since": NOON, "ended_at": NOON - timedelta(hours=1)},
            NOON - timedelta(hours=1),
        ),
        ({"hindered": 1.0}, None),
        ({"ending_since": NOON}, None),
    ],
)
def test_a_verdict_that_something_hinders_is_told_after_minutes(
    changes: dict[str, Any], since: datetime | None
) -> None:
    state = build(run("a"), **changes)
    late = NOON + timedelta(days=1)
    due = late if since is None else since + pace.TELLING_LIMIT

    assert not pace.must_be_told(state, due - timedelta(seconds=1))
    assert pace.must_be_told(state, due) is (since is not None)


@pytest.mark.parametrize(
    ("begun", "suspect"),
    [
        ({}, False),
        ({Doing.TURN: 1}, False),
        ({Doing.TURN: 2}, True),
        ({Doing.TURN: 1, "collect:a": 1}, True),
        ({Doing.TURN: 1, "collect:a": 0}, False),
    ],
)
def test_a_build_that_may_have_killed_hosts_is_suspect(
    begun: dict[str, int], suspect: bool
) -> None:
    assert is_suspect(build(run("a"), begun=begun)) is suspect


def test_what_a_look_or_an_outcome_does_not_say_stays_as_it_was_seen() -> None:
    cells = (CellEvent(1, 0.5, "succeeded"),)
    known = {"started_at": NOON, "cells": cells, "cells_total": 3, "studio_url": "https://ml"}
    state = build(run("a", submitted=True, **known))

    after = progress.absorb(state, {state.attempt_of(state.run("a")): SILENT}, SOON)
    over = progress.finish(after, "a", outcome(), SOON)

    for each in (after.run("a"), over.run("a")):
        assert {name: getattr(each, name) for name in known} == known
    assert over.run("a").finished_at == SOON


@pytest.mark.parametrize("ending", ["cancel_requested", "pipeline_ended", "deadline"])
def test_absorb_notices_each_way_of_ending_once(ending: str) -> None:
    ways: dict[str, dict[str, Any]] = {
        "cancel_requested": {"cancel_requested": "somebody said so"},
        "pipeline_ended": {"pipeline_ended": True},
        "deadline": {"deadline": NOON},
    }
    state = build(run("a"), **ways[ending])

    once = progress.absorb(state, {}, NOON)
    twice = progress.absorb(once, {}, SOON)

    assert once.ending_since == NOON
    assert twice.ending_since == NOON


@pytest.mark.parametrize("kind", list(FailureKind))
def test_only_transient_failures_are_tried_again(kind: FailureKind) -> None:
    state = build(run("a", submitted=True, ended=True, retries=1))

    after = progress.finish(state, "a", outcome(kind), NOON).run("a")

    assert (after.attempt == 2) is kind.transient
    assert (after.status is RunStatus.QUEUED) is kind.transient
    if kind.transient:
        assert not after.submitted
        assert "it broke" in after.warnings[-1]


def test_retries_run_out() -> None:
    state = build(run("a", submitted=True, ended=True, retries=2, attempt=3))

    after = progress.finish(state, "a", outcome(FailureKind.NETWORK), NOON).run("a")

    assert (after.status, after.attempt) == (RunStatus.FAILED, 3)


def test_a_build_that_ends_tries_nothing_again() -> None:
    state = build(run("a", submitted=True, ended=True, retries=2), ending_since=NOON)

    after = progress.finish(state, "a", outcome(FailureKind.NETWORK), NOON).run("a")

    assert after.status is RunStatus.FAILED


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_what_needs_a_failed_run_is_skipped_and_so_is_what_needs_that(order: str) -> None:
    runs = {
        "a": run("a", submitted=True, ended=True),
        "b": run("b", needs=("a",)),
        "c": run("c", needs=("b",)),
    }
    state = build(*(runs[name] for name in order))

    after = progress.finish(state, "a", outcome(FailureKind.CODE), NOON)

    assert [after.run(name).status for name in "abc"] == ["failed", "skipped", "skipped"]


def test_percent_counts_cells_and_never_falls() -> None:
    cells = tuple(CellEvent(number, 0.1, "succeeded") for number in (1, 2))
    half = build(passed("a"), run("b", submitted=True, cells=cells, cells_total=4))

    assert progress.with_percent(half).percent == 75
    assert progress.with_percent(build(run("a"), percent=40)).percent == 40
    assert progress.with_percent(build(passed("a"))).percent == 99
    assert progress.with_percent(build(passed("a"), phase=Phase.COMPLETING)).percent == 100
