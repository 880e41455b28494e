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
    gc.set_threshold(_OBJECTS)
    from mlgate.hosts import cli

    code = cli.main()
    logging.shutdown()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Not sys.exit: tearing down an interpreter with so many modules takes longer than many a run.
    os._exit(code)
