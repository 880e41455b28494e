"""What people see while a build goes on: enough, in order, and not more than the service likes."""

from __future__ import annotations

from contextlib import suppress

import pytest

from mlgate.emulators.azure_devops import Fault, FaultKind
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.telling import Completion, Progress
from tests.contract.handlers.devops_handler.support import Scene


def texts(scene: Scene) -> list[str]:
    return [line.text for line in scene.task.feed]


def test_the_first_progress_sets_the_step_going(scene: Scene) -> None:
    scene.show(Progress(0, "checking out the repository"))
    assert scene.task.record.state == "inProgress"
    assert scene.task.record.percent == 0
    assert scene.task.record.operation == "checking out the repository"


def test_the_start_is_told_once_whichever_host_shows_the_build(scene: Scene) -> None:
    for teller in (scene, scene, scene.another_handler()):
        teller.show(Progress(10, "0/2 runs"))
        scene.clock.step(1)
    assert scene.task.events == ["TaskStarted"]
    assert scene.calls.index("events") < scene.calls.index("records.patch")


@pytest.mark.parametrize("version", [12, 13])
def test_a_gate_is_told_of_its_start_by_the_ids_it_expects(version: int, scene: Scene) -> None:
    gate = scene.another_task(hub="Gates", plan_version=version)
    gate.show(Progress(0, "checking out the repository"))
    assert gate.task.events == ["TaskStarted"]


@pytest.mark.parametrize(
    "fault",
    [Fault.answering(400), Fault.answering(503), Fault(FaultKind.RESET), Fault(FaultKind.LOST)],
    ids=lambda fault: f"{fault.kind.name}-{fault.status}",
)
def test_nothing_depends_on_the_start_being_told(fault: Fault, scene: Scene) -> None:
    """The record says that the step is in progress, and no event is posted a second time."""
    scene.server.faults.add("events", fault)
    for percent in (10, 20):
        scene.show(Progress(percent, "0/2 runs"))
        scene.clock.step(1)
    assert (scene.task.record.state, scene.task.record.percent) == ("inProgress", 20)
    assert scene.calls.count("events") == 1


def test_lines_arrive_live_and_stay_in_the_log(scene: Scene) -> None:
    """The feed is gone when the page is left; the log is there for the next reader."""
    scene.show(Progress(10, "0/2 runs", ("train: started", "    indented"), first_line=1))
    assert texts(scene) == ["train: started", "    indented"]
    assert [line.number for line in scene.task.feed] == [1, 2]
    assert scene.task.log == (
        "2026-03-01T12:00:00.0000000Z train: started\n2026-03-01T12:00:00.0000000Z     indented\n"
    )


def test_nothing_is_sent_when_nothing_is_new(scene: Scene) -> None:
    scene.show(Progress(10, "0/2 runs"))
    before = len(scene.calls)
    scene.clock.step(60)
    scene.show(Progress(10, "0/2 runs"))
    assert len(scene.calls) == before


def test_progress_that_comes_fast_is_sent_once_a_second(scene: Scene) -> None:
    """A hundred calls within two seconds make at most three requests of each kind."""
    for number in range(100):
        scene.show(Progress(number, f"cell {number}", (f"line {number}",), first_line=number + 1))
        scene.clock.step(0.02)
    for call in ("records.patch", "feed", "logs.append"):
        assert scene.calls.count(call) == 2
    scene.clock.step(1)
    scene.show(Progress(99, "cell 99"))
    assert texts(scene) == [f"line {number}" for number in range(100)]
    assert scene.task.record.percent == 99
    assert scene.task.log.count("\n") == 100


def test_many_lines_go_in_several_requests(scene: Scene) -> None:
    """At most 100 lines a request, the rest with the calls that follow; none is lost."""
    lines = tuple(f"line {number}" for number in range(1, 301))
    scene.show(Progress(10, "0/2 runs", lines))
    assert len(scene.task.feed) == 100
    for _ in range(2):
        scene.clock.step(1)
        scene.show(Progress(10, "0/2 runs", first_line=301))
    assert texts(scene) == list(lines)
    assert [line.number for line in scene.task.feed] == list(range(1, 301))


def test_a_line_is_cut_to_what_a_log_takes(scene: Scene) -> None:
    """Long lines are cut, line ends within them and terminal colors are taken out."""
    scene.show(Progress(10, "0/2 runs", ("x" * 5000, "two\nlines", "\x1b[31mred\x1b[0m")))
    long, two, red = texts(scene)
    assert len(long) == 1024
    assert two == "two lines"
    assert red == "red"


