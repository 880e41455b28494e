"""In place of Azure's module of that name: namespaces and queues, each test's own, on the emulator.

A preparer is a decorator that adds what it has prepared to the keyword arguments of a test.
"""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlgate.emulators.service_bus import Emulator, QueueConfig, parse_queue
from tests.conformance import KEY, KEY_NAME

SERVICEBUS_ENDPOINT_SUFFIX = ""
SERVICEBUS_DEFAULT_AUTH_RULE_NAME = KEY_NAME

Test = Callable[..., Any]


@dataclass(frozen=True)
class Resource:
    """`name` is what a client is told: of a namespace, its host and port."""

    name: str


class ResourceGroupPreparer:
    """There are none here."""

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, test: Test) -> Test:
        return test


class NamespacePreparer(ResourceGroupPreparer):
    """Left to the queue's preparer: queues are named when the emulator starts."""


class QueuePreparer:
    """An emulator with one queue, its messages in a file, for the time of a test."""

    def __init__(
        self,
        name_prefix: str = "",
        *,
        lock_duration: str | timedelta = "PT60S",
        requires_duplicate_detection: bool = False,
        dead_lettering_on_message_expiration: bool = False,
        **_: object,
    ) -> None:
        lock = (
            f"PT{lock_duration.total_seconds()}S"
            if isinstance(lock_duration, timedelta)
            else lock_duration
        )
        expiry = str(dead_lettering_on_message_expiration).lower()
        dedup = "PT10M" if requires_duplicate_detection else "PT0S"
        self._queue = parse_queue(
            f"{name_prefix}queue,lock={lock},dedup={dedup},dead-letter-on-expiry={expiry}"
        )

    def __call__(self, test: Test) -> Test:
        queue = self._queue

        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def prepared(*arguments: object, **keywords: object) -> None:
                with _resources(queue) as resources:
                    await test(*arguments, **keywords, **resources)
        else:

            @functools.wraps(test)
            def prepared(*arguments: object, **keywords: object) -> None:
                with _resources(queue) as resources:
                    test(*arguments, **keywords, **resources)

        return prepared


@contextmanager
def _resources(queue: QueueConfig) -> Iterator[dict[str, object]]:
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as folder,
        Emulator([queue], file=Path(folder) / "queues.db", key_name=KEY_NAME, key=KEY) as emulator,
    ):
        endpoint = emulator.connection_string.split(";")[0]
        yield {
            "resource_group": Resource("group"),
            "servicebus_namespace": Resource(endpoint.removeprefix("Endpoint=sb://")),
            "servicebus_namespace_connection_string": emulator.connection_string,
            "servicebus_namespace_key_name": KEY_NAME,
            "servicebus_namespace_primary_key": KEY,
            "servicebus_queue": Resource(queue.name),
        }


CachedServiceBusResourceGroupPreparer = ResourceGroupPreparer
CachedServiceBusNamespacePreparer = ServiceBusNamespacePreparer = NamespacePreparer
CachedServiceBusQueuePreparer = ServiceBusQueuePreparer = QueuePreparer
