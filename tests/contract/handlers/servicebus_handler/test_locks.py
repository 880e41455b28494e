"""A message belongs to who handles it for as long as that takes, whatever the clocks say."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver

from handlers.servicebus_handler.locks import kept, settle
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.durable import Envelope, Rejected
from mlgate.orchestration.shift import Shift
from tests.contract.handlers.servicebus_handler.conftest import (
    client_of,
    peeked,
    queue_of,
    unique,
    until,
)

LOCK = 30.0  # seconds
complete = ServiceBusReceiver.complete_message


class BrokerClock:
    """`ahead` of this host's by so many seconds."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead

    def __call__(self) -> float:
        return time.time() + self.ahead


@contextmanager
def broker(clock: BrokerClock) -> Iterator[Emulator]:
    with Emulator([QueueConfig("jobs", lock_seconds=LOCK)], clock=clock) as running:
        yield running


@contextmanager
def received(emulator: Emulator) -> Iterator[tuple[ServiceBusReceiver, ServiceBusReceivedMessage]]:
    queue = queue_of(emulator, "jobs")
    queue.send(b"a", unique("id"))
    queue.close()
    with client_of(emulator) as client, client.get_queue_receiver("jobs") as receiver:
        [message] = receiver.receive_messages(1, max_wait_time=60)
        yield receiver, message


@pytest.mark.parametrize("ahead", [-300.0, 300.0], ids=["fast host", "slow host"])
def test_a_host_with_a_wrong_clock_settles_what_it_handled(ahead: float) -> None:
    handled: list[str] = []

    def handle(envelope: Envelope) -> Rejected | None:
        handled.append(envelope.message_id)
        return Rejected("no", "of no use") if envelope.body == b"bad" else None

    with broker(BrokerClock(ahead)) as emulator:
        queue, shift = queue_of(emulator, "jobs"), Shift()
        queue.send(b"good", "good")
        queue.send(b"bad", "bad")
        listener = threading.Thread(target=queue.listen, args=(shift, handle))
        listener.start()
        with client_of(emulator) as client:
            until(partial(peeked, client, "jobs", dead=True))
            shift.end()
            listener.join(60)
            assert peeked(client, "jobs", dead=False) == []
            assert handled == ["good", "bad"]
            assert queue.mend_dead_letters(lambda *_: True) == 0
            assert peeked(client, "jobs", dead=True) == []
        queue.close()


@pytest.mark.parametrize("ahead", [-300.0, 0.0, 300.0], ids=["fast host", "right", "slow host"])
def test_a_lock_is_kept_for_as_long_as_the_work_takes(ahead: float) -> None:
    clock = BrokerClock(ahead)
    with broker(clock) as emulator, received(emulator) as (receiver, message):
        with kept(receiver, message, every_seconds=0.02):
            for _ in range(4):
                clock.ahead += LOCK * 0.7
                now = clock()
                until(partial(lasts_until, message, now + LOCK * 0.9))
        assert settle(receiver, message, complete)


def lasts_until(message: ServiceBusReceivedMessage, moment: float) -> bool:
    end = message.locked_until_utc
    return end is not None and end.timestamp() > moment


@pytest.mark.parametrize("ahead", [-300.0, 0.0, 300.0], ids=["fast host", "right", "slow host"])
def test_a_lock_that_is_over_is_lost(ahead: float) -> None:
    clock = BrokerClock(ahead)
    with broker(clock) as emulator, received(emulator) as (receiver, message):
        clock.ahead += LOCK + 1
        assert not settle(receiver, message, complete)
        [again] = receiver.receive_messages(1, max_wait_time=60)
        assert again.delivery_count == 1


def test_a_renewal_that_fails_is_tried_again() -> None:
    clock = BrokerClock()
    with broker(clock) as emulator, received(emulator) as (receiver, message):
        failures = iter([TimeoutError("nothing came"), TimeoutError("nothing came")])

        class Failing:
            def renew_message_lock(self, *arguments: object, **named: object) -> object:
                for failure in failures:
                    raise failure
                return receiver.renew_message_lock(message)

        failing: Any = Failing()
        with kept(failing, message, every_seconds=0.02):
            clock.ahead += LOCK * 0.7
            until(partial(lasts_until, message, clock() + LOCK * 0.9))
        assert settle(receiver, message, complete)
