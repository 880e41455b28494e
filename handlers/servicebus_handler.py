"""The queue: send, schedule, receive, settle, through the `azure-servicebus` SDK."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar
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
from azure.servicebus.amqp import AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)
from pydantic import SecretStr

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
T = TypeVar("T")


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
        self._client: ServiceBusClient | None = None
        self._sender: ServiceBusSender | None = None

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
            try:
                with (
                    self._connect() as client,
                    client.get_queue_receiver(self._queue) as receiver,
                ):
                    while not shift.over:
                        for message in receiver.receive_messages(1, max_wait_time=_WAIT_SECONDS):
                            with shift.work() as begins:
                                if begins:
                                    renewer.register(receiver, message)
                                    _settle(receiver, message, handle)
                                else:
                                    receiver.abandon_message(message)
            except Exception as error:  # noqa: BLE001 -- a listener that ends would do so unseen
                if shift.over:
                    return
                log.warning("the queue %s does not answer: %s", self._queue, error)
                shift.pause(_RECONNECT_SECONDS)
            finally:
                renewer.close(wait=False)  # nothing is at hand any more that it could renew

    def dead_letters(self) -> list[Envelope]:
        """Messages that the broker itself gave up on; they stay where they are."""
        with _translated(self._queue):
            found = self._answered(self._given_up)
        return [_envelope(message, delivery_count=1) for message in found]

    def _given_up(self) -> list[ServiceBusReceivedMessage]:
        found: list[ServiceBusReceivedMessage] = []
        with (
            self._connect() as client,
            client.get_queue_receiver(
                self._queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER
            ) as receiver,
        ):
            after = 0
            while page := receiver.peek_messages(_PAGE, sequence_number=after):
                found += [each for each in page if each.dead_letter_reason == _GAVE_UP]
                after = (page[-1].sequence_number or 0) + 1
        return found

    def check(self) -> None:
        """Raise `Permanent` or `Temporary` when nothing can be sent to the queue."""
        self._call_sender(lambda sender: sender.create_message_batch())

    def close(self) -> None:
        with self._lock:
            self._close_sender()

    def _call_sender(self, call: Callable[[ServiceBusSender], object]) -> None:
        with self._lock, _translated(self._queue):
            try:
                sender = self._open_sender()
                self._answered(lambda: call(sender))
            except _SilentError:
                self._sender = self._client = None  # closing it might take as long
                raise
            except ServiceBusError:
                self._close_sender()
                raise

    def _answered(self, call: Callable[[], T]) -> T:
        """What `call` returns, in time, or what it raises.

        The SDK's own limit (`try_timeout`) begins after a connection's first frames, for which it
        waits without one (azure-servicebus 7.15, `_pyamqp/_transport.py`, `block`).
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
                future.set_exception(error)

        threading.Thread(target=run, name="service-bus-call", daemon=True).start()
        if not wait([future], self._patience).done:
            raise _SilentError(f"nothing came in {self._patience:.0f} s")
        return future.result()

    def _open_sender(self) -> ServiceBusSender:
        if self._sender is None:
            self._client = self._connect()
            self._sender = self._client.get_queue_sender(self._queue)
        return self._sender

    def _close_sender(self) -> None:
        sender, client = self._sender, self._client
        self._sender = self._client = None
        if sender is not None:
            sender.close()
        if client is not None:
            client.close()


def _settle(
    receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, handle: Handle
) -> None:
    envelope = _envelope(message, delivery_count=(message.delivery_count or 0) + 1)
    try:
        try:
            rejected = handle(envelope)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the message must go back
            log.warning("message %s goes back to the queue: %s", envelope.message_id, error)
            receiver.abandon_message(message)
            return
        if rejected is None:
            receiver.complete_message(message)
        else:
            receiver.dead_letter_message(
                message,
                reason=rejected.reason,
                error_description=rejected.description[:_DESCRIPTION_LIMIT],
            )
    except MessageLockLostError:
        # It is delivered again, and handling it again changes nothing.
        log.warning("the lock of message %s was lost", envelope.message_id)


def _envelope(message: ServiceBusReceivedMessage, delivery_count: int) -> Envelope:
    return Envelope(
        body=_body(message),
        properties={
            _text(key): _text(value)
            for key, value in (message.application_properties or {}).items()
        },
        message_id=str(message.message_id or message.sequence_number),
        delivery_count=delivery_count,
    )


def _body(message: ServiceBusReceivedMessage) -> bytes:
    """The body's bytes; of an AMQP value, which no sender of ours makes, its text."""
    if message.body_type is AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    return message.body if isinstance(message.body, bytes) else str(message.body).encode()


def _text(value: object) -> str:
    """Keys and string values of properties arrive as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _SilentError(Exception):
    """The broker holds the connection and says nothing."""


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
    except _SilentError as error:
        raise Temporary(f"The queue {queue} does not answer: {error}.") from None