def test_lines_told_twice_are_shown_once(scene: Scene) -> None:
    """A conductor that could not save tells the same lines again."""
    scene.show(Progress(10, "0/2 runs", ("one", "two"), first_line=1))
    scene.clock.step(1)
    scene.show(Progress(10, "0/2 runs", ("two", "three"), first_line=2))
    assert texts(scene) == ["one", "two", "three"]


def test_a_gap_in_the_lines_keeps_their_numbers(scene: Scene) -> None:
    """What another process showed in between is not ours to renumber."""
    scene.show(Progress(10, "0/2 runs", ("one",), first_line=1))
    scene.show(Progress(10, "0/2 runs", ("two",), first_line=2))
    scene.show(Progress(10, "0/2 runs", ("nine",), first_line=9))
    scene.complete(Completion(Verdict.SUCCEEDED, "2 of 2 runs passed"))
    assert [(line.number, line.text) for line in scene.task.feed] == [
        (1, "one"),
        (2, "two"),
        (9, "nine"),
    ]


@pytest.mark.parametrize(
    "fault",
    [Fault.answering(429, "3"), Fault.answering(503), Fault(FaultKind.RESET)],
    ids=["429", "503", "reset"],
)
@pytest.mark.parametrize("call", ["feed", "logs.append", "logs.create", "records.get"])
def test_lines_that_could_not_be_sent_are_sent_later(call: str, fault: Fault, scene: Scene) -> None:
    scene.server.faults.add(call, fault, times=3)
    for _ in range(4):
        with suppress(Temporary):
            scene.show(Progress(10, "0/2 runs", ("one", "two")))
        scene.clock.step(10)
    assert texts(scene) == ["one", "two"]
    assert [line.partition(" ")[2] for line in scene.task.log.splitlines()] == ["one", "two"]


def test_an_answer_lost_after_its_effect_costs_no_line(scene: Scene) -> None:
    """A line may be shown twice then, under the same number; better than not at all."""
    scene.server.faults.add("feed", FaultKind.LOST)
    with pytest.raises(Temporary):
        scene.show(Progress(10, "0/2 runs", ("one",)))
    scene.clock.step(1)
    scene.show(Progress(10, "0/2 runs", ("two",), first_line=2))
    assert {(line.number, line.text) for line in scene.task.feed} == {(1, "one"), (2, "two")}


def test_the_percentage_never_falls_also_from_one_host_to_the_next(scene: Scene) -> None:
    scene.show(Progress(60, "3/5 runs"))
    elsewhere = scene.another_handler()
    elsewhere.show(Progress(40, "2/5 runs"))
    elsewhere.clock.step(1)
    elsewhere.show(Progress(70, "4/5 runs"))
    assert scene.task.record.percents == (60, 60, 70)


@pytest.mark.parametrize(("told", "shown"), [(30, 50), (101, 100), (80, 80)])
def test_a_percentage_is_shown_as_far_as_it_makes_sense(
    told: int, shown: int, scene: Scene
) -> None:
    scene.show(Progress(50, "before"))
    scene.clock.step(1)
    scene.show(Progress(told, "after"))
    assert scene.task.record.percents == (50, shown)


def test_another_host_goes_on_with_the_same_log(scene: Scene) -> None:
    scene.show(Progress(10, "0/2 runs", ("one",)))
    scene.another_handler().show(Progress(20, "0/2 runs", ("two",), first_line=2))
    assert [line.partition(" ")[2] for line in scene.task.log.splitlines()] == ["one", "two"]
    assert scene.calls.count("logs.create") == 1


def test_a_step_that_keeps_no_log_is_shown_all_the_same(scene: Scene) -> None:
    scene.server.faults.add("logs.create", Fault.answering(400))
    scene.show(Progress(10, "0/2 runs", ("one",)))
    scene.clock.step(1)
    scene.show(Progress(20, "0/2 runs", ("two",), first_line=2))
    assert texts(scene) == ["one", "two"]
    assert scene.task.record.percent == 20
    assert scene.calls.count("logs.create") == 1


def test_a_step_that_has_ended_is_not_reopened(scene: Scene) -> None:
    """A canceled pipeline says nothing: the first look of this host finds out by itself."""
    scene.task.cancel()
    scene.show(Progress(50, "1/2 runs", ("one",)))
    scene.show(Progress(60, "1/2 runs", ("two",), first_line=2))
    assert scene.calls == ["records.get"]
    assert scene.task.record.state == "completed"


def test_several_builds_are_shown_side_by_side(scene: Scene) -> None:
    other = scene.another_task()
    scene.show(Progress(10, "first", ("of the first",)))
    other.show(Progress(20, "second", ("of the second",)))
    assert (texts(scene), texts(other)) == (["of the first"], ["of the second"])
