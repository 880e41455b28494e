"""The installed `mlgate` program: one process for one command, which should end quickly."""

from __future__ import annotations

import gc
import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn

from mlgate.hosts.exit_codes import COULD_NOT_RUN, INTERRUPTED

# New objects until the next garbage collection. Imports create a few hundred thousand objects that
# all stay, and with the default threshold hundreds of collections look at them.
_OBJECTS = 100_000


def main() -> NoReturn:
    """Run the command, and end this process with its exit code."""
    _open_streams()
    gc.set_threshold(_OBJECTS)
    from mlgate.hosts import cli

    try:
        code = cli.main()
    except SystemExit as ended:  # of argparse: help, the version, wrong arguments
        code = _flushed(ended.code if isinstance(ended.code, int) else 0)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # each line was flushed when it was printed
            stream.flush()
    # Not sys.exit: tearing down an interpreter with so many modules takes longer than many a run.
    os._exit(code)


def _flushed(code: int) -> int:
    """The exit code after what was printed without a flush; another one if it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code or INTERRUPTED
    except OSError:
        return code or COULD_NOT_RUN
    return code


def _open_streams() -> None:
    """Replace standard streams that were closed when the program started; they lead nowhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # usually that number, the lowest free one
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, "w" if number else "r", encoding="utf-8"))
