"""What a Service Bus queue does with its messages. Pure: the time is always an argument.

    scheduled --due--> active --take--> locked --complete--> gone
                         ^                 |--defer--> deferred --take_deferred--> locked
                         |                 |--dead_letter--> the dead-letter queue
                         +-----------------+--abandon, expiry of the lock, release

Times are milliseconds since 1970. Payloads are opaque. Changes since the last `drain` are recorded
for the journal; a `Queue` itself does no I/O.
"""

from __future__ import annotations

import heapq
from uuid import UUID, uuid4

from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.records import Changes, LockLost, Message, NotFound, State


class Queue:
    """A queue, or the dead-letter queue of one, which has no dead-letter queue itself."""

    def __init__(self, config: QueueConfig, *, is_dead_letter: bool = False) -> None:
        self.config = config
        self.dead_letters = None if is_dead_letter else Queue(config, is_dead_letter=True)
        self.last_sequence_number = 0
        self._messages: dict[int, Message] = {}
        self._locks: dict[UUID, Message] = {}
        self._ready: list[int] = []  # heap; may have stale entries of messages that are not ready
        self._deadlines: list[tuple[int, int]] = []  # heap of (time, sequence number), also stale
        self._seen: dict[bytes, int] = {}  # in the order in which they end
        self._changes = Changes()

    def __len__(self) -> int:
        return len(self._messages)

    def restore(self, message: Message, *, was_locked: bool) -> None:
        """Restore a message from a journal. If it was locked, that counts as a failed delivery."""
        self._put(message)
        if was_locked:
            self._fail(message)

    def restore_seen(self, message_id: bytes, until: int) -> None:
        """Restore a message id of the duplicate window; call with the earliest end first."""
        self._seen[message_id] = until

    def drain(self) -> Changes:
        """The changes since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    # Sending

    def send(
        self,
        payload: bytes,
        now: int,
        *,
        message_id: bytes | None = None,
        ttl: int | None = None,
        scheduled_for: int | None = None,
    ) -> int:
        """Enqueue or schedule a message; returns its sequence number, or 0 for a duplicate."""
        if message_id is not None and self._is_duplicate(message_id, now):
            return 0
        limit = self.config.ttl_seconds
        limits = [ttl, None if limit is None else int(limit * 1000)]
        ttl = min((one for one in limits if one is not None), default=None)
        message = Message(self._next_number(), payload, now, ttl)
        if scheduled_for is not None and scheduled_for > now:
            message.state, message.enqueued_at = State.SCHEDULED, scheduled_for
        self.add(message)
        return message.sequence_number

    def add(self, message: Message) -> None:
        """Add an existing message unchanged."""
        self._put(message)
        self._changed(message)

    def cancel(self, sequence_numbers: list[int]) -> None:
        """Remove all these scheduled messages, or none and raise NotFound."""
        for message in self._all(sequence_numbers, State.SCHEDULED):
            self._remove(message)

    def _is_duplicate(self, message_id: bytes, now: int) -> bool:
        if not self.config.dedup_seconds or self.dead_letters is None:
            return False
        if message_id in self._seen:
            return True
        self._seen[message_id] = until = now + int(self.config.dedup_seconds * 1000)
        self._changes.seen[message_id] = until
        self._changes.forgotten.discard(message_id)
        return False

    # Receiving

    def take(self, now: int) -> Message | None:
        """Lock and return the next message; None if there is none."""
        message = self._next_ready(now)
        if message is not None:
            self._lock(message, now)
        return message

    def pop(self, now: int) -> Message | None:
        """Remove and return the next message; None if there is none."""
        message = self._next_ready(now)
        if message is not None:
            self._remove(message)
        return message

    def take_deferred(
        self, sequence_numbers: list[int], now: int, *, remove: bool = False
    ) -> list[Message]:
        """Lock or remove all these deferred messages, or none and raise NotFound."""
        messages = self._all(sequence_numbers, State.DEFERRED)
        for message in messages:
            if remove:
                self._remove(message)
            else:
                self._lock(message, now)
        return messages

    def peek(self, first: int, count: int) -> list[Message]:
        """Up to `count` messages in any state from a sequence number on, unchanged."""
        numbers = (number for number in self._messages if number >= first)
        return [self._messages[number] for number in heapq.nsmallest(count, numbers)]

    # Settling: each raises LockLost without changing anything

    def renew(self, tokens: list[UUID], now: int) -> list[int]:
        """Extend the locks to the full time from now; returns when they end."""
        messages = [self._locked(token) for token in tokens]
        for message in messages:
            message.locked_until = now + int(self.config.lock_seconds * 1000)
        return [message.locked_until for message in messages]

    def complete(self, token: UUID) -> None:
        self._remove(self._locked(token))

    def abandon(self, token: UUID) -> None:
        self._fail(self._locked(token))

    def release(self, token: UUID) -> None:
        """Unlock a message that was not looked at, which is not a failed delivery."""
        self._unlock(self._locked(token))

    def defer(self, token: UUID) -> None:
        message = self._locked(token)
        message.state = State.DEFERRED
        self._unlock(message)

    def dead_letter(self, token: UUID, reason: str | None, description: str | None) -> None:
        self._bury(self._locked(token), reason, description)

    # Time

    def advance(self, now: int) -> None:
        """Do what is due: end locks, enqueue scheduled messages, drop expired ones.

        Call this before anything else at a given time.
        """
        while self._deadlines and self._deadlines[0][0] <= now:
            message = self._messages.get(heapq.heappop(self._deadlines)[1])
            if message is None:
                continue
            if message.lock_token is not None and message.locked_until > now:
                # The lock was renewed, or delays the message's expiry: check again when it ends.
                self._watch(message.locked_until, message)
            elif message.lock_token is not None:
                self._fail(message)
            elif message.state is State.SCHEDULED and message.enqueued_at <= now:
                self._activate(message)
            elif self._has_expired(message, now):
                self._expire(message)
        while self._seen:
            message_id = next(iter(self._seen))
            if self._seen[message_id] > now:
                break
            del self._seen[message_id]
            self._changes.seen.pop(message_id, None)
            self._changes.forgotten.add(message_id)

    def next_deadline(self) -> int | None:
        """The earliest time at which `advance` may have something to do; None if never."""
        return self._deadlines[0][0] if self._deadlines else None

    # Inside

    def _put(self, message: Message) -> None:
        self._messages[message.sequence_number] = message
        self.last_sequence_number = max(self.last_sequence_number, message.sequence_number)
        if message.state is State.ACTIVE:
            heapq.heappush(self._ready, message.sequence_number)
        if message.state is State.SCHEDULED:
            self._watch(message.enqueued_at, message)
        elif message.expires_at is not None and self.dead_letters is not None:
            self._watch(message.expires_at, message)

    def _next_number(self) -> int:
        self.last_sequence_number += 1
        return self.last_sequence_number

    def _watch(self, time: int, message: Message) -> None:
        heapq.heappush(self._deadlines, (time, message.sequence_number))

    def _changed(self, message: Message) -> None:
        self._changes.messages[message.sequence_number] = message
        self._changes.removed.discard(message.sequence_number)

    def _next_ready(self, now: int) -> Message | None:
        while self._ready:
            message = self._messages.get(heapq.heappop(self._ready))
            if not message or message.state is not State.ACTIVE or message.lock_token is not None:
                continue
            if not self._has_expired(message, now):
                return message
            self._expire(message)
        return None

    def _all(self, sequence_numbers: list[int], state: State) -> list[Message]:
        messages = []
        for number in dict.fromkeys(sequence_numbers):
            message = self._messages.get(number)
            if message is None or message.state is not state or message.lock_token is not None:
                raise NotFound(f"There is no {state.name.lower()} message {number}.")
            messages.append(message)
        return messages

    def _locked(self, token: UUID) -> Message:
        try:
            return self._locks[token]
        except KeyError:
            raise LockLost("The lock has expired, or the message is settled.") from None

    def _lock(self, message: Message, now: int) -> None:
        message.lock_token = uuid4()
        message.locked_until = now + int(self.config.lock_seconds * 1000)
        self._locks[message.lock_token] = message
        self._watch(message.locked_until, message)
        self._changed(message)

    def _unlock(self, message: Message) -> None:
        if message.lock_token is not None:
            del self._locks[message.lock_token]
            message.lock_token = None
        self._changed(message)
        if message.state is State.ACTIVE:
            heapq.heappush(self._ready, message.sequence_number)

    def _remove(self, message: Message) -> None:
        if message.lock_token is not None:
            del self._locks[message.lock_token]
            message.lock_token = None
        del self._messages[message.sequence_number]
        self._changes.messages.pop(message.sequence_number, None)
        self._changes.removed.add(message.sequence_number)

    def _fail(self, message: Message) -> None:
        message.delivery_count += 1
        if self.dead_letters is None or message.delivery_count < self.config.max_delivery:
            self._unlock(message)
        else:
            self._bury(
                message,
                "MaxDeliveryCountExceeded",
                f"Message could not be consumed after {message.delivery_count} delivery attempts.",
            )

    def _activate(self, message: Message) -> None:
        # As documented: it is appended as if it had been enqueued at that time, with a new sequence
        # number.
        self._remove(message)
        message.sequence_number = self._next_number()
        message.state = State.ACTIVE
        self.add(message)

    def _has_expired(self, message: Message, now: int) -> bool:
        return (
            self.dead_letters is not None
            and message.state is not State.SCHEDULED
            and message.expires_at is not None
            and message.expires_at <= now
        )

    def _expire(self, message: Message) -> None:
        if self.config.dead_letter_on_expiry:
            self._bury(message, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._remove(message)

    def _bury(self, message: Message, reason: str | None, description: str | None) -> None:
        message.reason, message.description = reason, description
        if self.dead_letters is None:  # this is the dead-letter queue
            self._unlock(message)
            return
        self._remove(message)
        message.state = State.ACTIVE
        self.dead_letters.add(message)
