"""Sending, scheduling, receiving and settling; an SDK call that does not end is given up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from uuid import UUID

from azure.core.credentials import TokenCredential
from azure.servicebus import (
    AutoLockRenewer,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)
from pydantic import SecretStr

from handlers.servicebus_handler.calls import Calls, SilentError
from handlers.servicebus_handler.messages import envelope_of
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import Envelope, Rejected
from mlgate.orchestration.shift import Shift

log = logging.getLogger("mlgate")

_RENEWAL_SECONDS = 3600.0  # a checkout may take long; every other step takes seconds
_WAIT_SECONDS = 1.0  # how long a receive call blocks, and so how fast `listen` sees the end
_RECONNECT_SECONDS = 5.0
_TRY_SECONDS = 20.0  # for one answer, which the SDK would else wait for without end
_PAGE = 100  # dead letters peeked at a time
_DESCRIPTION_LIMIT = 4096  # characters; the service takes 4096 for a dead-letter description
_GAVE_UP = "MaxDeliveryCountExceeded"  # the broker's own reason for dead-lettering

Handle = Callable[[Envelope], Rejected | None]
Connect = Callable[[], ServiceBusClient]
Settle = Callable[[ServiceBusReceiver, ServiceBusReceivedMessage], None]


def connect_with_string(connection_string: SecretStr) -> Connect:
    """Connect by a shared access key; raises `Permanent` when the string cannot be read."""

    def connect() -> ServiceBusClient:
        try:
            return ServiceBusClient.from_connection_string(
                connection_string.get_secret_value(), try_timeout=_TRY_SECONDS
            )
        except ValueError:
            # Without the cause: its text may quote the string, which holds the key.
            raise Permanent(
                "serviceBusConnectionString is not a Service Bus connection string. It begins "
                "with Endpoint=sb:// and names a SharedAccessKeyName and a SharedAccessKey."
            ) from None

    return connect


def connect_with_identity(namespace: str, credential: TokenCredential) -> Connect:
    """Connect to a fully qualified namespace with the host's identity."""
    return lambda: ServiceBusClient(namespace, credential, try_timeout=_TRY_SECONDS)


class ServiceBusQueue:
    """`QueuePort`, and the receiving side for a worker.

    `connect` makes a client; each listener makes one of its own, because senders and receivers
    of the SDK are not safe across threads. A call that has no answer after `patience_seconds`,
    with all its tries, is `Temporary`.
    """

    def __init__(self, connect: Connect, queue: str, *, patience_seconds: float = 60.0) -> None:
        self._connect = connect
        self._queue = queue
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._opened: tuple[ServiceBusClient, ServiceBusSender] | None = None
        self._silent_until = 0.0
        self._calls = Calls(patience_seconds)
        self._taken_up: set[int] = set()  # sequence numbers of dead letters

    def send(self, body: bytes, message_id: str, at: datetime | None = None) -> None:
        self.publish(body, message_id, {}, at)

    def publish(
        self,
        body: bytes,
        message_id: str | None,
        properties: Mapping[str, str],
        at: datetime | None = None,
    ) -> None:
        """Send one message; returns once the broker has acknowledged it."""
        named: dict[str | bytes, int | float | bytes | bool | str | UUID] = {}
        named.update(properties)
        message = ServiceBusMessage(
            body,
            message_id=message_id,
            application_properties=named,
            scheduled_enqueue_time_utc=at,
        )
        self._call_sender(lambda sender: sender.send_messages(message))

    def listen(self, shift: Shift, handle: Handle) -> None:
        """Receive and handle one message after the other until the shift is over.

        Reconnects for ever. What `handle` returns settles the message: None completes it, a
        rejection dead-letters it; an exception gives it back at once, and so does the shift's end.
        """
        while not shift.over:
            renewer = AutoLockRenewer(max_lock_renewal_duration=_RENEWAL_SECONDS)
            client = self._connect()
            receiver = client.get_queue_receiver(self._queue)
            try:
                while not shift.over:
                    for message in self._calls.answered(partial(_receive, receiver), client):
                        with shift.work() as begins:
                            settle: Settle = ServiceBusReceiver.abandon_message
                            if begins:
                                renewer.register(receiver, message)
                                settle = _settlement(message, handle)
                        # Nothing is at hand any more: should this fail, the message comes again,
                        # and handling it again changes nothing.
                        self._calls.answered(partial(_settle, receiver, message, settle), client)
            except Exception as error:  # noqa: BLE001 -- a listener that ends would do so unseen
                if not shift.over:
                    log.warning("the queue %s does not answer: %s", self._queue, error)
                    shift.pause(_RECONNECT_SECONDS)
            finally:
                renewer.close(wait=False)  # nothing is at hand any more that it could renew
                _close(receiver, client)

    def dead_letters(self, take_up: Callable[[Envelope], bool]) -> None:
        """Hand over each message that the broker itself gave up on; it stays where it is.

        One for which `take_up` has returned true is not handed over again. At most a page of them
        is held at a time.
        """
        given_up: set[int] = set()
        with _translated(self._queue):
            client = self._connect()
            receiver = client.get_queue_receiver(
                self._queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER
            )
            try:
                after = 0
                while page := self._calls.answered(partial(_peek, receiver, after), client):
                    for message in page:
                        number = message.sequence_number or 0
                        after = number + 1
                        if message.dead_letter_reason != _GAVE_UP:
                            continue
                        given_up.add(number)
                        if number in self._taken_up:
                            continue
                        if take_up(envelope_of(message, delivery_count=1)):
                            self._taken_up.add(number)
            finally:
                _close(receiver, client)
        self._taken_up &= given_up  # the others were purged

    def check(self) -> None:
        """Raise `Permanent` or `Temporary` when nothing can be sent to the queue."""
        self._call_sender(lambda sender: sender.create_message_batch())

    def close(self) -> None:
        with self._lock:
            self._close_sender()

    def _call_sender(self, call: Callable[[ServiceBusSender], object]) -> None:
        with self._lock, _translated(self._queue):
            if time.monotonic() < self._silent_until:
                raise SilentError("it did not a moment ago")  # whoever waited here is not kept
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
            _close(sender, client)


