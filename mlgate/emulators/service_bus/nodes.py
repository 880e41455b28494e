"""Nodes: what an address names, whether a client may use it, and the link that serves it.

$cbs                            tokens; open to everyone
QUEUE/$management               requests about a queue
QUEUE/$DeadLetterQueue          receive only; has its own $management
QUEUE                           send and receive
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlgate.emulators.service_bus import cbs, management
from mlgate.emulators.service_bus.broker import DEAD_LETTER_SUFFIX
from mlgate.emulators.service_bus.decode import Described
from mlgate.emulators.service_bus.entities import enqueue, unpacked
from mlgate.emulators.service_bus.frames import accepted
from mlgate.emulators.service_bus.links import (
    Accept,
    IncomingLink,
    OutgoingLink,
    QueueLink,
    ReplyLink,
)
from mlgate.emulators.service_bus.performatives import Attach
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.tokens import LISTEN, SEND, entity_path

if TYPE_CHECKING:
    from mlgate.emulators.service_bus.sessions import Session

_SESSION_FILTER = "com.microsoft:session-filter"
_COORDINATOR = 0x30  # the target of a link that controls transactions (AMQP 1.0, part 4.5.1)
_SETTLED = 1  # snd-settle-mode of a client that receives and deletes


class Refusal(Exception):
    """The link is refused, with an error condition of AMQP or Service Bus."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(description)
        self.condition = condition
        self.description = description


def attach_incoming(session: Session, attach: Attach) -> IncomingLink:
    """The link on which a client sends to its target. Raises Refusal."""
    if attach.target is not None and attach.target.descriptor == _COORDINATOR:
        raise Refusal("amqp:not-implemented", "The emulator does not support transactions.")
    path = _path(attach.target)
    number, count = attach.handle, attach.initial_delivery_count or 0
    accept: Accept
    if path == cbs.ADDRESS:
        accept = _cbs(session)
    elif path.endswith(management.SUFFIX):
        entity = _checked(session, path.removesuffix(management.SUFFIX))
        accept = _management(session, path, entity)
    else:
        entity = _checked(session, path, SEND)
        if entity.endswith(DEAD_LETTER_SUFFIX):
            raise Refusal("amqp:not-allowed", "A dead-letter queue does not accept messages.")
        return IncomingLink(session, number, count, _queue(session, entity), may_idle=False)
    return IncomingLink(session, number, count, accept)


def attach_outgoing(session: Session, attach: Attach) -> OutgoingLink:
    """The link on which a client receives from its source. Raises Refusal."""
    path = _path(attach.source)
    if path == cbs.ADDRESS:
        return ReplyLink(session, attach.handle, path)
    if path.endswith(management.SUFFIX):
        _checked(session, path.removesuffix(management.SUFFIX))
        return ReplyLink(session, attach.handle, path)
    entity = _checked(session, path, LISTEN)
    if _SESSION_FILTER in _filters(attach.source):
        problem = "The queue has no sessions: receive without a session id."
        raise Refusal("amqp:not-allowed", problem)
    broker = session.connection.broker
    removes = attach.snd_settle_mode == _SETTLED
    link = QueueLink(session, attach.handle, entity, removes=removes)
    broker.subscribe(entity, link)
    return link


def _checked(session: Session, entity: str, right: str | None = None) -> str:
    """The path of an entity, after checking that it exists and the client has the right to it."""
    if not session.connection.is_granted(entity, right):
        claim = f"'{right}' claim(s) are" if right is not None else "A claim is"
        problem = f"Unauthorized access. {claim} required to perform this operation on {entity!r}."
        raise Refusal("amqp:unauthorized-access", problem)
    if session.connection.broker.queue(entity) is None:
        problem = f"The messaging entity {entity!r} could not be found."
        raise Refusal("amqp:not-found", problem)
    return entity


def _queue(session: Session, entity: str) -> Accept:
    def accept(payload: bytes, message_format: int) -> bytes:
        now = session.connection.broker.now()
        enqueue(_up_to_date(session, entity), unpacked(payload, message_format), now)
        return accepted

    return accept


def _management(session: Session, path: str, entity: str) -> Accept:
    def accept(payload: bytes, _format: int) -> bytes:
        now = session.connection.broker.now()
        session.reply(path, management.answer(payload, _up_to_date(session, entity), now))
        return accepted

    return accept


def _cbs(session: Session) -> Accept:
    def accept(payload: bytes, _format: int) -> bytes:
        broker = session.connection.broker
        reply, grant = cbs.answer(payload, broker.key, broker.clock())
        if grant is not None:
            session.connection.grant(grant)
        session.reply(cbs.ADDRESS, reply)
        return accepted

    return accept


def _up_to_date(session: Session, entity: str) -> Queue:
    queue = session.connection.broker.queue(entity)
    assert queue is not None  # queues are never added or removed
    return queue


def _fields(terminus: Described | None) -> list[Any]:
    fields = terminus.value if terminus is not None else None
    return fields if isinstance(fields, list) else []


def _path(terminus: Described | None) -> str:
    fields = _fields(terminus)
    if not fields or not isinstance(fields[0], str):
        raise Refusal("amqp:invalid-field", "The link has no address.")
    return entity_path(fields[0])


def _filters(source: Described | None) -> dict[Any, Any]:
    fields = _fields(source)
    filters = fields[7] if len(fields) > 7 else None
    return filters if isinstance(filters, dict) else {}
