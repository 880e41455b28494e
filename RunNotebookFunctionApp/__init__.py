"""The queue's function: decode the message, hand it to the conductor."""

import azure.functions as func

from mlgate.hosts.functions import RejectedError, application, received, tell_wrong_settings

tell_wrong_settings()


def main(message: func.ServiceBusMessage) -> None:
    """Handle one message; what raises is delivered again.

    A function cannot dead-letter, so a rejected message, once recorded, raises until its
    deliveries have run out.
    """
    envelope = received(message)
    running = application()
    running.queue.heard(envelope)
    rejected = running.conductor.handle(envelope)
    if rejected is not None:
        raise RejectedError(rejected)
