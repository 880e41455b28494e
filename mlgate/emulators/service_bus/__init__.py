"""A Service Bus emulator: queues that the unmodified `azure-servicebus` SDK talks to over AMQP 1.0.

On the loopback interface, standard library alone. From the bottom up:

    encode, decode           the types of AMQP 1.0
    performatives, frames    what the peers say to each other
    messages                 the sections of a message
    config, records, queues  what a queue does: pure, the time is told to it
    journal                  the queues in a file
    tokens                   shared access signatures
    entities                 where messages meet queues
    requests, cbs, management   the two kinds of node that answer requests
    broker                   the namespace, and the turns of its event loop
    connection, sessions, links, nodes   the protocol
    server                   start and stop

Topics, sessions (of Service Bus), transactions, the HTTP management API and TLS are left out.
"""

from mlgate.emulators.service_bus.config import QueueConfig, parse_queue
from mlgate.emulators.service_bus.server import Emulator, EmulatorError, serve

__all__ = ["Emulator", "EmulatorError", "QueueConfig", "parse_queue", "serve"]
