"""Links: one-way streams of messages between a client and a node of the broker.

Directions are the broker's. Credit is the number of messages that the receiver is ready to accept.
The delivery-counts of both sides make it absolute, so that messages in transit are not counted
twice (AMQP 1.0, part 2.6.7).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from mlgate.emulators.service_bus import frames, performatives
from mlgate.emulators.service_bus.broker import IDLE_SECONDS
from mlgate.emulators.service_bus.entities import MAX_MESSAGE, delivered
from mlgate.emulators.service_bus.performatives import Flow, Transfer
from mlgate.emulators.service_bus.queues import Queue

if TYPE_CHECKING:
    from mlgate.emulators.service_bus.sessions import Session

_CREDIT = 1000  # granted to a client that sends, and renewed when half of it is used
_MAX_REPLIES = 1000  # waiting for a client's credit
_SERIAL = 0xFFFF_FFFF  # counts wrap around at 32 bits

Accept = Callable[[bytes, int], bytes]  # encoded message, its format -> delivery state


class TooManyReplies(Exception):
    """A client keeps sending requests without receiving the replies."""


_IDLE = frames.error(
    "amqp:link:detach-forced",
    f"The link is force detached by the broker: it was idle for {IDLE_SECONDS} seconds.",
)


class Link:
    """The common part of both directions."""

    def __init__(self, session: Session, handle: int, *, may_idle: bool) -> None:
        self._session = session
        self._handle = handle
        self._may_idle = may_idle

    def heard(self) -> None:
        """The link was used, so it is not idle."""
        if not self._may_idle:
            self._session.connection.broker.heard(self)

    def detach_idle(self) -> None:
        self._session.detach(self._handle, _IDLE)

    def close(self) -> None:
        """The link has ended; nothing is sent on it any more."""
        self._session.connection.broker.forget(self)


class IncomingLink(Link):
    """A link on which the client sends."""

    def __init__(
        self,
        session: Session,
        handle: int,
        delivery_count: int,
        accept: Accept,
        *,
        may_idle: bool = True,
    ) -> None:
        super().__init__(session, handle, may_idle=may_idle)
        self._accept = accept
        self._delivery_count = delivery_count
        self._credit = 0
        self._first: Transfer | None = None  # of a delivery that has begun
        self._payload = bytearray()
        self._is_too_large = False

    def grant(self) -> None:
        self._credit = _CREDIT
        self._session.send_flow(self._handle, self._delivery_count, self._credit)

    def on_flow(self, flow: Flow) -> None:
        if flow.delivery_count is not None:
            self._delivery_count = flow.delivery_count
        if flow.echo or self._credit <= _CREDIT // 2:
            self.grant()

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Handle one frame of a delivery; its frames follow each other on a link."""
        first = self._first = self._first or transfer
        if len(self._payload) + len(payload) > MAX_MESSAGE:
            self._is_too_large = True
            self._payload.clear()
        if not self._is_too_large:
            self._payload += payload
        if transfer.more and not transfer.aborted:
            return
        content, is_too_large = bytes(self._payload), self._is_too_large
        self._first, self._is_too_large = None, False
        self._payload.clear()
        self._delivery_count = (self._delivery_count + 1) & _SERIAL
        self._credit -= 1
        if not transfer.aborted:
            state = _TOO_LARGE if is_too_large else self._accept(content, first.message_format or 0)
            if not (first.settled or transfer.settled) and first.delivery_id is not None:
                self._session.settle(performatives.IS_RECEIVER, first.delivery_id, state)
        if self._credit <= _CREDIT // 2:
            self.grant()

    def close(self) -> None:
        super().close()
        self._payload.clear()


_TOO_LARGE = frames.rejected(
    frames.error(
        "amqp:link:message-size-exceeded",
        f"The message is larger than the limit of {MAX_MESSAGE} bytes.",
    )
)


class OutgoingLink(Link):
    """A link on which the client receives."""

    def __init__(self, session: Session, handle: int, *, may_idle: bool = True) -> None:
        super().__init__(session, handle, may_idle=may_idle)
        self._delivery_count = 0
        self._credit = 0
        self._is_draining = False

    def on_flow(self, flow: Flow) -> None:
        if flow.link_credit is not None:
            sent_since = (self._delivery_count - (flow.delivery_count or 0)) & _SERIAL
            self._credit = max(flow.link_credit - sent_since, 0)
        self._is_draining = bool(flow.drain)
        if flow.echo:
            self._session.send_flow(self._handle, self._delivery_count, self._credit)

    def _can_send(self) -> bool:
        return self._credit > 0 and self._session.can_send()

    def _send(self, tag: bytes, payload: bytes, *, settled: bool) -> int:
        self._credit -= 1
        self._delivery_count = (self._delivery_count + 1) & _SERIAL
        return self._session.send_message(self._handle, tag, payload, settled=settled)

    def _drained(self) -> None:
        """There is nothing more to send: use up the credit if the client is draining it."""
        if self._is_draining and self._session.can_send():
            self._delivery_count = (self._delivery_count + self._credit) & _SERIAL
            self._credit, self._is_draining = 0, False
            self._session.send_flow(self._handle, self._delivery_count, 0, drain=True)


class QueueLink(OutgoingLink):
    """Delivers the messages of a queue: locked, or removed if the client asked for `settled`."""

    def __init__(self, session: Session, handle: int, path: str, *, removes: bool) -> None:
        super().__init__(session, handle, may_idle=False)
        self.path = path
        self._removes = removes

    def serve(self, queue: Queue, now: int) -> bool:
        message = None
        if self._can_send():
            message = queue.pop(now) if self._removes else queue.take(now)
        if message is None:
            self._drained()
            return False
        token = message.lock_token
        # A tag is a GUID in .NET's byte order; uuid values are in network order.
        tag = (token or UUID(int=message.sequence_number)).bytes_le
        delivery_id = self._send(tag, delivered(queue, message), settled=self._removes)
        if token is not None:
            self._session.await_settlement(delivery_id, self, token)
        self.heard()
        return True

    def close(self) -> None:
        super().close()
        self._session.connection.broker.unsubscribe(self.path, self)


class ReplyLink(OutgoingLink):
    """Sends the replies of a request node; they wait for credit."""

    def __init__(self, session: Session, handle: int, address: str) -> None:
        super().__init__(session, handle)
        self.address = address
        self._waiting: deque[bytes] = deque()

    def reply(self, payload: bytes) -> None:
        if len(self._waiting) >= _MAX_REPLIES:
            raise TooManyReplies
        self._waiting.append(payload)
        self._serve()

    def on_flow(self, flow: Flow) -> None:
        super().on_flow(flow)
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._credit > 0:
            tag = self._delivery_count.to_bytes(4, "big")
            self._send(tag, self._waiting.popleft(), settled=True)
        if not self._waiting:
            self._drained()

    def close(self) -> None:
        super().close()
        self._waiting.clear()
