"""A time limit for calls that may hang, as on a file system whose server is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class InTime:
    """Makes each call in a thread of its own, and abandons the thread when it takes too long. While
    one hangs, later calls wait for it instead of adding threads. Safe for threads."""

    def __init__(self, limit: float) -> None:
        """`limit` is in seconds, by the monotonic clock."""
        self._limit = limit
        self._hanging: _Call[Any] | None = None
        self._lock = threading.Lock()

    def __call__(self, act: Callable[[], Result]) -> Result:
        """Raises TimeoutError, and what the call raises."""
        deadline = time.monotonic() + self._limit
        while True:
            with self._lock:
                hanging = self._hanging
            call = hanging or _Call(act)
            ended = call.wait(max(0.0, deadline - time.monotonic()))
            with self._lock:
                if not ended:
                    self._hanging = call
                elif self._hanging is call:
                    self._hanging = None
            if not ended:
                raise TimeoutError
            if not hanging:
                found: Result = call.result()
                return found
            # An older call has returned, so calls no longer hang: now make this one.


class _Call(Generic[Result]):
    def __init__(self, call: Callable[[], Result]) -> None:
        self._returned: list[Result] = []
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def wait(self, limit: float) -> bool:
        self._thread.join(limit)
        return not self._thread.is_alive()

    def result(self) -> Result:
        if self._raised:
            raise self._raised[0]
        return self._returned[0]

    def _run(self, call: Callable[[], Result]) -> None:
        try:
            self._returned.append(call())
        except BaseException as error:  # noqa: BLE001 -- raised again in the caller
            self._raised.append(error)
