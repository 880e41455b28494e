"""Protects what a process needs from the model that runs in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_USUAL: Mapping[signal.Signals, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


class Log:
    """Writes to the process's original standard error, even if the model closes or replaces it."""

    def __init__(self) -> None:
        try:
            self._number = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
            self._file = self._identity()
        except OSError:
            self._number = -1

    def write(self, text: str) -> None:
        content = f"{text}\n".encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            # The model may have closed this descriptor, whose number may be reused by now.
            while content and self._identity() == self._file:
                content = content[os.write(self._number, content) :]

    def _identity(self) -> tuple[int, int]:
        status = os.fstat(self._number)
        return status.st_dev, status.st_ino


def nothing(_number: int, _frame: Any) -> None:
    """A signal handler that does nothing: signals are also written to a pipe."""


def heed_signals(pipe: int) -> None:
    """Have signal numbers written to a pipe, replacing any handlers that the model has set."""
    for number in _USUAL:
        signal.signal(number, nothing)
    signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_USUAL})


def heed_forks(close: Callable[[], None]) -> None:
    """Make every fork call `close` and restore the usual signal handlers.

    A fork may be a worker of the model, which must be able to end it from the start.
    """
    kept = threading.local()

    def before() -> None:
        kept.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_USUAL})

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept.mask)

    def in_child() -> None:
        signal.set_wakeup_fd(-1)
        for number, usual in _USUAL.items():
            if signal.getsignal(number) is nothing:
                signal.signal(number, usual)
        close()
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_child)


def end(code: int) -> None:
    """End the process, and what the model has started and left running in its group."""
    if os.getpid() == os.getpgrp():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            os.killpg(os.getpid(), signal.SIGTERM)
    os._exit(code)


def end_with_input() -> None:
    """End the process and its group when its input ends, and give the model an empty input."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # fails if it leads a session, and so a group, already
    number = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def wait() -> None:
        poll = select.poll()  # Linux sends no signal for a socket that a thread reads from
        poll.register(number, select.POLLIN)
        try:
            while poll.poll() and os.read(number, 1 << 10):
                pass
        except OSError:
            os._exit(1)  # the model has closed a descriptor of ours
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
    # No thread runs while a library hangs without releasing the GIL: then Linux ends the process.
    if hasattr(fcntl, "F_SETSIG") and not os.isatty(number):
        with contextlib.suppress(OSError):
            fcntl.fcntl(number, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(number, fcntl.F_SETSIG, signal.SIGKILL)
            flags = fcntl.fcntl(number, fcntl.F_GETFL)
            fcntl.fcntl(number, fcntl.F_SETFL, flags | os.O_ASYNC)


def fill_standard() -> None:
    """Reopen standard streams that the model has closed: its output must not reach our sockets."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)


def peak_memory_mb(process: int | None = None) -> float:
    """Peak memory of this program, or of another process; 0 if unknown.

    VmHWM counts only this program; ru_maxrss would include the process that started it.
    """
    with contextlib.suppress(OSError, IndexError, ValueError):
        status = Path(f"/proc/{process or 'self'}/status").read_text("ascii", "replace")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    return 0.0 if process else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
