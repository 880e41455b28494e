"""The `mlgate` command: its arguments, help and exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlgate import __version__
from mlgate.hosts import model_commands
from mlgate.hosts.terminal import complain, log_to_stderr, say, say_json
from mlgate.hosts.usage import SettingsError, UsageError, read_message
from mlgate.orchestration.errors import BadMessage, Finding, OrchestrationError

if TYPE_CHECKING:
    from handlers.local_handler.warm import Begun

OK, INVALID, COULD_NOT_RUN, INTERRUPTED = 0, 2, 3, 130

_MESSAGE = "JSON file with the message; `-` reads standard input"
_EXAMPLES = """\
examples:
  mlgate run examples/iris/message.json --repository .    run a whole build on this machine
  mlgate validate message.json --checkout                 report every problem, start no runs
  mlgate doctor --repository URL                          check everything that a build needs
  mlgate emulator                                         start a queue to try `publish` with
"""
_PUBLISH_CODES = """\
exit codes:
  0 sent; with --wait, gate passed   1 gate failed, or canceled elsewhere
  2 invalid message or usage   3 not sent, or the build's end could not be seen
  130 ended by Ctrl-C or SIGTERM, which also cancel the build
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
        for line in str(error).splitlines():
            complain(line)
        return COULD_NOT_RUN
    except OrchestrationError as error:
        complain(f"mlgate: {error}")
        return COULD_NOT_RUN
    except UsageError as error:
        complain(f"mlgate: {error}")
        return INVALID
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone, so what Python still flushes goes to /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED


