"""The dead-letter queue: handle what is new there, and remove what is no longer needed.

People look there for evidence, so as little as possible is received. A pass peeks, which locks
nothing. Only if it finds messages that can be removed does it receive: it completes those, and
abandons the others afterwards.

A dead letter keeps the sequence number that it had in the queue (Service Bus changes it for
scheduled messages only), so a new one may come before those that were seen. It was in the queue
until then, so a pass reads from the lowest number that the queue held when the last pass began.
At the start and then each hour, it reads from the first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSubQueue,
)

from handlers.servicebus_handler.calls import Calls
from handlers.servicebus_handler.connections import Connect, close
from handlers.servicebus_handler.locks import Settle, settle
from handlers.servicebus_handler.messages import envelope_of
from mlgate.orchestration.durable import Envelope

log = logging.getLogger("mlgate")

WHOLE_SECONDS = 3600.0  # between two passes over all of them
PAGE = 100  # messages peeked at in one request
MOST_ASKED_AGAIN = 1000  # seen messages that a pass reads again; with more, it begins after them
MOST_HELD = 1000  # messages that are held while others are removed
MOST_HELD_BYTES = 32 << 20  # of their bodies
_BATCH = 50
_LOOK_SECONDS = 40.0  # for one pass; the next one continues
_REMOVAL_SECONDS = 20.0  # likewise
_WAIT_SECONDS = 1.0  # for a message that may not be there

T = TypeVar("T")
Mend = Callable[[Envelope, str | None], bool]


@dataclass(frozen=True, slots=True)
class Opened:
    client: ServiceBusClient
    live: ServiceBusReceiver
    dead: ServiceBusReceiver


class DeadLetters:
    """Remembers from pass to pass what it has seen. Not safe for threads."""

    def __init__(
        self, connect: Connect, queue: str, calls: Calls, steady: Callable[[], float]
    ) -> None:
        self._connect = connect
        self._queue = queue
        self._calls = calls
        self._steady = steady
        self._whole_at: float | None = None
        # Sequence numbers:
        self._from = 0  # where the next pass begins
        self._asked: set[int] = set()  # from there on, those that `mend` was called for
        # Those for which it raised, the one to try next first.
        self._failed: dict[int, None] = {}
        self._tried: set[int] = set()  # in this pass
        self._spent: set[int] = set()  # those that can be removed

    def look(self, mend: Mend, over: Callable[[], bool]) -> int:
        """Call `mend` with each dead letter that is new, or for which it raised, and its reason.

        If `mend` returns true, the dead letter is removed. If it returns false, the dead letter
        stays until people remove it, and `mend` is called for it again within the hour. Ends early
        once `over` is true. Returns how many dead letters `mend` raised for: the next pass tries
        them again. Raises what the SDK raises.
        """
        now = self._steady()
        if self._whole_at is None or now - self._whole_at >= WHOLE_SECONDS:
            self._whole_at, self._from = now, 0
            self._asked.clear()
            self._spent.clear()
        self._tried.clear()
        client = self._connect()
        live = client.get_queue_receiver(self._queue)
        dead = client.get_queue_receiver(self._queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        opened = Opened(client, live, dead)

        def enough() -> bool:
            return over() or self._steady() - now >= _LOOK_SECONDS

        try:
            again = list(self._failed)
            self._look_at_new(opened, mend, enough)
            # Those that wait longest come first, so that one that always fails blocks no other.
            for number in again:
                if number in self._failed and number not in self._tried and not enough():
                    self._look_again(opened, number, mend, enough)
            if self._spent and not over():
                self._remove(opened, over)
        finally:
            close(live, dead, client)
        return len(self._failed)

    def _look_at_new(self, opened: Opened, mend: Mend, enough: Callable[[], bool]) -> None:
        after = self._from
        # Peeked before anything is read: what is dead-lettered later has at least this number.
        waiting = self._peek(opened, opened.live, 1, 1)
        try:
            while not enough() and (page := self._peek(opened, opened.dead, after, PAGE)):
                for message in page:
                    if _number(message) not in self._asked:
                        if enough():
                            return
                        self._ask(message, mend)
                    after = _number(message) + 1
        finally:
            lowest = min([after, *map(_number, waiting)])
            if sum(number >= lowest for number in self._asked) > MOST_ASKED_AGAIN:
                lowest = after
            self._from = max(self._from, lowest)
            self._asked = {number for number in self._asked if number >= self._from}

    def _look_again(
        self, opened: Opened, number: int, mend: Mend, enough: Callable[[], bool]
    ) -> None:
        found = self._peek(opened, opened.dead, number, 1)
        if not found or _number(found[0]) != number:
            del self._failed[number]  # it was removed
        elif not enough():
            self._ask(found[0], mend)

    def _ask(self, message: ServiceBusReceivedMessage, mend: Mend) -> None:
        number = _number(message)
        self._asked.add(number)
        self._tried.add(number)
        self._failed.pop(number, None)
        try:
            if mend(envelope_of(message), message.dead_letter_reason):
                self._spent.add(number)
        except Exception as error:  # noqa: BLE001 -- it must not block the others
            log.warning("dead letter %s will be tried again soon: %s", message.message_id, error)
            self._failed[number] = None

    def _remove(self, opened: Opened, over: Callable[[], bool]) -> None:
        """Complete those that can be removed; hold the others that are received until the end."""
        until = self._steady() + _REMOVAL_SECONDS
        held: dict[int, ServiceBusReceivedMessage] = {}
        size = 0
        try:
            while self._spent and not over() and self._steady() < until:
                batch = self._answered(opened, partial(_receive, opened.dead))
                for message in batch:
                    number = _number(message)
                    if number in self._spent:
                        self._settle(opened, ServiceBusReceiver.complete_message, message)
                        self._spent.discard(number)
                    else:
                        size += 0 if number in held else len(envelope_of(message).body)
                        held[number] = message
                if not batch:
                    self._spent.clear()  # others have removed or locked them
                elif self._spent and (len(held) >= MOST_HELD or size >= MOST_HELD_BYTES):
                    log.warning(
                        "%d dead letters of the queue %s are no longer needed, but cannot be "
                        "removed, because more than %d that are kept for people come first. Look "
                        "at those and remove them.",
                        len(self._spent),
                        self._queue,
                        len(held),
                    )
                    self._spent.clear()
        finally:
            for message in held.values():
                self._settle(opened, ServiceBusReceiver.abandon_message, message)

    def _settle(self, opened: Opened, how: Settle, message: ServiceBusReceivedMessage) -> None:
        if not self._answered(opened, partial(settle, opened.dead, message, how)):
            log.info("the lock of dead letter %s was lost", _number(message))

    def _peek(
        self, opened: Opened, receiver: ServiceBusReceiver, first: int, most: int
    ) -> list[ServiceBusReceivedMessage]:
        peek = partial(receiver.peek_messages, most, sequence_number=max(first, 1))
        return self._answered(opened, peek)

    def _answered(self, opened: Opened, call: Callable[[], T]) -> T:
        return self._calls.answered(call, opened.client)


def _receive(receiver: ServiceBusReceiver) -> list[ServiceBusReceivedMessage]:
    return receiver.receive_messages(_BATCH, max_wait_time=_WAIT_SECONDS)


def _number(message: ServiceBusReceivedMessage) -> int:
    return message.sequence_number or 0
