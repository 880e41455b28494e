"""The namespace: its queues, the links that wait for messages, and the turn that serves them.

Everything in one turn of the event loop (frames of any connection, a lock that ends) is handled
together: what is due is done, waiting links are served, the journal commits once, and only then are
the bytes of that turn sent. So a message is never acknowledged before it is in the file, and all
changes of a turn share the cost of one commit.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.journal import Entry, Journal, JournalError
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.tokens import SharedKey

DEAD_LETTER_SUFFIX = "/$deadletterqueue"

IDLE_SECONDS = 600  # Service Bus detaches a queue's link that is idle for so long

# The longest sleep before a deadline. The clock may be a test's, or jump when a laptop wakes up, so
# it does not advance like the event loop's time.
_LONGEST_SLEEP = 1.0
_PURGE_AFTER = 1.0  # seconds in which a deleted message may remain in the journal's log


class Consumer(Protocol):
    """A link that delivers the messages of a queue."""

    def serve(self, queue: Queue, now: int) -> bool:
        """Deliver one message if possible; False if there is nothing more to do now."""
        ...


class Link(Protocol):
    """A client's link to a queue, which is detached when it is idle for too long."""

    def detach_idle(self) -> None: ...


class Output(Protocol):
    """A connection with bytes to send."""

    def flush(self) -> None: ...


class Broker:
    """The namespace, in the event loop that it is created in; `clock` is seconds since 1970."""

    def __init__(
        self,
        configs: Sequence[QueueConfig],
        key: SharedKey,
        clock: Callable[[], float],
        journal: Journal | None,
        on_failure: Callable[[JournalError], None],
    ) -> None:
        self.key = key
        self.clock = clock
        self._journal = journal
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._queues: dict[str, Queue] = {}
        for config in configs:
            queue = Queue(config)
            assert queue.dead_letters is not None
            path = config.name.lower()
            self._queues[path] = queue
            self._queues[path + DEAD_LETTER_SUFFIX] = queue.dead_letters
        self._consumers: dict[str, deque[Consumer]] = {path: deque() for path in self._queues}
        self._active_at: OrderedDict[Link, int] = OrderedDict()  # the longest idle first
        self._outputs: dict[Output, None] = {}  # an ordered set
        self._is_turn_due = False
        self._is_closed = False
        self._alarm: asyncio.TimerHandle | None = None
        self._purge: asyncio.TimerHandle | None = None
        if journal is not None:
            self._restore(journal)

    def _restore(self, journal: Journal) -> None:
        for path, queue in self._queues.items():
            queue.last_sequence_number = journal.last_sequence_number(path)
            for message_id, until in journal.seen(path):
                queue.restore_seen(message_id, until)
        for path, queue in self._queues.items():
            for message, was_locked in list(journal.messages(path)):
                queue.restore(message, was_locked=was_locked)
        self.wake()

    def queue(self, path: str) -> Queue | None:
        """The queue at an entity path (lower case), up to date."""
        queue = self._queues.get(path)
        if queue is not None:
            queue.advance(self.now())
        return queue

    def now(self) -> int:
        return int(self.clock() * 1000)

    def subscribe(self, path: str, consumer: Consumer) -> None:
        self._consumers[path].append(consumer)

    def unsubscribe(self, path: str, consumer: Consumer) -> None:
        self._consumers[path].remove(consumer)

    def heard(self, link: Link) -> None:
        """Something was said on the link, in either direction."""
        self._active_at[link] = self.now()
        self._active_at.move_to_end(link)

    def forget(self, link: Link) -> None:
        self._active_at.pop(link, None)

    def detach_idle(self) -> None:
        """Ends the links that were silent for too long; to be called before one is heard."""
        now = self.now()
        while self._active_at:
            link, active_at = next(iter(self._active_at.items()))
            if active_at + IDLE_SECONDS * 1000 > now:
                return
            self.forget(link)
            link.detach_idle()

    def wake(self, output: Output | None = None) -> None:
        """Asks for a turn, after which `output` is flushed."""
        if output is not None:
            self._outputs[output] = None
        if not self._is_turn_due:
            self._is_turn_due = True
            self._loop.call_soon(self._turn)

    def close(self) -> None:
        """Begin no more turns."""
        self._is_closed = True
        for timer in (self._alarm, self._purge):
            if timer is not None:
                timer.cancel()

    def _turn(self) -> None:
        if self._is_closed:
            return
        self._is_turn_due = False
        now = self.now()
        self.detach_idle()
        for path, queue in self._queues.items():
            queue.advance(now)
            self._serve(queue, self._consumers[path], now)
        try:
            self._commit()
        except JournalError as error:
            self._outputs.clear()
            self._on_failure(error)
            return
        outputs, self._outputs = self._outputs, {}
        for output in outputs:
            output.flush()
        self._arm()

    def _serve(self, queue: Queue, consumers: deque[Consumer], now: int) -> None:
        """Serve consumers round robin until all of them have declined in a row."""
        declined = 0
        while declined < len(consumers):
            declined = 0 if consumers[0].serve(queue, now) else declined + 1
            consumers.rotate(-1)

    def _commit(self) -> None:
        entries = [
            Entry(path, queue.last_sequence_number, changes)
            for path, queue in self._queues.items()
            if (changes := queue.drain())
        ]
        if self._journal is None or not entries:
            return
        self._journal.commit(entries)
        if self._purge is None:
            self._purge = self._loop.call_later(_PURGE_AFTER, self._purge_journal)

    def _purge_journal(self) -> None:
        assert self._journal is not None
        self._purge = None
        try:
            self._journal.purge()
        except JournalError as error:
            self._on_failure(error)

    def _arm(self) -> None:
        """Set the alarm for the next deadline of a lock, message or idle link."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        deadlines = [queue.next_deadline() for queue in self._queues.values()]
        deadlines += [at + IDLE_SECONDS * 1000 for at in [*self._active_at.values()][:1]]
        earliest = min((one for one in deadlines if one is not None), default=None)
        if earliest is not None:
            delay = min(max(earliest - self.now(), 1) / 1000, _LONGEST_SLEEP)
            self._alarm = self._loop.call_later(delay, self.wake)
