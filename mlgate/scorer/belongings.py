"""What a process shares with the model in it, and keeps the model from spoiling."""

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
    """Standard error, as the process got it: the model may close its own."""

    def __init__(self) -> None:
        try:
            self._number = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
            self._file = self._identity()
        except OSError:
            self._number = -1

    def write(self, text: str) -> None:
        content = f"{text}\n".encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            # A number that the model has closed may be that of anything by now.
            while content and self._identity() == self._file:
                content = content[os.write(self._number, content) :]

    def _identity(self) -> tuple[int, int]:
        told = os.fstat(self._number)
        return told.st_dev, told.st_ino


def nothing(_number: int, _frame: Any) -> None:
    """What a signal does besides being written to a pipe."""


def heed_signals(pipe: int) -> None:
    """Has the numbers of signals written to a pipe, whatever handlers the model has by now."""
    for number in _USUAL:
        signal.signal(number, nothing)
    signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_USUAL})


def heed_forks(close: Callable[[], None]) -> None:
    """Has every fork close what is this process's, and heed signals as it would without us.

    It is a worker of the model's, say, which the model has to be able to end from the beginning.
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
    """Ends the process, with what the model has started and left running in its group."""
    if os.getpid() == os.getpgrp():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            os.killpg(os.getpid(), signal.SIGTERM)
    os._exit(code)


def end_with_input() -> None:
    """Ends the process and its group when its input ends, and gives the model an empty one."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # unless it leads one already
    number = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def wait() -> None:
        poll = select.poll()  # Linux sends no signal for a socket that somebody reads from
        poll.register(number, select.POLLIN)
        try:
            while poll.poll() and os.read(number, 1 << 10):
                pass
        except OSError:
            os._exit(1)  # the model has closed what is not its own
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
    # No thread runs while a library hangs that does not let others: there, Linux ends the process.
    if hasattr(fcntl, "F_SETSIG") and not os.isatty(number):
        with contextlib.suppress(OSError):
            fcntl.fcntl(number, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(number, fcntl.F_SETSIG, signal.SIGKILL)
            flags = fcntl.fcntl(number, fcntl.F_GETFL)
            fcntl.fcntl(number, fcntl.F_SETFL, flags | os.O_ASYNC)


def fill_standard() -> None:
    """Where the model has closed them, a socket of ours would get what it prints."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)


def peak_memory_mb(process: int | None = None) -> float:
    """Of this program, or of that process: 0 where nobody knows.

    What the system counts for a process otherwise is also of the one it came from.
    """
    with contextlib.suppress(OSError, IndexError, ValueError):
        status = Path(f"/proc/{process or 'self'}/status").read_text("ascii", "replace")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    return 0.0 if process else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
