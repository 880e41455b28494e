"""The commands that handle messages on this machine, and that check it."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from mlgate.hosts.commands.arguments import command, port
from mlgate.hosts.usage import UsageError


def add(commands: Any) -> None:
    """Add the commands to the subparsers of `mlgate`."""
    worker = command(
        commands,
        "worker",
        "handle messages from the configured queue until SIGTERM",
        "Handle messages from the queue that the settings name. SIGTERM or Ctrl-C ends the "
        "worker once it has finished what it has begun.",
        "0 ended by SIGTERM or Ctrl-C   3 could not start",
    )
    worker.set_defaults(command=_worker)

    emulator = command(
        commands,
        "emulator",
        "run a Service Bus emulator, and print its connection string",
        "Run a Service Bus emulator on this machine, and print its connection string.",
        "0 ended by SIGTERM or Ctrl-C   2 usage   3 could not start",
    )
    emulator.add_argument(
        "--port", type=port, default=5672, help="default 5672; 0 picks a free one"
    )
    emulator.add_argument(
        "--file", type=Path, help="keep messages in this file; default: in memory"
    )
    emulator.add_argument(
        "--queue",
        action="append",
        metavar="NAME[,OPTION=VALUE]",
        help="a queue to serve (repeatable), with options such as lock=PT30S, max-delivery=10, "
        "dedup=PT10M, ttl=PT1H, dead-letter-on-expiry=true; default: the one in the settings",
    )
    emulator.set_defaults(command=_emulator)

    doctor = command(
        commands,
        "doctor",
        "check everything that a build needs, and report what is wrong",
        "Check what builds need, with this host's settings and identities: disk, queue, state, "
        "build files, clock, Azure DevOps, repository, Azure ML and models. The checks leave "
        "nothing behind. To run them on the host that handles your queue, publish a message of "
        "kind `check`.",
        "0 everything is fine   1 something is wrong   2 usage",
    )
    doctor.add_argument(
        "--repository",
        metavar="URL_OR_PATH",
        help="also clone this repository, with and without the git program",
    )
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(command=_doctor)


def _worker(_: argparse.Namespace) -> int:
    from mlgate.hosts.settings import Settings
    from mlgate.hosts.worker import serve

    logging.getLogger("mlgate").setLevel(logging.INFO)
    serve(Settings.read())
    return 0


def _emulator(options: argparse.Namespace) -> int:
    from mlgate.emulators.service_bus import parse_queue, serve
    from mlgate.hosts.settings import Settings

    names = options.queue or [Settings.read().service_bus.queue]
    try:
        queues = [parse_queue(name) for name in names]
    except ValueError as error:
        raise UsageError(str(error)) from error
    return serve(queues, options.file, options.port)


def _doctor(options: argparse.Namespace) -> int:
    from mlgate.hosts.diagnosis import diagnose

    return diagnose(options.repository, as_json=options.json)
