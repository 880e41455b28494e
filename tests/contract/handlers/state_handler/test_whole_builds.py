"""A build whose state is in blobs meets the worst answer at each of its saves."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.errors import Temporary
from tests.contract.handlers.state_handler.conftest import BlobWorld, Storage


def deliver_until_handled(world: BlobWorld, envelope: Envelope) -> None:
    for _ in range(3):
        try:
            world.conductor.handle(envelope)
        except Temporary:
            envelope = replace(envelope, delivery_count=envelope.delivery_count + 1)
        else:
            return
    raise AssertionError("the message ran out of deliveries")


def run_to_end(world: BlobWorld) -> None:
    deliver_until_handled(world, world.envelope({"name": "train"}))
    for _ in range(50):
        if not world.queue.messages:
            return
        at, message_id, body = world.queue.take()
        world.clock.time = max(world.clock.time, at or world.clock.time)
        deliver_until_handled(world, Envelope(body, {}, message_id))
    raise AssertionError("the build did not come to an end")


@pytest.mark.parametrize(
    "step", [6, pytest.param(1, marks=pytest.mark.slow(reason="every save, half a minute"))]
)
def test_whichever_save_s_answer_never_comes_the_build_completes_once(
    step: int, storage: Storage, tmp_path: Path
) -> None:
    relay = storage.relay
    for number in itertools.count(0, step):
        here = replace(storage, name=f"{storage.name}-{number}")
        world = BlobWorld(tmp_path / f"{number}", here)
        relay.fail("PUT builds", "fine", times=number)
        relay.fail("PUT builds", "lost")
        relay.fail("PUT builds", "reset", times=3)  # the SDK gives up
        run_to_end(world)
        done = bool(relay.script)
        relay.revive()

        [build] = world.blobs.builds()
        assert (build.phase, build.verdict) == (Phase.COMPLETED, Verdict.SUCCEEDED)
        # In doubt, the pipeline's record is read before it is told.
        assert world.pipeline.completions
        assert all(doubt for _, doubt in world.pipeline.completions[1:])
        assert len(world.backend.submitted) == 1
        world.clock.time += timedelta(minutes=10)  # by then what is left over was found
        assert world.blobs.due() == []
        assert world.blobs.token(build.key) is None
        assert here.container().names("open/") == []
        if done:
            assert number > 10, "the build had all these saves"
            return
