"""The queue: send, pause, receive, settle, through the `azure-servicebus` SDK."""

from handlers.servicebus_handler.connections import connect_with_identity, connect_with_string
from handlers.servicebus_handler.messages import message_id_of
from handlers.servicebus_handler.queue import ServiceBusQueue

__all__ = ["ServiceBusQueue", "connect_with_identity", "connect_with_string", "message_id_of"]
