"""The error for a wrong command line, and the message file that a command names."""

from __future__ import annotations

import sys
from pathlib import Path


class UsageError(Exception):
    """The command line is wrong; the error's text says what to change."""


def read_message(path: str) -> bytes:
    """The bytes of a message file, or of standard input for `-`; raises `UsageError`."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"the message {path} cannot be read: {error.strerror}") from error
