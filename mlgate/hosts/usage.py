"""What can be wrong with how a command is used, and the message file that it names."""

from __future__ import annotations

import sys
from pathlib import Path


class UsageError(Exception):
    """The command line is wrong; the error's text says what to change."""


class SettingsError(Exception):
    """The settings cannot be used; one line per finding."""


def read_message(path: str) -> bytes:
    """The bytes of a message file, or of standard input for `-`; raises `UsageError`."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"the message {path} cannot be read: {error.strerror}") from error
