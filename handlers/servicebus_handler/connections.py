"""Makes and closes SDK clients, and translates their errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from azure.core.credentials import TokenCredential
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusReceiver,
    ServiceBusSender,
    parse_connection_string,
)
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)

from handlers.servicebus_handler.calls import SilentError
from mlgate.orchestration.errors import Permanent, Temporary

log = logging.getLogger("mlgate")

_TRY_SECONDS = 20.0  # for one answer; by default the SDK waits without end

Connect = Callable[[], ServiceBusClient]


def connect_with_string(connection_string: Callable[[], str], queue: str | None = None) -> Connect:
    """Connect with a shared access key, which the function returns.

    Raises `Permanent` when the string cannot be parsed, or is for another queue than `queue`.
    """

    def connect() -> ServiceBusClient:
        try:
            only = parse_connection_string(connection_string()).entity_path
            if queue and only and only != queue:
                raise Permanent(
                    f"serviceBusConnectionString is for the queue {only} alone (EntityPath), and "
                    f"serviceBusQueueName is {queue}. Set serviceBusQueueName={only}, or use a "
                    "connection string of the namespace."
                )
            return ServiceBusClient.from_connection_string(
                connection_string(), try_timeout=_TRY_SECONDS
            )
        except ValueError:
            # Without the cause: its text may quote the string, which holds the key.
            raise Permanent(
                "serviceBusConnectionString is not a Service Bus connection string. Such a string "
                "begins with Endpoint=sb:// and has a SharedAccessKeyName and a SharedAccessKey."
            ) from None

    return connect


def connect_with_identity(namespace: str, credential: TokenCredential) -> Connect:
    """Connect to a fully qualified namespace with the host's identity."""
    return lambda: ServiceBusClient(namespace, credential, try_timeout=_TRY_SECONDS)


def close(*opened: ServiceBusReceiver | ServiceBusSender | ServiceBusClient) -> None:
    for each in opened:
        try:
            each.close()
        except Exception as error:  # noqa: BLE001 -- it is dropped either way
            log.info("closing %s: %s", type(each).__name__, error)


@contextmanager
def translated(queue: str) -> Iterator[None]:
    """Raise the SDK's errors as `Permanent` or `Temporary`."""
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
    except MessageSizeExceededError as error:
        raise Permanent(
            f"The message is too large for the queue {queue} (256 KB in the Standard tier). "
            "Put the runs in a file in the repository, and name it in `runs_from`."
        ) from error
    except ServiceBusError as error:
        raise Temporary(
            f"The queue {queue} does not answer: {error.message.rstrip('.')}."
        ) from error
    except SilentError as error:
        raise Temporary(f"The queue {queue} does not answer: {error}.") from None
