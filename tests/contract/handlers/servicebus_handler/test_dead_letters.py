"""Dead letters, through the real SDK, against the emulator: each is seen, the useless ones go."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage

from handlers.servicebus_handler import connect_with_string
from handlers.servicebus_handler.calls import Calls
from handlers.servicebus_handler.dead_letters import (
    MOST_ASKED_AGAIN,
    MOST_HELD,
    MOST_HELD_BYTES,
    PAGE,
    WHOLE_SECONDS,
    DeadLetters,
)
from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.errors import Temporary
from tests.contract.handlers.servicebus_handler.conftest import PATIENCE, client_of, peeked

T = TypeVar("T")
QUEUE = "q"
GAVE_UP = "MaxDeliveryCountExceeded"
REFUSED = "InvalidMessage"


class CountedCalls(Calls):
    """Counts what the SDK is asked for, and the bytes that it has brought at a time."""

    def __init__(self) -> None:
        super().__init__(PATIENCE)
        self.count = 0
        self.messages = 0

    def answered(self, call: Callable[[], T], client: ServiceBusClient) -> T:
        self.count += 1
        result = super().answered(call, client)
        if isinstance(result, list):
            self.messages += len(result)
        return result


@dataclass
class Mender:
    """Says of a dead letter what its body says, and remembers what it was asked about.

    "gone" may go, "kept" may not, "down" raises while there is an outage and may go then.
    """

    outage: bool = True
    asked: list[str] = field(default_factory=list)
    reasons: dict[str, str | None] = field(default_factory=dict)
    on_asked: Callable[[], object] = lambda: None

    def mend(self, envelope: Envelope, reason: str | None) -> bool:
        self.asked.append(envelope.message_id)
        self.reasons[envelope.message_id] = reason
        self.on_asked()
        kind = envelope.body[:4]
        if kind == b"down" and self.outage:
            raise Temporary("the state does not answer")
        return kind != b"kept"

    def forget(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


class Site:
    """A queue of its own, what lies dead there, and one that looks at it."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.seconds = 0.0
        self.calls = CountedCalls()
        self.mender = Mender()
        self.letters = self.another(self.calls)

    def another(self, calls: Calls) -> DeadLetters:
        connect = connect_with_string(lambda: self.emulator.connection_string)
        return DeadLetters(connect, QUEUE, calls, lambda: self.seconds)

    def look(self) -> int:
        """One pass; `calls` counts what it takes."""
        self.calls.count = self.calls.messages = 0
        return self.letters.look(self.mender.mend, lambda: False)

    def bury(self, bodies: list[bytes]) -> None:
        """Send messages and dead-letter them; their ids are `0`, `1`, ... of this call's kind."""
        with client_of(self.emulator) as client:
            send(client, bodies)
            bury(client, len(bodies))

    def left(self) -> list[ServiceBusReceivedMessage]:
        with client_of(self.emulator) as client:
            return peeked(client, QUEUE, dead=True)


def send(client: ServiceBusClient, bodies: list[bytes]) -> None:
    """Each body holds its id behind a space."""
    with client.get_queue_sender(QUEUE) as sender:
        batch = sender.create_message_batch()
        for body in bodies:
            message = ServiceBusMessage(body, message_id=body[:20].split()[1].decode())
            try:
                batch.add_message(message)
            except ValueError:
                sender.send_messages(batch)
                batch = sender.create_message_batch()
                batch.add_message(message)
        sender.send_messages(batch)


def bury(client: ServiceBusClient, count: int) -> None:
    with client.get_queue_receiver(QUEUE) as receiver:
        while count:
            for message in receiver.receive_messages(min(count, 50), max_wait_time=PATIENCE):
                kept = b"".join(message.body).startswith(b"kept")
                reason = REFUSED if kept else GAVE_UP
                receiver.dead_letter_message(message, reason=reason, error_description="why")
                count -= 1


@pytest.fixture
def site() -> Iterator[Site]:
    with Emulator([QueueConfig(QUEUE, max_delivery=3)]) as emulator:
        yield Site(emulator)


def ids(messages: list[ServiceBusReceivedMessage]) -> list[str]:
    return [str(message.message_id) for message in messages]


def test_a_thousand_of_all_kinds_are_drained_and_what_people_need_stays(site: Site) -> None:
    kinds = ["gone", "kept", "gone", "down", "gone"]
    bodies = [f"{kinds[n % 5]} {n} ".encode() + b"x" * (n % 7 * 1000) for n in range(1000)]
    site.bury(bodies)
    kept = {str(n) for n in range(1000) if kinds[n % 5] == "kept"}
    down = {str(n) for n in range(1000) if kinds[n % 5] == "down"}

    assert site.look() == len(down), "those are looked at again"
    assert Counter(site.mender.forget()) == Counter(str(n) for n in range(1000))
    assert {i for i, reason in site.mender.reasons.items() if reason == REFUSED} == kept
    assert set(ids(site.left())) == kept | down

    site.mender.outage = False
    assert site.look() == 0
    assert set(site.mender.forget()) == down
    left = site.left()
    assert set(ids(left)) == kept
    assert {each.dead_letter_reason for each in left} == {REFUSED}
    assert {each.dead_letter_error_description for each in left} == {"why"}

    assert site.look() == 0
    assert site.mender.forget() == []
    assert site.calls.count <= 3, "a quiet pass is a few requests, however many are kept"
    assert site.calls.messages <= PAGE
    with client_of(site.emulator) as client:
        receiver = client.get_queue_receiver(QUEUE, sub_queue="deadletter")
        with receiver:
            assert receiver.receive_messages(1, max_wait_time=1), "nothing is locked"