def print_findings(findings: Sequence[Finding]) -> None:
    """Print every finding to standard error, one per paragraph."""
    noun = "finding" if len(findings) == 1 else "findings"
    complain(f"mlgate: the message is not valid: {len(findings)} {noun}")
    for finding in findings:
        complain(f"  {finding.pointer or '/'}  [{finding.code}]")
        complain(f"    {finding.message} {finding.remedy}")


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

    run = commands.add_parser(
        "run",
        help="run a message on this machine, from start to verdict",
        description="Run the build that a message describes, on this machine. mlgate starts a\n"
        "queue, a worker and a pipeline of its own, publishes the message as the Azure\n"
        "DevOps task would, shows the runs, and writes the build's files.",
        **_exits(
            "0 gate passed   1 gate failed   2 invalid message or usage\n"
            "  3 could not run (infrastructure)   130 canceled; nothing is left running"
        ),
    )
    run.add_argument("message", metavar="MESSAGE.json", help=_MESSAGE)
    _add_repository(run)
    run.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="folder for the build's files; files of an earlier build there are removed, but "
        "no others",
    )
    run.add_argument(
        "--backend", choices=["local", "azureml"], help="use this backend instead of the message's"
    )
    run.add_argument(
        "--parallel", metavar="N", type=_positive, help="how many local runs may run at once"
    )
    run.add_argument(
        "--json", action="store_true", help="print result.json to stdout, progress to stderr"
    )
    run.add_argument("--quiet", action="store_true", help="print no progress and no summary")
    run.set_defaults(command=_run)

    validate = commands.add_parser(
        "validate",
        help="report every problem in a message; start no runs",
        description="Report every problem in a message, each with its place and a remedy.",
        **_exits(
            "0 valid, possibly with warnings\n"
            "  2 findings, including a repository that cannot be fetched"
        ),
    )
    validate.add_argument("message", metavar="MESSAGE.json", help=_MESSAGE)
    _add_repository(validate)
    validate.add_argument(
        "--checkout",
        action="store_true",
        help="also check what the message refers to in its repository",
    )
    validate.add_argument("--json", action="store_true", help="print the findings as JSON")
    validate.set_defaults(command=_validate)

    schema = commands.add_parser("schema", help="print the JSON Schema of the message")
    schema.set_defaults(command=_schema)

    publish = commands.add_parser(
        "publish",
        help="send a message to the configured queue; with --wait, follow its build",
        description="Send a message to the queue that the settings name.",
        epilog=_PUBLISH_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    publish.add_argument("message", metavar="MESSAGE.json", help=_MESSAGE)
    publish.add_argument(
        "--wait",
        action="store_true",
        help="show the build until it ends, and exit with its verdict",
    )
    publish.add_argument(
        "--junit",
        metavar="FILE",
        type=Path,
        help="with --wait: write the build's junit.xml to FILE",
    )
    publish.add_argument(
        "--json",
        action="store_true",
        help="with --wait: print result.json to stdout, progress to stderr",
    )
    publish.set_defaults(command=_publish)

    worker = commands.add_parser(
        "worker",
        help="handle messages from the configured queue until SIGTERM",
        description="Handle messages from the queue that the settings name. SIGTERM or Ctrl-C\n"
        "ends the worker once it has finished what it has begun.",
        **_exits("0 ended by SIGTERM or Ctrl-C   3 could not start"),
    )
    worker.set_defaults(command=_worker)

    emulator = commands.add_parser(
        "emulator",
        help="run a Service Bus emulator, and print its connection string",
        description="Run a Service Bus emulator on this machine, and print its connection string.",
        **_exits("0 ended by SIGTERM or Ctrl-C   2 usage   3 could not start"),
    )
    emulator.add_argument("--port", type=int, default=5672, help="default 5672; 0 picks a free one")
    emulator.add_argument(
        "--file", type=Path, help="keep messages in this file; default: in memory"
    )
    emulator.add_argument(
        "--queue",
        action="append",
        metavar="NAME[,lock=PT30S][,max-delivery=10][,dedup=PT10M]",
        help="a queue to serve (repeatable); default: the one that the settings name",
    )
    emulator.set_defaults(command=_emulator)

    builds = commands.add_parser(
        "builds",
        help="show the history: builds, verdicts, runs, rejected messages with reasons",
        description="List builds and rejected messages, or show one build with its runs.",
        **_exits("0 shown   3 no such build"),
    )
    builds.add_argument("build", metavar="BUILD", nargs="?", help="a build id or key")
    builds.add_argument(
        "--html",
        metavar="FOLDER",
        type=Path,
        help="write all builds as a page, FOLDER/index.html, with links to their reports",
    )
    builds.set_defaults(command=_builds)

    doctor = commands.add_parser(
        "doctor",
        help="check everything that a build needs, and report what is wrong",
        description="Check what builds need, with this host's settings and identities: disk,\n"
        "queue, state, build files, clock, Azure DevOps, repository, Azure ML and\n"
        "models. The checks leave nothing behind. To run them on the host that handles\n"
        "your queue, publish a message of kind `check`.",
        **_exits("0 everything is fine   1 something is wrong   2 usage"),
    )
    doctor.add_argument(
        "--repository",
        metavar="URL_OR_PATH",
        help="also clone this repository, with and without the git program",
    )
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(command=_doctor)

    model_commands.add(commands)

    cancel = commands.add_parser(
        "cancel",
        help="cancel every run of a build",
        description="Cancel every run of a build. Its gate fails with that reason.",
        **_exits("0 canceling, or the build has already ended   3 no such build"),
    )
    cancel.add_argument("build", metavar="BUILD", help="a build id or key")
    cancel.set_defaults(command=_cancel)
    return mlgate


def _exits(codes: str) -> dict[str, Any]:
    """Arguments that make a parser show its description and these codes without wrapping them."""
    return {
        "epilog": f"exit codes:\n  {codes}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _add_repository(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repository",
        metavar="URL_OR_PATH",
        help="use this repository instead of the message's; `.` is the current folder",
    )
    parser.add_argument("--ref", help="use this commit, branch or tag instead of the message's")
    parser.add_argument(
        "--worktree", action="store_true", help="include the repository's uncommitted changes"
    )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    # The live log shows what happens, including errors that are retried.
    logging.getLogger("mlgate").setLevel(logging.ERROR)
    body = read_message(options.message)
    from mlgate.hosts.head_start import head_start

    with head_start(body, options.backend) as begun:
        return _run_message(options, body, begun)


def _run_message(options: argparse.Namespace, body: bytes, begun: Begun | None) -> int:
    from mlgate.hosts.local_queue import LocalQueue

    with LocalQueue() as queue:
        # Imported here, while the queue connects and `begun` imports what the runs need.
        from mlgate.hosts import local_run
        from mlgate.hosts.locally import localized
        from mlgate.hosts.output import prepare
        from mlgate.hosts.settings import Settings
        from mlgate.orchestration.planning.plan import plan
        from mlgate.orchestration.wire.messages import StartMessage

        settings = Settings.read()
        message, raw = localized(options, body)
        if isinstance(message, StartMessage):
            plan(message, None)
        if options.output is not None:
            prepare(options.output)
        shown = local_run.Options(options.output, options.json, options.quiet, options.parallel)
        return local_run.run(settings, message, raw, shown, queue, begun)


def _validate(options: argparse.Namespace) -> int:
    from mlgate.hosts.validation import validate

    found = validate(options)
    if options.json:
        report = {
            "valid": not found.findings,
            "findings": [asdict(each) for each in found.findings],
            "warnings": [asdict(each) for each in found.warnings],
            "adds": [asdict(each) for each in found.adds],
        }
        say_json(report)
        return INVALID if found.findings else OK
    for warning in found.warnings:
        complain(f"mlgate: warning [{warning.code}]: {warning}")
    if found.findings:
        print_findings(found.findings)
        return INVALID
    say("The message is valid.")
    for added in found.adds:
        say(added.says)
    return OK


def _schema(_: argparse.Namespace) -> int:
    from mlgate.orchestration.wire.schema import schema

    say_json(schema())
    return OK


def _publish(options: argparse.Namespace) -> int:
    from mlgate.hosts.publishing import Waiting, publish

    if not options.wait and (options.json or options.junit):
        raise UsageError("--json and --junit need the end of the build: add --wait")
    if options.wait:
        logging.getLogger("mlgate").setLevel(logging.ERROR)  # the live log shows what happens
    waiting = Waiting(options.junit, options.json) if options.wait else None
    return publish(read_message(options.message), waiting)


def _worker(_: argparse.Namespace) -> int:
    from mlgate.hosts.settings import Settings
    from mlgate.hosts.worker import serve

    logging.getLogger("mlgate").setLevel(logging.INFO)
    serve(Settings.read())


def _emulator(options: argparse.Namespace) -> int:
    from mlgate.emulators.service_bus import parse_queue, serve
    from mlgate.hosts.settings import Settings

    names = options.queue or [Settings.read().service_bus.queue]
    try:
        queues = [parse_queue(name) for name in names]
    except ValueError as error:
        raise UsageError(str(error)) from error
    return serve(queues, options.file, options.port)


def _builds(options: argparse.Namespace) -> int:
    from mlgate.hosts.history import show_build, show_builds, write_page
    from mlgate.hosts.settings import Settings

    if options.html and options.build:
        raise UsageError("--html writes all builds: use it without BUILD")
    settings = Settings.read()
    if options.html:
        return write_page(settings, options.html)
    return show_build(settings, options.build) if options.build else show_builds(settings)


def _doctor(options: argparse.Namespace) -> int:
    from mlgate.hosts.diagnosis import diagnose

    return diagnose(options.repository, as_json=options.json)


def _cancel(options: argparse.Namespace) -> int:
    from mlgate.hosts.history import cancel
    from mlgate.hosts.settings import Settings

    return cancel(Settings.read(), options.build)
