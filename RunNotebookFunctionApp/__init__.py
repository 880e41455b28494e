"""The queue's function: decode the message, hand it to the conductor."""

import azure.functions as func

from mlgate.hosts.functions import RejectedError, application
from mlgate.orchestration.ports import Envelope

RUNNING = application()


def main(message: func.ServiceBusMessage) -> None:
    """Handle one message; what raises is delivered again.

    A function cannot dead-letter, so a rejected message, once recorded, raises until its
    deliveries have run out.
    """
    envelope = Envelope(
        body=message.get_body(),
        properties={key: str(value) for key, value in message.application_properties.items()},
        message_id=message.message_id or str(message.sequence_number),
        delivery_count=message.delivery_count or 1,
    )
    rejected = RUNNING.conductor.handle(envelope)
    if rejected is not None:
        raise RejectedError(rejected)
