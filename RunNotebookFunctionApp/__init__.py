"""The queue's function: passes each message to the conductor."""

import azure.functions as func

from mlgate.hosts.functions import RejectedError, application, received, report_wrong_settings

report_wrong_settings()


def main(message: func.ServiceBusMessage) -> None:
    """Handle one message; the queue delivers it again if this raises.

    A function cannot dead-letter a message, so a rejected one, once recorded, raises until its
    deliveries have run out.
    """
    envelope = received(message)
    running = application()
    running.queue.heard(envelope)
    rejected = running.conductor.handle(envelope, dead_letters=False)
    if rejected is not None:
        raise RejectedError(rejected)
