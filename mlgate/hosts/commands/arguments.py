"""How the arguments of a command are declared, and the types of their values."""

from __future__ import annotations

import argparse
import math
import textwrap
from typing import Any

MESSAGE = "JSON file with the message; `-` reads standard input"


def command(commands: Any, name: str, short: str, says: str, codes: str) -> argparse.ArgumentParser:
    """Add one command: a short help for the list of commands, a description, its exit codes."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description="\n".join(textwrap.wrap(says, 80)),
        epilog=f"exit codes:\n  {codes}" if codes else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made


def add_repository(parser: argparse.ArgumentParser) -> None:
    """Options that replace the message's repository."""
    parser.add_argument(
        "--repository",
        metavar="URL_OR_PATH",
        help="use this repository instead of the message's; `.` is the current folder",
    )
    parser.add_argument("--ref", help="use this commit, branch or tag instead of the message's")
    parser.add_argument(
        "--worktree", action="store_true", help="include the repository's uncommitted changes"
    )


def build(text: str) -> str:
    """A build's id or key; bytes that are not text become `?`, as they match no build."""
    return text.encode("utf-8", "replace").decode()


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def count(text: str) -> int:
    """Callers or seconds: a whole number from 1 to 100,000."""
    most = 100_000
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most:,}")
    return int(text)


def number(text: str) -> float:
    """A finite number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def port(text: str) -> int:
    """A TCP port; 0 picks a free one."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)
