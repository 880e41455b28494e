"""How long a blob client waits: for a connection, for an answer, and between its tries."""

from __future__ import annotations

import logging
from typing import Any

from azure.storage.blob import ExponentialRetry

from mlgate.orchestration.clock import Clock

# Its debug output shows addresses with their signatures.
logging.getLogger("urllib3").setLevel(logging.INFO)


class _Retries(ExponentialRetry):
    """Three more tries within about 20 seconds by the host's clock; the default waits a minute."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(initial_backoff=1, increment_base=2, retry_total=3)
        self._clock = clock

    def sleep(self, settings: dict[str, Any], transport: object) -> None:  # noqa: ARG002 -- that of blobs' clients has no clock
        """Sleep here and not in the transport, which clients of single blobs replace."""
        self._clock.sleep(self.get_backoff_time(settings))


def patience(clock: Clock) -> dict[str, Any]:
    """Keyword arguments for a client of `azure-storage-blob`."""
    return {"retry_policy": _Retries(clock), "connection_timeout": 10, "read_timeout": 60}
