"""Reports soon when an attempt ends, so that its build need not wait for the next regular look.

This is only a hint: the next look finds whatever it misses. One thread sleeps until a supervisor
ends. It waits on a descriptor of the supervisor's process (pidfd_open(2)). Before the attempt is
claimed, and on systems without such descriptors, it polls.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from handlers.local_handler.attempts import AttemptFolder
from mlgate.orchestration.runs import Attempt

_logger = logging.getLogger(__name__)

_INTERVAL = 0.02  # seconds between two polls of a few files
_AT_LEAST = 5.0  # seconds between two looks at attempts that have a descriptor


class Watcher:
    """Watches attempts until they end, and reaps the supervisors that this process started."""

    def __init__(self, on_ended: Callable[[Attempt], None] | None) -> None:
        self._on_ended = on_ended
        self._lock = threading.Lock()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._watched: dict[Attempt, AttemptFolder] = {}
        self._supervisors: dict[int, Attempt] = {}  # by process id
        self._descriptors: dict[Attempt, int] = {}  # used only by the watching thread
        self._closed = False
        self._thread: threading.Thread | None = None

    def adopt(self, attempt: Attempt, supervisor: int) -> None:
        """Reap this child process when it ends."""
        with self._lock:
            self._supervisors[supervisor] = attempt

    def has_supervisor(self, attempt: Attempt) -> bool:
        """Whether a child of this process supervises the attempt, or is about to."""
        with self._lock:
            self._reap()
            return attempt in self._supervisors.values()

    def watch(self, attempt: Attempt, folder: AttemptFolder) -> None:
        with self._lock:
            if self._closed:
                return
            self._watched[attempt] = folder
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="local-runs", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the host has no threads left
                    _logger.warning(
                        "Ends of runs are noticed late: the watching thread cannot be started."
                    )
                    return
                self._thread = thread
        self._notify()

    def close(self) -> None:
        """Stop watching; the attempts go on."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._notify()
        if self._thread is threading.current_thread():
            return
        if self._thread is not None:
            self._thread.join()
        for descriptor in (self._woken, self._wake, *self._descriptors.values()):
            os.close(descriptor)

    def _notify(self) -> None:
        with suppress(BlockingIOError):  # the pipe is full, so the thread will wake anyway
            os.write(self._wake, b".")

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closed:
                    return
                watched = dict(self._watched)
                self._reap()
                alone = bool(self._supervisors) and not watched
            ended = [each for each, folder in watched.items() if _over(folder)]
            for attempt in ended:
                with self._lock:
                    del self._watched[attempt]
                self._report(attempt)
            if not ended:
                self._pause(watched, alone)

    def _pause(self, watched: Mapping[Attempt, AttemptFolder], alone: bool) -> None:
        """Wait until there may be something to do. `alone`: only unwatched supervisors are left."""
        for attempt in [*(self._descriptors.keys() - watched.keys())]:
            os.close(self._descriptors.pop(attempt))
        for attempt in watched.keys() - self._descriptors.keys():
            if (descriptor := _descriptor(watched[attempt])) is not None:
                self._descriptors[attempt] = descriptor
        waiting = select.poll()
        for descriptor in (self._woken, *self._descriptors.values()):
            waiting.register(descriptor, select.POLLIN)
        looks = alone or watched.keys() != self._descriptors.keys()
        seconds = _INTERVAL if looks else _AT_LEAST if watched else None
        found = waiting.poll(None if seconds is None else seconds * 1000)
        ready = {descriptor for descriptor, _ in found}
        if self._woken in ready:
            os.read(self._woken, 4096)
        for attempt in [each for each, one in self._descriptors.items() if one in ready]:
            os.close(self._descriptors.pop(attempt))

    def _reap(self) -> None:
        for pid in [each for each in self._supervisors if _reaped(each)]:
            del self._supervisors[pid]

    def _report(self, attempt: Attempt) -> None:
        if self._on_ended is not None:
            try:
                self._on_ended(attempt)
            except Exception:
                _logger.exception("The end of %s could not be reported.", attempt.id)


def _over(folder: AttemptFolder) -> bool:
    """Whether no process executes the attempt any longer, or its folder is gone."""
    try:
        claim = folder.claim()
        return not claim.alive if claim else not folder.exists()
    except OSError:
        return False


def _descriptor(folder: AttemptFolder) -> int | None:
    """A descriptor that becomes readable when the supervisor ends; None if there can't be one."""
    try:
        claim = folder.claim()
        if claim is None or claim.supervisor is None:
            return None
        descriptor: int = os.pidfd_open(claim.supervisor.pid)
    except (OSError, AttributeError):  # the process is gone, or the system lacks pidfd_open
        return None
    if claim.alive:
        return descriptor
    os.close(descriptor)
    return None


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
