"""Between AMQP messages and queues: encoded messages in and out, and settlements."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mlgate.emulators.service_bus import decode, frames, messages
from mlgate.emulators.service_bus.decode import Described
from mlgate.emulators.service_bus.messages import Stamp
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.records import LockLost, Message

MAX_MESSAGE = 256 * 1024  # bytes of an encoded message: the limit of the Standard tier

_BATCH_FORMAT = 0x80013700

LOCK_LOST = "com.microsoft:message-lock-lost"


def unpacked(payload: bytes, message_format: int) -> list[bytes]:
    """The messages of a transfer: one, or those of a batch. Raises DecodeError."""
    return messages.batch(payload) if message_format == _BATCH_FORMAT else [payload]


def enqueue(queue: Queue, payloads: list[bytes], now: int) -> list[int]:
    """Add all messages, or none and raise DecodeError; returns their sequence numbers."""
    facts = [messages.facts(messages.split(payload)) for payload in payloads]
    return [
        queue.send(
            payload, now, message_id=fact.message_id, ttl=fact.ttl, scheduled_for=fact.scheduled_for
        )
        for payload, fact in zip(payloads, facts, strict=True)
    ]


def delivered(queue: Queue, message: Message, *, peeked: bool = False) -> bytes:
    """A message of a queue as a receiver gets it; without its lock if it was only peeked."""
    token = None if peeked else message.lock_token
    limit = queue.config.ttl_seconds
    reasons = {
        "DeadLetterReason": message.reason,
        "DeadLetterErrorDescription": message.description,
    }
    return messages.stamped(
        messages.split(message.payload),
        Stamp(
            sequence_number=message.sequence_number,
            enqueued_at=message.enqueued_at,
            state=int(message.state),
            delivery_count=message.delivery_count,
            ttl=None if limit is None else int(limit * 1000),
            lock_token=token,
            locked_until=message.locked_until if token else None,
            dead_letter_properties={k: v for k, v in reasons.items() if v is not None},
        ),
    )


def settle(queue: Queue, token: UUID, state: Described | None) -> bytes:
    """Do what a delivery state asks for; returns the state to answer, which is the same.

    A dead-lettering is answered by a rejection without an error, since one with an error would mean
    a failure. A settled delivery without a state releases the message.
    """
    fields = state.value if state is not None and isinstance(state.value, list) else []
    code = state.descriptor if state is not None else frames.RELEASED
    try:
        match code:
            case frames.ACCEPTED:
                queue.complete(token)
                return frames.accepted
            case frames.REJECTED:
                queue.dead_letter(token, *_reasons(_nth(fields, 0)))
                return frames.rejected()
            case frames.MODIFIED:
                failed, undeliverable = bool(_nth(fields, 0)), bool(_nth(fields, 1))
                if undeliverable:
                    queue.defer(token)
                elif failed:
                    queue.abandon(token)
                else:
                    queue.release(token)
                return frames.modified(failed=failed, undeliverable_here=undeliverable)
            case frames.RELEASED:
                queue.release(token)
                return frames.released
    except LockLost as error:
        return frames.rejected(frames.error(LOCK_LOST, str(error)))
    raise decode.DecodeError(f"{code!r} is not an outcome of a delivery")


def _reasons(error: Any) -> tuple[str | None, str | None]:
    """Reason and description from the error of a rejection; `info` has precedence."""
    fields = error.value if isinstance(error, Described) else None
    if not isinstance(fields, list):
        return None, None
    info = _nth(fields, 2)
    if not isinstance(info, dict):
        info = {}
    reason = info.get("DeadLetterReason")
    description = info.get("DeadLetterErrorDescription", _nth(fields, 1))
    return _text(reason), _text(description)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _nth(fields: list[Any], index: int) -> Any:
    return fields[index] if index < len(fields) else None
