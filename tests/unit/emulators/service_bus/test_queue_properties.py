"""Whatever is done to a queue: no message is lost, none is twice, and the journal knows all."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.records import Changes, LockLost, Message, State

LOCK = 1_000


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(QueueConfig("jobs", lock_seconds=LOCK / 1000, max_delivery=3))
        assert self.queue.dead_letters is not None
        self.dead = self.queue.dead_letters
        self.now = 0
        self.sent = 0
        self.alive: set[bytes] = set()
        self.taken: list[Message] = []
        self.files: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})

    @rule(delay=st.sampled_from([None, 500, 2_000]))
    def send(self, delay: int | None) -> None:
        payload = str(self.sent).encode()
        self.sent += 1
        self.alive.add(payload)
        due = None if delay is None else self.now + delay
        self.queue.send(payload, self.now, scheduled_for=due)

    @rule(dead=st.booleans())
    def take(self, dead: bool) -> None:
        message = (self.dead if dead else self.queue).take(self.now)
        if message is not None:
            self.taken.append(message)

    @rule()
    def take_deferred(self) -> None:
        numbers = [
            message.sequence_number
            for message in self.queue.peek(0, 100)
            if message.state is State.DEFERRED and message.lock_token is None
        ]
        self.taken += self.queue.take_deferred(numbers, self.now)

    @precondition(lambda self: self.taken)
    @rule(
        operation=st.sampled_from(["complete", "abandon", "release", "defer", "renew", "bury"]),
        data=st.data(),
    )
    def settle(self, operation: str, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self.taken))
        token = message.lock_token
        if token is None:
            return
        queue = self.queue
        try:
            queue.renew([token], self.now)
        except LockLost:
            queue = self.dead
        match operation:
            case "complete":
                queue.complete(token)
                self.alive.remove(message.payload)
            case "renew":
                queue.renew([token], self.now)
            case "bury":
                queue.dead_letter(token, "reason", None)
            case "defer" if queue is self.dead:
                queue.release(token)
            case _:
                getattr(queue, operation)(token)

    @rule(step=st.sampled_from([1, 400, LOCK, 3 * LOCK]))
    def wait(self, step: int) -> None:
        self.now += step
        self.queue.advance(self.now)
        self.dead.advance(self.now)

    @invariant()
    def every_message_is_there_once(self) -> None:
        held = [message.payload for message in self.queue.peek(0, 100) + self.dead.peek(0, 100)]
        assert sorted(held) == sorted(self.alive)

    @invariant()
    def the_journal_knows_all(self) -> None:
        for queue, file in zip((self.queue, self.dead), self.files, strict=True):
            apply(queue.drain(), file)
            assert file == {m.sequence_number: m.payload for m in queue.peek(0, 100)}

    @invariant()
    def something_will_end_every_lock(self) -> None:
        for queue in (self.queue, self.dead):
            if any(message.lock_token for message in queue.peek(0, 100)):
                deadline = queue.next_deadline()
                assert deadline is not None
                assert deadline <= self.now + LOCK


def apply(changes: Changes, file: dict[int, bytes]) -> None:
    for number in changes.removed:
        file.pop(number, None)
    file.update({number: message.payload for number, message in changes.messages.items()})


QueueMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase
