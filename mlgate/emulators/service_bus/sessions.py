"""An AMQP session: the links of one channel, and its deliveries with their settlement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from mlgate.emulators.service_bus import frames, performatives
from mlgate.emulators.service_bus.decode import DecodeError
from mlgate.emulators.service_bus.encode import NULL
from mlgate.emulators.service_bus.entities import MAX_MESSAGE, settle
from mlgate.emulators.service_bus.links import IncomingLink, OutgoingLink, QueueLink, ReplyLink
from mlgate.emulators.service_bus.nodes import Refusal, attach_incoming, attach_outgoing
from mlgate.emulators.service_bus.performatives import (
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Performative,
    Transfer,
)

if TYPE_CHECKING:
    from mlgate.emulators.service_bus.connection import Connection

HANDLE_MAX = 255
_SERIAL = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class _Unsettled:
    link: QueueLink
    token: UUID


class Session:
    """One channel of a connection. Both sides use the client's numbers for channel and handles."""

    def __init__(self, connection: Connection, channel: int, begin: Begin) -> None:
        self.connection = connection
        self._channel = channel
        self._next_incoming_id = begin.next_outgoing_id
        self._next_outgoing_id = 0  # of the next transfer frame
        self._next_delivery_id = 0
        self._window = begin.incoming_window  # transfer frames that the client accepts now
        self._links: dict[int, IncomingLink | OutgoingLink] = {}
        self._replies: dict[str, ReplyLink] = {}  # by the address of their node
        self._unsettled: dict[int, _Unsettled] = {}  # by delivery id

    def on_frame(self, performative: Performative, payload: bytes) -> None:
        """Handle a frame. Unknown handles are ignored: clients use them while links close."""
        match performative:
            case Attach():
                self._on_attach(performative)
            case Flow():
                self._on_flow(performative)
            case Transfer():
                self._next_incoming_id = (self._next_incoming_id + 1) & _SERIAL
                link = self._links.get(performative.handle)
                if isinstance(link, IncomingLink):
                    link.heard()
                    link.on_transfer(performative, payload)
            case Disposition():
                self._on_disposition(performative)
            case Detach():
                self._on_detach(performative)
            case _:
                raise DecodeError(f"{type(performative).__name__} is not allowed here")

    def close(self) -> None:
        """Drop all links. Locks stay, because receivers may settle through `$management`."""
        for handle in list(self._links):
            self._drop(handle)

    # Used by links and nodes

    def can_send(self) -> bool:
        return self._window > 0 and not self.connection.is_congested

    def send(self, body: bytes) -> None:
        self.connection.send(self._channel, body)

    def send_flow(
        self, handle: int, delivery_count: int, link_credit: int, *, drain: bool = False
    ) -> None:
        self.send(
            frames.flow(
                self._next_incoming_id,
                self._next_outgoing_id,
                handle=handle,
                delivery_count=delivery_count,
                link_credit=link_credit,
                drain=drain,
            )
        )

    def send_message(self, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> int:
        """Send one delivery, in as many frames as it needs; returns its id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = (delivery_id + 1) & _SERIAL
        room = self.connection.max_frame_size - 64  # the frame's header and the performative
        for start in range(0, max(len(payload), 1), room):
            more = start + room < len(payload)
            head = frames.transfer(handle, delivery_id, tag, settled=settled, more=more)
            self.send(head + payload[start : start + room])
            self._next_outgoing_id = (self._next_outgoing_id + 1) & _SERIAL
            self._window -= 1
        return delivery_id

    def await_settlement(self, delivery_id: int, link: QueueLink, token: UUID) -> None:
        self._unsettled[delivery_id] = _Unsettled(link, token)

    def detach(self, handle: int, problem: bytes) -> None:
        """End a link from our side. Locks stay, as when the client ends it."""
        self._drop(handle)
        self.send(frames.detach(handle, problem))

    def settle(self, role: bool, delivery_id: int, state: bytes) -> None:
        self.send(frames.disposition(role, delivery_id, state))

    def reply(self, address: str, payload: bytes) -> None:
        """Send a reply on the link on which the client receives from a request node."""
        link = self._replies.get(address)
        if link is not None:
            link.reply(payload)

    # Frames

    def _on_attach(self, attach: Attach) -> None:
        if attach.handle > HANDLE_MAX or attach.handle in self._links:
            raise DecodeError(f"handle {attach.handle} is in use or over {HANDLE_MAX}")
        if max(attach.snd_settle_mode or 0, attach.rcv_settle_mode or 0) > 2:
            raise DecodeError("the settle mode is unknown")
        try:
            link: IncomingLink | OutgoingLink
            if attach.role is performatives.IS_SENDER:
                link = attach_incoming(self, attach)
            else:
                link = attach_outgoing(self, attach)
        except Refusal as refusal:
            # Without a source and a target the client knows that a detach follows; with them it
            # would treat the link as open.
            self.send(frames.attach(attach, NULL, NULL, 0))
            problem = frames.error(refusal.condition, refusal.description)
            self.send(frames.detach(attach.handle, problem))
            return
        self._links[attach.handle] = link
        link.heard()
        self.send(frames.attach(attach, frames.source(attach), frames.target(attach), MAX_MESSAGE))
        if isinstance(link, IncomingLink):
            link.grant()
        elif isinstance(link, ReplyLink):
            self._replies[link.address] = link

    def _on_flow(self, flow: Flow) -> None:
        # Before our begin has reached the client, it does not know that our numbers start at 0.
        sent_since = (self._next_outgoing_id - (flow.next_incoming_id or 0)) & _SERIAL
        self._window = max(flow.incoming_window - sent_since, 0)
        if flow.handle is None:
            if flow.echo:
                self.send(frames.flow(self._next_incoming_id, self._next_outgoing_id))
        elif flow.handle in self._links:
            self._links[flow.handle].heard()
            self._links[flow.handle].on_flow(flow)

    def _on_disposition(self, disposition: Disposition) -> None:
        if disposition.role is not performatives.IS_RECEIVER:
            return
        state = disposition.state
        if state is not None and state.descriptor == frames.RECEIVED:
            return
        last = disposition.first if disposition.last is None else disposition.last
        for delivery_id in self._unsettled_in(range(disposition.first, last + 1)):
            unsettled = self._unsettled.pop(delivery_id)
            queue = self.connection.broker.queue(unsettled.link.path)
            assert queue is not None
            answer = settle(queue, unsettled.token, state)
            if not disposition.settled:
                self.settle(performatives.IS_SENDER, delivery_id, answer)

    def _unsettled_in(self, span: range) -> list[int]:
        """The unsettled ids in a range, which a client may make 2**32 long."""
        if len(span) <= len(self._unsettled):
            return [one for one in span if one in self._unsettled]
        return [one for one in self._unsettled if one in span]

    def _on_detach(self, detach: Detach) -> None:
        if detach.handle in self._links:
            self._drop(detach.handle)
            self.send(frames.detach(detach.handle, closed=bool(detach.closed)))

    def _drop(self, handle: int) -> None:
        link = self._links.pop(handle)
        link.close()
        if isinstance(link, ReplyLink) and self._replies.get(link.address) is link:
            del self._replies[link.address]
        self._unsettled = {
            delivery_id: unsettled
            for delivery_id, unsettled in self._unsettled.items()
            if unsettled.link is not link
        }
