"""What holds for every test."""

from __future__ import annotations

import signal

# A shell that starts the suite in the background has it, and so all that it starts, ignore an
# interrupt; the programs under test are interrupted as at a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
