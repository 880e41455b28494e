"""The exit codes of every command; `--help` says what each means for it."""

from __future__ import annotations

OK = 0
FAILED = 1  # nothing was in the way, and the answer is no: gate failed, refused, limit exceeded
INVALID = 2  # the message or the command line; argparse exits with it, too
COULD_NOT_RUN = 3  # the settings, this machine, or a service
INTERRUPTED = 130  # as shells report SIGINT
