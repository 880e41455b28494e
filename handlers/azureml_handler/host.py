"""Translates what this host lacks for the moment into the port's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from mlgate.orchestration.errors import Temporary

_DELAY = 30.0  # seconds


@contextmanager
def of_this_host() -> Iterator[None]:
    """Raise errors of files, sockets or memory as `Temporary`."""
    try:
        yield
    except OSError as error:
        # Only the system's own text: others may hold an address with its signature.
        why = error.strerror or type(error).__name__
        raise Temporary(f"This host cannot do what a run needs now: {why}.", _DELAY) from error


class Threads(ThreadPoolExecutor):
    """Raises Temporary when this host has no more threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            raise Temporary(f"This host has no more threads: {error}.", _DELAY) from error
