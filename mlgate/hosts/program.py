"""The installed `mlgate`: a process for one command, without what a process that stays needs."""

from __future__ import annotations

import gc
import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn

# Made since the last collection before the next one. Imports make a few hundred thousand objects,
# all of which stay: by default hundreds of collections look at them.
_OBJECTS = 100_000


def main() -> NoReturn:
    """Run the command of this process, and end it with the command's exit code."""
    gc.set_threshold(_OBJECTS)
    from mlgate.hosts import cli

    code = cli.main()
    logging.shutdown()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # At once: taking an interpreter with so many modules apart takes longer than many a run.
    os._exit(code)
