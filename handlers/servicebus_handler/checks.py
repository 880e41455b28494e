"""Checks that this host may receive from the queue and send to it."""

from __future__ import annotations

from collections.abc import Callable

from handlers.servicebus_handler.queue import ServiceBusQueue
from mlgate.orchestration.checks import Examination

_ROLE = (
    "Check serviceBusConnectionString and serviceBusQueueName; with a managed identity, "
    "serviceBusConnectionString__fullyQualifiedNamespace and __clientId. The identity needs the "
    "role {role}, or Azure Service Bus Data Owner, on the namespace."
)


def examinations(queue: Callable[[], ServiceBusQueue], name: str) -> tuple[Examination, ...]:
    """`queue` returns the queue `name`, or raises why it cannot be used.

    The checks receive no message, and the one that they send never becomes visible.
    """

    def receive() -> str:
        waiting = "a message is waiting" if queue().peek() else "no message is waiting"
        return f"{name} can be read; {waiting}."

    def send() -> str:
        queue().try_to_send()
        return f"{name} accepts messages."

    return (
        Examination("queue-receive", receive, _ROLE.format(role="Azure Service Bus Data Receiver")),
        Examination("queue-send", send, _ROLE.format(role="Azure Service Bus Data Sender")),
    )
