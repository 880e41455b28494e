"""The queue: send, schedule, receive, settle, through the `azure-servicebus` SDK."""

from handlers.servicebus_handler.queue import (
    ServiceBusQueue,
    connect_with_identity,
    connect_with_string,
)

__all__ = ["ServiceBusQueue", "connect_with_identity", "connect_with_string"]
