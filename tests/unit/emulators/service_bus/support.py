"""Queues to try, and what is in them."""

from typing import Any
from uuid import UUID

from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.records import Message

LOCK = 30_000


def queue_of(**settings: Any) -> Queue:
    defaults: dict[str, Any] = {"lock_seconds": 30.0, "max_delivery": 3, "dedup_seconds": 60.0}
    return Queue(QueueConfig("jobs", **{**defaults, **settings}))


def take(queue: Queue, now: int = 0) -> Message:
    queue.advance(now)
    message = queue.take(now)
    assert message is not None
    return message


def token_of(message: Message) -> UUID:
    assert message.lock_token is not None
    return message.lock_token


def contents(queue: Queue) -> list[bytes]:
    return [message.payload for message in queue.peek(0, 100)]


def dead(queue: Queue) -> Queue:
    assert queue.dead_letters is not None
    return queue.dead_letters