def _receive(receiver: ServiceBusReceiver) -> list[ServiceBusReceivedMessage]:
    return receiver.receive_messages(1, max_wait_time=_WAIT_SECONDS)


def _peek(receiver: ServiceBusReceiver, first: int) -> list[ServiceBusReceivedMessage]:
    return receiver.peek_messages(_PAGE, sequence_number=first)


def _close(*opened: ServiceBusReceiver | ServiceBusSender | ServiceBusClient) -> None:
    for each in opened:
        try:
            each.close()
        except Exception as error:  # noqa: BLE001 -- it is let go of either way
            log.info("closing %s: %s", type(each).__name__, error)


def _settlement(message: ServiceBusReceivedMessage, handle: Handle) -> Settle:
    """Handle the message; returns how it is to be settled."""
    envelope = envelope_of(message, delivery_count=(message.delivery_count or 0) + 1)
    try:
        rejected = handle(envelope)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the message must go back
        log.warning("message %s goes back to the queue: %s", envelope.message_id, error)
        return ServiceBusReceiver.abandon_message
    if rejected is None:
        return ServiceBusReceiver.complete_message
    return partial(
        ServiceBusReceiver.dead_letter_message,
        reason=rejected.reason,
        error_description=rejected.description[:_DESCRIPTION_LIMIT],
    )


def _settle(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, how: Settle) -> None:
    try:
        how(receiver, message)
    except MessageLockLostError:
        # It is delivered again, and handling it again changes nothing.
        log.warning("the lock of message %s was lost", message.message_id)


@contextmanager
def _translated(queue: str) -> Iterator[None]:
    try:
        yield
    except MessagingEntityNotFoundError as error:
        raise Permanent(
            f"The queue {queue} does not exist. Create it, or set serviceBusQueueName."
        ) from error
    except (ServiceBusAuthenticationError, ServiceBusAuthorizationError) as error:
        raise Permanent(
            f"The Service Bus namespace refused access to the queue {queue}. Check "
            "serviceBusConnectionString, or the role of the host's identity."
        ) from error
    except ServiceBusError as error:
        raise Temporary(f"The queue {queue} does not answer: {error.message}.") from error
    except SilentError as error:
        raise Temporary(f"The queue {queue} does not answer: {error}.") from None
