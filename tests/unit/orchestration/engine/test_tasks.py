"""What a backend is given of a build for each attempt."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.orchestration.engine.builders import build, passed, run


def test_every_attempt_of_a_build_is_given_the_same_current_model() -> None:
    one = build(passed("train"), run("evaluate", needs=("train",)), run("again", attempt=2))
    with_model = replace(one, current_model="word")
    assert [one.task_of(each).current_model for each in one.runs] == [None] * 3
    assert [with_model.task_of(each).current_model for each in one.runs] == ["word"] * 3
