"""Messages and the timer, through Microsoft's worker code and real clients of each service."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlgate.emulators.azure_ml import Azurite
from mlgate.orchestration.durable import Due
from mlgate.orchestration.shift import Shift
from tests.functions.cloud import (
    DELIVERIES,
    Cloud,
    cloud,
    container_url,
    deliver_until_over,
    key_of,
)
from tests.functions.host import FunctionsHost
from tests.unit.orchestration.wire.samples import BYTES_HEADER, wrapped


@pytest.fixture(scope="module")
def world(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(azurite, tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="module")
def host(world: Cloud, deployed: Path) -> Iterator[FunctionsHost]:
    with world.host(deployed) as running:
        yield running
    assert "INFO azure.functions: " in world.said, "what is logged is seen"
    assert "eyJ" not in world.said, "how each job's token begins"
    assert "sig=" not in world.said
    assert "azure.core" not in world.said, "each request of the SDKs"


def message(world: Cloud, **fields: Any) -> dict[str, Any]:
    """One that is fine, of a repository that is not there."""
    return {
        "version": 1,
        "repository": {"url": str(world.folder / "missing")},
        "runs": [{"kind": "training", "command": "true", "name": "train"}],
        **fields,
    }


def wrapped_bytes(text: str) -> bytes:
    """What a .NET sender of a byte[] makes: Bytes16TextWithEndElement."""
    content = text.encode()
    return BYTES_HEADER + b"\xa1" + len(content).to_bytes(2, "little") + content


@pytest.mark.parametrize("wrap", [str.encode, wrapped, wrapped_bytes])
def test_a_message_of_a_pipeline_is_handled_to_its_verdict(
    world: Cloud, host: FunctionsHost, wrap: Callable[[str], bytes]
) -> None:
    task = world.publish(wrap(json.dumps(message(world))))
    assert deliver_until_over(host, task) == "failed"
    assert host.deliver() is None, "nothing is left in the queue"

    assert task.completions == ["failed"]
    [issue] = [issue["message"] for issue in task.record.issues if issue["type"] == "error"]
    assert str(world.folder / "missing") in issue
    stored = world.state.load(key_of(task))
    assert stored is not None
    assert not stored.build.open


def test_an_invalid_message_fails_its_step_once_while_its_deliveries_run_out(
    world: Cloud, host: FunctionsHost
) -> None:
    task = world.publish(message(world, runs=[{"kind": "training", "comand": "true"}]))
    for _ in range(DELIVERIES):
        answer = host.deliver()
        assert answer is not None
        assert not answer.ok
        assert answer.message.startswith("RejectedError: InvalidMessage: ")
        assert "/runs/0/comand" in answer.message
    assert host.deliver() is None, "its deliveries have run out"
    assert task.properties["JobId"] in world.dead()
    assert host.tick().ok

    assert task.completions == ["failed"]
    [rejection] = [each for each in world.state.rejections() if each.key == key_of(task)]
    assert rejection.told
    assert world.state.load(key_of(task)) is None
    assert task.properties["JobId"] in world.dead(), "it stays for people to see"


def test_a_message_whose_handling_raises_comes_again(
    world: Cloud, host: FunctionsHost, deployed: Path, azurite: Azurite
) -> None:
    task = world.publish(message(world))
    other_key = base64.b64encode(b"another account's").decode()
    elsewhere = container_url(azurite, "state", other_key)
    with world.host(deployed, MLGATE_STATE=elsewhere) as unfit:
        answer = unfit.deliver()
        assert answer is not None
        assert not answer.ok
        assert "UnfitHost: The signature" in answer.message
        assert "sig=" not in answer.message + answer.trace
    assert deliver_until_over(host, task) == "failed"
    assert host.deliver() is None

    assert task.completions == ["failed"]
    assert task.properties["JobId"] not in world.dead()


def test_what_wrong_settings_dead_letter_is_taken_up_by_the_timer_once_they_are_right(
    world: Cloud, host: FunctionsHost, deployed: Path
) -> None:
    task = world.publish(message(world))
    with world.host(deployed, MLGATE_STATE="sqlite:state.db") as wrong:
        for _ in range(DELIVERIES):
            answer = wrong.deliver()
            assert answer is not None
            assert answer.message.startswith("SettingsError: MLGATE_STATE: ")
        assert wrong.deliver() is None
        assert not wrong.tick().ok
    assert task.properties["JobId"] in world.dead()
    assert task.wait_completed(0) is None

    assert host.tick().ok
    assert deliver_until_over(host, task) == "failed"
    assert host.tick().ok
    assert host.deliver() is None
    assert task.completions == ["failed"]
    assert task.properties["JobId"] not in world.dead(), "it is a build now"


def test_the_timer_mends_a_build_whose_next_look_was_lost(
    world: Cloud, host: FunctionsHost
) -> None:
    task = world.publish(message(world))
    start = host.deliver()
    assert start is not None
    assert start.ok
    lose_one(world)
    stored = world.state.load(key_of(task))
    assert stored is not None
    late = stored.build.received_at - timedelta(hours=1)
    assert world.state.save(replace(stored.build, next_look_at=late), stored.version)
    world.state.set_due(Due(stored.build.key, late))

    assert host.tick().ok
    assert deliver_until_over(host, task) == "failed"
    assert host.deliver() is None
    assert "its next look was overdue" in world.said


def lose_one(world: Cloud) -> None:
    """A message that is taken, and never handled."""
    shift = Shift()
    world.queue().listen(shift, lambda _: shift.end())
