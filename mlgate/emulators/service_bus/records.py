"""A message in a queue, its states, and the errors of asking for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID


class State(IntEnum):
    """The values of the annotation `x-opt-message-state`."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class LockLost(Exception):
    """The lock does not exist or has expired: `com.microsoft:message-lock-lost`."""


class NotFound(Exception):
    """There is no such message in the requested state: `com.microsoft:message-not-found`."""


@dataclass(slots=True, eq=False)
class Message:
    """A message in a queue. `reason` and `description` say why it was dead-lettered."""

    sequence_number: int
    payload: bytes
    enqueued_at: int
    ttl: int | None = None
    state: State = State.ACTIVE
    delivery_count: int = 0  # failed deliveries
    reason: str | None = None
    description: str | None = None
    lock_token: UUID | None = None
    locked_until: int = 0

    @property
    def expires_at(self) -> int | None:
        return None if self.ttl is None else self.enqueued_at + self.ttl


@dataclass(slots=True)
class Changes:
    """What the journal has yet to write."""

    messages: dict[int, Message] = field(default_factory=dict)  # new or different
    removed: set[int] = field(default_factory=set)
    seen: dict[bytes, int] = field(default_factory=dict)  # message id: when to forget it
    forgotten: set[bytes] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.messages or self.removed or self.seen or self.forgotten)