def test_one_that_comes_late_and_stands_before_those_that_were_seen_is_seen(site: Site) -> None:
    with client_of(site.emulator) as client:
        send(client, [b"gone late"])
        with client.get_queue_receiver(QUEUE) as receiver:
            [late] = receiver.receive_messages(1, max_wait_time=PATIENCE)
            site.bury([f"kept {n}".encode() for n in range(2 * PAGE)])
            assert site.look() == 0
            assert len(site.mender.forget()) == 2 * PAGE
            assert site.look() == 0
            assert site.mender.forget() == [], "each is asked about once"
            receiver.dead_letter_message(late, reason=GAVE_UP)
    assert site.look() == 0
    assert site.mender.forget() == ["late"]
    assert "late" not in ids(site.left())


def test_a_message_that_stays_in_the_queue_does_not_make_passes_longer_and_longer(
    site: Site,
) -> None:
    with client_of(site.emulator) as client:
        send(client, [b"gone first"])
        with client.get_queue_receiver(QUEUE) as receiver:
            [_] = receiver.receive_messages(1, max_wait_time=PATIENCE)
            site.bury([f"kept {n}".encode() for n in range(MOST_ASKED_AGAIN + 1)])
            site.look()
            site.mender.forget()
            site.look()
            assert site.mender.forget() == []
            assert site.calls.count <= 3


def test_each_is_asked_about_again_each_hour(site: Site) -> None:
    site.bury([b"kept a", b"kept b"])
    for passed in (0.0, 15.0, WHOLE_SECONDS - 1):
        site.seconds = passed
        site.look()
    assert site.mender.forget() == ["a", "b"]
    site.seconds = WHOLE_SECONDS
    site.look()
    assert site.mender.forget() == ["a", "b"]


def test_those_that_always_fail_hold_up_no_other(site: Site) -> None:
    """Each takes 15 s of the 40 that a pass may take."""

    def wait() -> None:
        site.seconds += 15

    site.mender.on_asked = wait
    site.bury([f"down {n}".encode() for n in range(6)])
    for _ in range(2):
        assert site.look() > 0
    assert Counter(site.mender.forget()) == Counter(str(n) for n in range(6))
    site.bury([b"gone new"])
    site.look()
    assert site.mender.forget()[0] == "new", "the new ones come first"
    for _ in range(2):
        site.look()
    assert set(site.mender.forget()) == {str(n) for n in range(6)}


def test_what_somebody_removed_is_forgotten(site: Site) -> None:
    site.bury([b"down a", b"down b"])
    assert site.look() == 2
    with client_of(site.emulator) as client:
        receiver = client.get_queue_receiver(QUEUE, sub_queue="deadletter")
        with receiver:
            [first] = receiver.receive_messages(1, max_wait_time=PATIENCE)
            receiver.complete_message(first)
    assert site.look() == 1


def test_a_pass_ends_when_it_is_over(site: Site) -> None:
    site.bury([f"gone {n}".encode() for n in range(10)])
    site.letters.look(site.mender.mend, lambda: len(site.mender.asked) == 3)
    assert len(site.mender.forget()) == 3
    assert len(site.left()) == 10
    site.look()
    assert len(site.mender.forget()) == 7
    assert site.left() == []


@pytest.mark.parametrize(
    ("count", "size"), [(MOST_HELD + 50, 10), (MOST_HELD_BYTES // 200_000 + 60, 200_000)]
)
def test_behind_many_that_are_kept_nothing_is_removed_and_little_is_held(
    site: Site, count: int, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    site.bury([f"kept {n} ".encode() + b"x" * size for n in range(count)])
    site.bury([b"gone last"])
    site.look()

    assert "1 dead letters of the queue q are no longer needed, but cannot be" in caplog.text
    assert len(site.left()) == count + 1
    peeks = count + 1
    assert site.calls.messages - peeks <= min(MOST_HELD, MOST_HELD_BYTES // size) + 50
    site.look()
    assert site.calls.count <= 3, "it is not tried with each pass"


def test_two_workers_at_a_time_drain_them_as_well(site: Site) -> None:
    bodies = [f"{'kept' if n % 3 else 'gone'} {n}".encode() for n in range(300)]
    site.bury(bodies)
    others = [site.another(Calls(PATIENCE)) for _ in range(2)]
    menders = [Mender(), Mender()]
    threads = [
        threading.Thread(target=letters.look, args=(mender.mend, lambda: False))
        for letters, mender in zip(others, menders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    site.look()

    assert set(ids(site.left())) == {str(n) for n in range(300) if n % 3}
