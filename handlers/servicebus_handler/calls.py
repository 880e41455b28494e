"""SDK calls that may never return."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from azure.servicebus import ServiceBusClient

MOST_LEFT = 20  # calls without an answer; each holds a thread and a connection

T = TypeVar("T")


class SilentError(Exception):
    """The broker holds the connection but does not answer."""


class Calls:
    """Makes each call in a thread of its own, and abandons the thread when no answer comes."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._left: list[Future[Any]] = []

    def answered(self, call: Callable[[], T], client: ServiceBusClient) -> T:
        """Return what `call` returns, or raise what it raises; SilentError if it takes too long.

        The SDK's own limit (`try_timeout`) begins after a connection's first frames, for which it
        waits without a limit (azure-servicebus 7.15, `_pyamqp/_transport.py`, `block`). A call that
        is given up stays in its thread, which closes the client if the call ever returns.
        """
        self._left = [future for future in self._left if not future.done()]
        if len(self._left) >= MOST_LEFT:
            raise SilentError(f"{MOST_LEFT} calls are still unanswered")
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 -- raised again in the caller
                future.set_exception(error)

        threading.Thread(target=run, name="service-bus-call", daemon=True).start()
        if not wait([future], self._patience).done:
            self._left.append(future)
            future.add_done_callback(lambda _: client.close())
            raise SilentError(f"nothing came within {self._patience:.0f} s")
        return future.result()
