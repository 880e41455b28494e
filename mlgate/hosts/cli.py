"""The `mlgate` command: all its commands, and the exit codes of what they raise."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence

from mlgate import __version__
from mlgate.hosts.commands import builds, hosts, models
from mlgate.hosts.exit_codes import COULD_NOT_RUN, INTERRUPTED, INVALID
from mlgate.hosts.terminal import OutputError, complain, log_to_stderr
from mlgate.hosts.usage import SettingsError, UsageError, print_findings
from mlgate.orchestration.errors import BadMessage, OrchestrationError

_EXAMPLES = """\
examples:
  mlgate run examples/iris/message.json --repository .    run a whole build on this machine
  mlgate validate message.json --checkout                 report every problem, start no runs
  mlgate doctor --repository URL                          check everything that a build needs
  mlgate emulator                                         start a queue to try `publish` with
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that can't encode our symbols shows `?` instead.
            stream.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    log_to_stderr(logging.WARNING)
    # The SDK logs pages about errors that our handlers report in a sentence.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    try:
        return int(options.command(options))
    except BadMessage as error:
        print_findings(error.findings)
        return INVALID
    except SettingsError as error:
        complain("mlgate: the settings cannot be used:")
        for wrong in error.settings:
            complain(str(wrong))
        return COULD_NOT_RUN
    except (OrchestrationError, OutputError) as error:
        complain(f"mlgate: {error}")
        return COULD_NOT_RUN
    except UsageError as error:
        complain(f"mlgate: {error}")
        return INVALID
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return INTERRUPTED  # the reader of our output is gone
    except OSError as error:  # a name that is too long, or a disk that is full, at any place
        where = f" ({error.filename})" if error.filename else ""
        complain(f"mlgate: {error.strerror or error}{where}")
        return COULD_NOT_RUN


def parser() -> argparse.ArgumentParser:
    """All commands; docs/generate_commands.py renders their page from this parser."""
    mlgate = argparse.ArgumentParser(
        prog="mlgate",
        description="Run notebooks and training jobs from a git repository, and get one verdict.\n"
        "A JSON message says what to run and what counts as passed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mlgate.add_argument("--version", action="version", version=f"mlgate {__version__}")
    commands = mlgate.add_subparsers(required=True, metavar="COMMAND")
    for room in (builds, hosts, models):
        room.add(commands)
    return mlgate
