"""Locks of received messages, independent of this host's clock.

The SDK compares the end of a lock, by the broker's clock, with the time on this host. If this
host's clock is fast by more than a lock lasts, the SDK settles nothing; if it is slow, the SDK
renews too late. Here a lock is renewed at intervals, and only the broker says that it is lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError

log = logging.getLogger("mlgate")

RENEWAL_SECONDS = 15.0  # two may fail within a minute, the shortest lock that is advised
_MOST_SECONDS = 3600.0  # a checkout may take long; every other step takes seconds
_LAST_SECONDS = 5.0  # for a renewal that is on its way when the work is done
_NEVER = datetime.max.replace(tzinfo=UTC)

Settle = Callable[[ServiceBusReceiver, ServiceBusReceivedMessage], None]


@contextmanager
def kept(
    receiver: ServiceBusReceiver,
    message: ServiceBusReceivedMessage,
    every_seconds: float = RENEWAL_SECONDS,
) -> Iterator[None]:
    """Keep the message's lock while the block runs, for an hour at most."""
    done = threading.Event()

    def renew() -> None:
        until = time.monotonic() + _MOST_SECONDS
        while not done.wait(every_seconds) and time.monotonic() < until:
            try:
                receiver.renew_message_lock(message, timeout=every_seconds)
            except MessageLockLostError:
                return
            except Exception as error:  # noqa: BLE001 -- after a silence, the next one may succeed
                # After a cut connection none does: the message is delivered again, and handling it
                # again changes nothing.
                log.info("the lock of message %s was not renewed: %s", message.message_id, error)

    renewer = threading.Thread(target=renew, name="lock-renewal", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join(_LAST_SECONDS)


def settle(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, how: Settle) -> bool:
    """Settle the message; false when its lock was lost, and then it is delivered again."""
    # What the SDK reads as the end of the lock (azure-servicebus 7.15, `_lock_expired`).
    message._expiry = _NEVER  # noqa: SLF001 -- else it would not ask the broker
    try:
        how(receiver, message)
    except MessageLockLostError:
        return False
    return True
