"""Sends, receives and settles messages; an SDK call that does not end is given up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)
from azure.servicebus.exceptions import ServiceBusError

from handlers.servicebus_handler.broker_time import BrokerTime
from handlers.servicebus_handler.calls import Calls, SilentError
from handlers.servicebus_handler.connections import Connect, close, translated
from handlers.servicebus_handler.dead_letters import DeadLetters, Mend
from handlers.servicebus_handler.locks import Settle, kept, settle
from handlers.servicebus_handler.messages import envelope_of
from handlers.servicebus_handler.skew import Skews, stamp
from mlgate.orchestration.clock import Clock, SystemClock
from mlgate.orchestration.durable import NOW, Envelope, Rejected
from mlgate.orchestration.shift import Shift

log = logging.getLogger("mlgate")

_WAIT_SECONDS = 1.0  # how long a receive call blocks, and so how soon `listen` notices the end
_RECONNECT_SECONDS = 5.0
_FOR_LATER = timedelta(hours=1)  # longer than it takes to cancel the message
_DESCRIPTION_LIMIT = 4096  # characters; the service's limit for a dead-letter description

_Opened = tuple[ServiceBusReceiver, ServiceBusClient]
Handle = Callable[[Envelope], Rejected | None]


class ServiceBusQueue:
    """`QueuePort`, and the receiving side for a worker.

    `connect` makes a client. Each listener makes one of its own, because the SDK's senders and
    receivers are not safe for threads. A call without an answer after `patience_seconds`, all its
    tries included, is `Temporary`. `steady` counts seconds and is never set.
    """

    def __init__(
        self,
        connect: Connect,
        queue: str,
        *,
        patience_seconds: float = 60.0,
        clock: Clock | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._queue = queue
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._opened: tuple[ServiceBusClient, ServiceBusSender] | None = None
        self._silent_until = 0.0
        self._calls = Calls(patience_seconds)
        self._clock = clock or SystemClock()
        self._broker = BrokerTime(self._clock, steady)
        self._skews = Skews(steady)
        self._dead_letters = DeadLetters(connect, queue, self._calls, steady)
        self._answers = False
        self._early: list[Future[_Opened]] = []  # receivers for the listeners that begin next

    def connect(self) -> None:
        """Begin to connect, for sending and for the first listener, and return at once.

        The SDK takes half a second for each, most of it asleep. What fails here fails again, or is
        raised, where it is used.
        """
        early: Future[_Opened] = Future()
        self._early.append(early)

        def receiver() -> None:
            try:
                early.set_result(self._open_receiver())
            except BaseException as error:  # noqa: BLE001 -- it is raised in the listener
                early.set_exception(error)

        def sender() -> None:
            with suppress(Exception):  # sending raises it again
                self.check()

        for target in (receiver, sender):
            threading.Thread(target=target, daemon=True).start()

    def send(self, body: bytes, message_id: str, pause: timedelta = NOW) -> None:
        at = self._broker.now() + pause if pause > NOW else None
        self._send(body, message_id, {}, at)

    def publish(self, body: bytes, message_id: str | None, properties: Mapping[str, str]) -> None:
        """Send one message; returns once the broker has acknowledged it."""
        self._send(body, message_id, properties, None)

    def heard(self, envelope: Envelope) -> None:
        """Note a message that was received just now: it shows the broker's time.

        `listen` calls this itself; a host that receives in another way calls it for each message.
        """
        if envelope.enqueued_at is not None:
            self._broker.heard(envelope.enqueued_at)
            self._skews.heard(envelope.properties, envelope.enqueued_at, self._clock.now())

    @property
    def answers(self) -> bool:
        """Whether the broker answered the last call of a listener that ended."""
        return self._answers

    def listen(self, shift: Shift, handle: Handle) -> None:
        """Receive and handle one message after the other until the shift is over.

        Reconnects without end. What `handle` returns settles the message: None completes it, a
        rejection dead-letters it. An exception abandons it at once, and so does the shift's end.
        """
        while not shift.over:
            opened: list[ServiceBusReceiver | ServiceBusClient] = []
            try:
                receiver, client = self._receiver()
                opened += receiver, client
                while not shift.over:
                    received = self._calls.answered(partial(_receive, receiver), client)
                    self._answers = True
                    for message in received:
                        with shift.work() as begins:
                            how: Settle = ServiceBusReceiver.abandon_message
                            if begins:
                                with kept(receiver, message):
                                    how = self._settlement(message, handle)
                        # The work is done. If this fails, the message is delivered again, and
                        # handling it again changes nothing.
                        self._calls.answered(partial(_settle, receiver, message, how), client)
            except Exception as error:  # noqa: BLE001 -- nobody would notice a listener's end
                if not shift.over:
                    self._answers = False
                    log.warning("the queue %s does not answer: %s", self._queue, error)
                    shift.pause(_RECONNECT_SECONDS)
            finally:
                close(*opened)

    def mend_dead_letters(self, mend: Mend, over: Callable[[], bool] = lambda: False) -> int:
        """One pass over the dead letters, of about a minute at most: see `DeadLetters.look`."""
        with translated(self._queue):
            return self._dead_letters.look(mend, over)

    def check(self) -> None:
        """Raise `Permanent` or `Temporary` when nothing can be sent to the queue."""
        self._call_sender(lambda sender: sender.create_message_batch())

    def peek(self) -> bool:
        """Whether the queue has a message; changes nothing, and needs only the right to receive."""

        def look() -> bool:
            # Opening the receiver is what needs that right; it requests no message.
            with receiver:
                return bool(receiver.peek_messages(1))

        with translated(self._queue):
            client = self._connect()
            receiver = client.get_queue_receiver(self._queue)
            try:
                return self._calls.answered(look, client)
            finally:
                close(receiver, client)

    def try_to_send(self) -> None:
        """Send a message that nobody sees: it is scheduled for later, and canceled at once."""
        at = self._broker.now() + _FOR_LATER
        message = ServiceBusMessage(b"{}", time_to_live=_FOR_LATER)

        def send(sender: ServiceBusSender) -> None:
            sender.create_message_batch()
            sender.cancel_scheduled_messages(sender.schedule_messages(message, at))

        self._call_sender(send)

    def close(self) -> None:
        """Close the connection in the background: the SDK then joins its keep-alive thread, which
        sleeps for a second at a time."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            client, sender = opened
            threading.Thread(target=close, args=(sender, client), daemon=True).start()
        while self._early:
            self._early.pop().add_done_callback(_close_unused)

    def _receiver(self) -> _Opened:
        """A receiver for one listener, and its client; the first may be opened already."""
        try:
            early = self._early.pop()
        except IndexError:
            client = self._connect()
            return client.get_queue_receiver(self._queue), client
        try:
            return early.result(self._patience)
        except TimeoutError:
            early.add_done_callback(_close_unused)
            raise SilentError(f"nothing came within {self._patience:.0f} s") from None

    def _open_receiver(self) -> _Opened:
        client = self._connect()
        receiver = client.get_queue_receiver(self._queue)
        try:
            receiver.__enter__()
        except BaseException:
            close(receiver, client)
            raise
        return receiver, client

    def _send(
        self,
        body: bytes,
        message_id: str | None,
        properties: Mapping[str, str],
        at: datetime | None,
    ) -> None:
        named: dict[str | bytes, int | float | bytes | bool | str | UUID] = {}
        named.update(properties)
        if at is None:
            named.update(stamp(self._clock.now()))
        message = ServiceBusMessage(
            body,
            message_id=message_id,
            application_properties=named,
            scheduled_enqueue_time_utc=at,
        )
        self._call_sender(lambda sender: sender.send_messages(message))

    def _settlement(self, message: ServiceBusReceivedMessage, handle: Handle) -> Settle:
        """Handle the message; returns how to settle it."""
        try:
            envelope = envelope_of(message)
            self.heard(envelope)
            rejected = handle(envelope)
        except Exception as error:  # noqa: BLE001 -- any error sends the message back
            log.warning("message %s goes back to the queue: %s", message.message_id, error)
            return ServiceBusReceiver.abandon_message
        if rejected is None:
            return ServiceBusReceiver.complete_message
        return partial(
            ServiceBusReceiver.dead_letter_message,
            reason=rejected.reason,
            error_description=rejected.description[:_DESCRIPTION_LIMIT],
        )

    def _call_sender(self, call: Callable[[ServiceBusSender], object]) -> None:
        with self._lock, translated(self._queue):
            if time.monotonic() < self._silent_until:
                # Callers that waited for the lock do not wait again.
                raise SilentError("it did not a moment ago either")
            client, sender = self._open_sender()
            try:
                self._calls.answered(lambda: call(sender), client)
            except SilentError:
                self._silent_until = time.monotonic() + self._patience
                self._opened = None
                raise
            except ServiceBusError:
                self._close_sender()
                raise

    def _open_sender(self) -> tuple[ServiceBusClient, ServiceBusSender]:
        if self._opened is None:
            client = self._connect()
            self._opened = client, client.get_queue_sender(self._queue)
        return self._opened

    def _close_sender(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            client, sender = opened
            close(sender, client)


def _close_unused(early: Future[_Opened]) -> None:
    if early.exception() is None:
        threading.Thread(target=close, args=early.result(), daemon=True).start()


def _receive(receiver: ServiceBusReceiver) -> list[ServiceBusReceivedMessage]:
    return receiver.receive_messages(1, max_wait_time=_WAIT_SECONDS)


def _settle(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, how: Settle) -> None:
    if not settle(receiver, message, how):
        # It is delivered again, and handling it again changes nothing.
        log.warning("the lock of message %s was lost", message.message_id)
