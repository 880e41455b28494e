"""`$management` of a queue: operations that AMQP frames cannot express.

The names of operations, fields and status properties are those of Service Bus, including the
spelling `defered`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from mlgate.emulators.service_bus import encode, requests
from mlgate.emulators.service_bus.decode import DecodeError
from mlgate.emulators.service_bus.entities import LOCK_LOST, MAX_MESSAGE, delivered, enqueue
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.records import LockLost, Message, NotFound
from mlgate.emulators.service_bus.requests import Request

SUFFIX = "/$management"

_VENDOR = "com.microsoft:"
_NOT_FOUND = "com.microsoft:message-not-found"
_ARGUMENT = "com.microsoft:argument-error"
_PEEK_LIMIT = 1000  # messages in one reply

_Operation = Callable[[Queue, dict[str, Any], int], bytes | None]


class _BadArgument(Exception):
    """A field of the request is missing or has the wrong type."""


def answer(payload: bytes, queue: Queue, now: int) -> bytes:
    """The reply to a request about an up-to-date queue. Raises DecodeError."""
    request = requests.parse(payload)
    operation = _OPERATIONS.get(request.operation.removeprefix(_VENDOR))
    if operation is None:
        problem = f"The emulator does not support the operation {request.operation}."
        return _reply(request, 501, problem, "amqp:not-implemented")
    fields = request.body
    try:
        body = operation(queue, fields if isinstance(fields, dict) else {}, now)
    except LockLost as error:
        return _reply(request, 410, str(error), LOCK_LOST)
    except NotFound as error:
        return _reply(request, 404, str(error), _NOT_FOUND)
    except _BadArgument as error:
        return _reply(request, 400, str(error), _ARGUMENT)
    if body is None:
        return _reply(request, 204, "No content.")
    return _reply(request, 200, "OK", body=body)


def _reply(
    request: Request, code: int, text: str, condition: str = "", body: bytes = encode.NULL
) -> bytes:
    status = {"statusCode": encode.integer(code), "statusDescription": encode.string(text)}
    if condition:
        status["errorCondition"] = encode.symbol(condition)
    return requests.reply(request, status, body)


def _renew_lock(queue: Queue, fields: dict[str, Any], now: int) -> bytes:
    ends = queue.renew(_list(fields, "lock-tokens", UUID), now)
    return _map(expirations=encode.array(0x83, [encode.timestamp(end) for end in ends]))


def _schedule(queue: Queue, fields: dict[str, Any], now: int) -> bytes:
    payloads = []
    for entry in _list(fields, "messages", dict):
        payload = entry.get("message")
        if not isinstance(payload, bytes) or len(payload) > MAX_MESSAGE:
            raise _BadArgument(f"A message is missing or larger than {MAX_MESSAGE} bytes.")
        payloads.append(payload)
    try:
        numbers = enqueue(queue, payloads, now)
    except DecodeError as error:
        raise _BadArgument(f"A message cannot be read: {error}.") from error
    return _map(sequence_numbers=encode.array(0x81, [encode.long(number) for number in numbers]))


def _cancel(queue: Queue, fields: dict[str, Any], _now: int) -> bytes:
    queue.cancel(_list(fields, "sequence-numbers", int))
    return _map()


def _peek(queue: Queue, fields: dict[str, Any], _now: int) -> bytes | None:
    count = min(_field(fields, "message-count", int), _PEEK_LIMIT)
    entries: list[bytes] = []
    size = 0
    for message in queue.peek(_field(fields, "from-sequence-number", int), count):
        entry = _entry(queue, message, peeked=True)
        size += len(entry)
        if entries and size > MAX_MESSAGE:
            break
        entries.append(entry)
    return _map(messages=encode.sequence(entries)) if entries else None


def _receive_by_sequence_number(queue: Queue, fields: dict[str, Any], now: int) -> bytes:
    removes = _field(fields, "receiver-settle-mode", int) == 0
    numbers = _list(fields, "sequence-numbers", int)
    taken = queue.take_deferred(numbers, now, remove=removes)
    return _map(messages=encode.sequence([_entry(queue, message) for message in taken]))


def _update_disposition(queue: Queue, fields: dict[str, Any], _now: int) -> bytes:
    status = _field(fields, "disposition-status", str)
    for token in _list(fields, "lock-tokens", UUID):
        match status:
            case "completed":
                queue.complete(token)
            case "abandoned":
                queue.abandon(token)
            case "defered":
                queue.defer(token)
            case "suspended":
                reason = fields.get("deadletter-reason")
                description = fields.get("deadletter-description")
                queue.dead_letter(
                    token,
                    reason if isinstance(reason, str) else None,
                    description if isinstance(description, str) else None,
                )
            case _:
                raise _BadArgument(f"{status!r} is not a disposition.")
    return _map()


_OPERATIONS: dict[str, _Operation] = {
    "renew-lock": _renew_lock,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel,
    "peek-message": _peek,
    "receive-by-sequence-number": _receive_by_sequence_number,
    "update-disposition": _update_disposition,
}


def _entry(queue: Queue, message: Message, *, peeked: bool = False) -> bytes:
    content = encode.binary(delivered(queue, message, peeked=peeked))
    pairs = {encode.string("message"): content}
    if message.lock_token is not None and not peeked:
        pairs[encode.string("lock-token")] = encode.uuid(message.lock_token)
    return encode.mapping(pairs)


def _map(**values: bytes) -> bytes:
    return encode.mapping({encode.string(k.replace("_", "-")): v for k, v in values.items()})


def _field(fields: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind):
        raise _BadArgument(f"{name} is missing or has the wrong type.")
    return value


def _list(fields: dict[str, Any], name: str, kind: type[Any]) -> list[Any]:
    values: list[Any] = _field(fields, name, list)
    if not all(isinstance(value, kind) for value in values):
        raise _BadArgument(f"{name} contains a value of the wrong type.")
    return values
