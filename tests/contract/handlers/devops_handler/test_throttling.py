"""Being asked to slow down: by 429, by 503, and by a good answer with Retry-After."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest

from mlgate.emulators.azure_devops import Fault
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.telling import Completion, Progress
from tests.contract.handlers.devops_handler.support import Scene

SUCCEEDED = Completion(Verdict.SUCCEEDED, "2 of 2 runs passed")


@pytest.mark.parametrize("status", [429, 503, 502, 504, 408])
def test_the_delay_that_the_service_asks_for_is_passed_on(status: int, scene: Scene) -> None:
    scene.server.faults.add("records.get", Fault.answering(status, "17"))
    with pytest.raises(Temporary) as stopped:
        scene.is_waiting()
    assert stopped.value.delay == 17
    assert scene.calls == ["records.get"]


def test_a_date_is_as_good_as_seconds(scene: Scene) -> None:
    moment = format_datetime(scene.clock.now() + timedelta(seconds=90), usegmt=True)
    scene.server.faults.add("events", Fault.answering(429, moment))
    with pytest.raises(Temporary) as stopped:
        scene.complete(SUCCEEDED)
    assert stopped.value.delay == 90


@pytest.mark.parametrize(
    ("value", "delay"),
    [("soon", 5), ("nan", 5), ("-3", 0), ("0", 0), ("1e9", 600), ("Fri, 99 Foo 2026", 5)],
)
def test_a_nonsensical_delay_is_bounded(value: str, delay: float, scene: Scene) -> None:
    """A lying header neither stops a build for ever nor makes us hammer."""
    scene.server.faults.add("events", Fault.answering(503, value))
    with pytest.raises(Temporary) as stopped:
        scene.complete(SUCCEEDED)
    assert stopped.value.delay == delay


def test_a_good_answer_may_ask_to_wait_before_the_next_call(scene: Scene) -> None:
    """The service delays by 200 with Retry-After: the answer counts, the next call waits."""
    scene.server.faults.add("records.patch", Fault.slow_down("20"))
    scene.complete(SUCCEEDED)
    assert scene.clock.slept == [20]
    assert scene.task.completions == ["succeeded"]


def test_completing_goes_on_under_lasting_delays(scene: Scene) -> None:
    """A project at its limit gets 30 seconds with every answer, and its verdict all the same."""
    scene.server.faults.add("*", Fault.slow_down("30"), times=50)
    scene.complete(SUCCEEDED, doubt=True)
    assert scene.task.completions == ["succeeded"]


def test_progress_stays_silent_while_the_service_wants_to_be_left_alone(scene: Scene) -> None:
    """Lines that came meanwhile follow later."""
    scene.server.faults.add("records.get", Fault.slow_down("20"))
    assert scene.is_waiting()
    scene.show(Progress(10, "0/2 runs", ("one",)))
    assert scene.calls == ["records.get"]
    scene.clock.step(20)
    scene.show(Progress(10, "0/2 runs", ("two",), first_line=2))
    assert [line.text for line in scene.task.feed] == ["one", "two"]


def test_the_pipeline_is_not_asked_while_the_service_wants_to_be_left_alone(scene: Scene) -> None:
    scene.server.faults.add("records.get", Fault.slow_down("20"))
    scene.is_waiting()
    scene.clock.step(5)
    with pytest.raises(Temporary) as stopped:
        scene.is_waiting()
    assert stopped.value.delay == 15
    assert scene.calls == ["records.get"]


def test_a_clock_that_is_set_back_does_not_prolong_the_silence(scene: Scene) -> None:
    scene.server.faults.add("records.get", Fault.slow_down("20"))
    scene.is_waiting()
    scene.clock.step(-3600)
    assert scene.is_waiting()


def test_the_limit_of_one_collection_holds_for_all_its_builds(scene: Scene) -> None:
    """The service counts by user, and the job tokens of a project are one user's."""
    scene.server.faults.add("records.get", Fault.answering(429, "60"))
    with pytest.raises(Temporary):
        scene.is_waiting()
    with pytest.raises(Temporary):
        scene.another_task().is_waiting()
    assert scene.calls == ["records.get"]
