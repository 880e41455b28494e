"""Whether the pipeline still waits, which it never says by itself."""

from __future__ import annotations

import pytest

from mlgate.emulators.azure_devops import Fault, FaultKind
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.telling import Completion, Progress, Results
from tests.contract.handlers.devops_handler.support import Scene, address_of, token_of

ENDED = [
    "TaskOrchestrationPlanNotFoundException",
    "TaskOrchestrationPlanSecurityException",
    "TaskOrchestrationPlanTerminatedException",
    "TaskAgentJobTokenExpiredException",
]
FAILED = Completion(Verdict.FAILED, "1 of 2 runs passed")


def test_a_step_waits_until_its_verdict_is_told(scene: Scene) -> None:
    assert scene.is_waiting()
    scene.show(Progress(10, "0/2 runs"))
    assert scene.is_waiting()
    scene.complete(FAILED)
    assert not scene.is_waiting()


@pytest.mark.parametrize("name", ["Nightly models", None])
def test_a_pipeline_has_its_definition_s_name(name: str | None, scene: Scene) -> None:
    step = scene.server.new_task(pipeline=name)
    assert scene.handler.name(address_of(step), token_of(step)) == name


def test_a_plan_that_is_over_tells_no_name(scene: Scene) -> None:
    scene.task.end_plan(ENDED[0])
    assert scene.handler.name(address_of(scene.task), token_of(scene.task)) is None


def test_a_canceled_step_does_not_wait(scene: Scene) -> None:
    scene.show(Progress(10, "0/2 runs"))
    scene.task.cancel()
    assert not scene.is_waiting()


def test_a_step_whose_job_has_ended_does_not_wait(scene: Scene) -> None:
    scene.task.cancel(job_only=True)
    assert not scene.is_waiting()


def test_a_step_that_does_not_wait_for_completion_is_not_waiting(scene: Scene) -> None:
    """waitForCompletion was false: the step ended when the message was sent."""
    done = scene.server.new_task(wait=False)
    assert not scene.handler.is_waiting(address_of(done), token_of(done))


def test_a_step_whose_record_is_not_there_yet_is_taken_to_wait(scene: Scene) -> None:
    """Ending a build on a guess costs more than going on with it."""
    stranger = scene.server.new_task()
    address = address_of(scene.task)
    unknown = address_of(stranger).task_instance_id
    moved = type(address)(
        address.plan_url,
        address.project_id,
        address.hub_name,
        address.plan_id,
        address.job_id,
        address.timeline_id,
        unknown,
    )
    assert scene.handler.is_waiting(moved, token_of(scene.task))


@pytest.mark.parametrize("type_key", ENDED)
def test_an_ended_plan_does_not_wait_and_takes_nothing(type_key: str, scene: Scene) -> None:
    """Neither progress nor the verdict is an error then: nobody is there to be told."""
    scene.show(Progress(10, "0/2 runs"))
    scene.task.end_plan(type_key)
    assert not scene.is_waiting()
    scene.clock.step(1)
    scene.show(Progress(50, "1/2 runs", ("one",)))
    scene.complete(FAILED)
    scene.complete(FAILED, doubt=True)
    assert scene.task.completions == []
    assert scene.task.feed == []


@pytest.mark.parametrize("call", ["records.patch", "events", "records.get"])
def test_a_plan_may_end_between_any_two_calls(call: str, scene: Scene) -> None:
    scene.server.faults.add(call, Fault.ended("TaskOrchestrationPlanNotFoundException"))
    scene.complete(FAILED)
    assert scene.task.completions in ([], ["failed"])


@pytest.mark.parametrize(
    "fault",
    [
        Fault.answering(500),
        Fault.answering(503),
        Fault(FaultKind.RESET),
        Fault(FaultKind.LOST),
        Fault(FaultKind.GARBLED),
    ],
    ids=lambda fault: f"{fault.kind.name}-{fault.status}",
)
def test_a_short_fault_is_sat_out_and_a_long_one_reported(fault: Fault, scene: Scene) -> None:
    """Two more tries within the call, a few seconds in all."""
    scene.server.faults.add("records.get", fault, times=2)
    assert scene.is_waiting()
    assert scene.clock.slept == [1, 2]
    scene.server.faults.add("records.get", fault, times=3)
    with pytest.raises(Temporary):
        scene.is_waiting()


def test_a_server_that_is_not_there_is_reported_as_passing(scene: Scene) -> None:
    scene.server.__exit__(None, None, None)
    with pytest.raises(Temporary, match="127"):
        scene.is_waiting()


def test_a_refusal_is_told_with_its_status(scene: Scene) -> None:
    scene.server.faults.add("records.get", Fault.answering(403))
    with pytest.raises(Permanent, match="403"):
        scene.is_waiting()


def test_nothing_is_remembered_of_a_step_that_was_canceled(scene: Scene) -> None:
    scene.show(Progress(10, "0/2 runs"))
    scene.task.cancel()
    assert not scene.is_waiting()
    scene.publish(Results("b", "1", "mlgate", verdict=Verdict.CANCELED))
    assert len(scene.handler._displays) == 0
