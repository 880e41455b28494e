"""A Service Bus emulator: queues that the unmodified `azure-servicebus` SDK uses over AMQP 1.0.

It listens on loopback and needs only the standard library. From the bottom up:

    encode, decode           the types of AMQP 1.0
    performatives, frames    what clients and the broker send
    messages                 the sections of a message
    config, records, queues  what a queue does: pure, with the time as an argument
    journal                  the queues in a file
    tokens                   shared access signatures
    entities                 between AMQP messages and queues
    requests, cbs, management   the two kinds of node that answer requests
    broker                   the namespace, and the turns of its event loop
    connection, sessions, links, nodes   the protocol
    server                   start and stop

It has no topics, sessions (of Service Bus), transactions, HTTP management API or TLS.
"""

from mlgate.emulators.service_bus.config import QueueConfig, parse_queue
from mlgate.emulators.service_bus.server import Emulator, EmulatorError, serve

__all__ = ["Emulator", "EmulatorError", "QueueConfig", "parse_queue", "serve"]
