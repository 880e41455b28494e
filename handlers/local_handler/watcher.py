"""Tells soon when an attempt ends, so that nobody waits for the next regular look.

Only a hint: whatever it misses, a look finds. One thread, which sleeps while nothing is watched.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from handlers.local_handler.attempts import AttemptFolder
from mlgate.orchestration.runs import Attempt

_logger = logging.getLogger(__name__)

_INTERVAL = 0.02  # seconds between two looks at a handful of files


class Watcher:
    """Watches attempts until each has ended, and reaps the supervisors this process started."""

    def __init__(self, on_ended: Callable[[Attempt], None] | None) -> None:
        self._on_ended = on_ended
        self._changed = threading.Condition()
        self._watched: dict[Attempt, AttemptFolder] = {}
        self._supervisors: dict[int, Attempt] = {}  # by process id
        self._closed = False
        self._thread: threading.Thread | None = None

    def adopt(self, attempt: Attempt, supervisor: int) -> None:
        """Reap this child process when it ends."""
        with self._changed:
            self._supervisors[supervisor] = attempt

    def has_supervisor(self, attempt: Attempt) -> bool:
        """Whether a child of this process supervises the attempt, or is about to."""
        with self._changed:
            self._reap()
            return attempt in self._supervisors.values()

    def watch(self, attempt: Attempt, folder: AttemptFolder) -> None:
        with self._changed:
            if self._closed:
                return
            self._watched[attempt] = folder
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="local-runs", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Stop watching; the attempts go on."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._watched or self._supervisors):
                    self._changed.wait()
                self._changed.wait(0 if self._closed else _INTERVAL)
                if self._closed:
                    return
                watched = dict(self._watched)
                self._reap()
            for attempt in [each for each, folder in watched.items() if _over(folder)]:
                with self._changed:
                    del self._watched[attempt]
                self._tell(attempt)

    def _reap(self) -> None:
        for pid in [each for each in self._supervisors if _reaped(each)]:
            del self._supervisors[pid]

    def _tell(self, attempt: Attempt) -> None:
        if self._on_ended is not None:
            try:
                self._on_ended(attempt)
            except Exception:
                _logger.exception("Telling of the end of %s failed.", attempt.id)


def _over(folder: AttemptFolder) -> bool:
    """Nobody executes it any more, or it is gone."""
    try:
        claim = folder.claim()
        return not claim.alive if claim else not folder.exists()
    except OSError:
        return False


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
