"""The installed `mlgate` program: one process for one command, which should end quickly."""

from __future__ import annotations

import gc
import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn

# New objects until the next garbage collection. Imports create a few hundred thousand objects that
# all stay, and with the default threshold hundreds of collections look at them.
_OBJECTS = 100_000


def main() -> NoReturn:
    """Run the command, and end this process with its exit code."""
    _open_streams()
    gc.set_threshold(_OBJECTS)
    from mlgate.hosts import cli

    code = cli.main()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # each line was flushed when it was printed
            stream.flush()
    # Not sys.exit: tearing down an interpreter with so many modules takes longer than many a run.
    os._exit(code)


def _open_streams() -> None:
    """Replace standard streams that were closed when the program started; they lead nowhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # usually that number, the lowest free one
            setattr(sys, name, os.fdopen(nowhere, "w" if number else "r", encoding="utf-8"))
