"""The `mlgate` command: what it takes, what it says, and its exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlgate import __version__
from mlgate.hosts import model_commands
from mlgate.hosts.settings import Settings, SettingsError
from mlgate.hosts.terminal import complain, log_to_stderr, say, say_json
from mlgate.hosts.usage import UsageError, read_message
from mlgate.orchestration.errors import BadMessage, Finding, OrchestrationError

OK, INVALID, COULD_NOT_RUN, INTERRUPTED = 0, 2, 3, 130

_MESSAGE = "a JSON file with the message; `-` reads standard input"
_EXIT_CODES = """\
exit codes of `mlgate run`:
  0 gate passed   1 gate failed   2 invalid message or usage
  3 could not run (infrastructure)   130 canceled; nothing is left running

examples:
  mlgate run examples/iris/message.json --repository .    the whole job, on this machine
  mlgate validate message.json --checkout                 every finding at once, starts nothing
  mlgate doctor --repository URL                          is everything there that a build needs
  mlgate emulator                                         a queue to try `publish` and `worker` with
"""
_PUBLISH_CODES = """\
exit codes:
  0 sent; with --wait, gate passed   1 gate failed, or canceled elsewhere
  2 invalid message or usage   3 not sent, or what became of the build cannot be seen
  130 canceled by Ctrl-C or SIGTERM, which cancel the build
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our marks gets others
    options = parser().parse_args(arguments)
    log_to_stderr(logging.WARNING)
    # The SDK reports at length what our handlers say in a sentence.
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
        # Whoever read our output has left. What Python would still flush has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED


def print_findings(findings: Sequence[Finding]) -> None:
    """Every finding, one per paragraph, on standard error."""
    noun = "finding" if len(findings) == 1 else "findings"
    complain(f"mlgate: the message is not valid: {len(findings)} {noun}")
    for finding in findings:
        complain(f"  {finding.pointer or '/'}  [{finding.code}]")
        complain(f"    {finding.message} {finding.remedy}")


def parser() -> argparse.ArgumentParser:
    """All commands; docs/generate_commands.py makes their page of it."""
    mlgate = argparse.ArgumentParser(
        prog="mlgate",
        description="Notebook and training runs of a repository, gated: a message in, a verdict "
        "out.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mlgate.add_argument("--version", action="version", version=f"mlgate {__version__}")
    commands = mlgate.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run a message on this machine, the whole way",
        description="Start an embedded queue, worker and pipeline, publish the message as the "
        "Azure DevOps task would, show the runs, and leave the build's files.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("message", metavar="MESSAGE.json", help=_MESSAGE)
    _add_repository(run)
    run.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="where the build's files go; those of an earlier build there are removed, no others",
    )
    run.add_argument("--backend", choices=["local", "azureml"], help="replaces the message's")
    run.add_argument("--parallel", metavar="N", type=_positive, help="local runs at once")
    run.add_argument(
        "--json", action="store_true", help="result.json on stdout, progress on stderr"
    )
    run.add_argument("--quiet", action="store_true", help="no progress and no summary")
    run.set_defaults(command=_run)

    validate = commands.add_parser(
        "validate",
        help="tell everything that is wrong with a message; starts no run",
        **_exits("0 valid, perhaps with warnings   2 findings; no such repository is one, too"),
    )
    validate.add_argument("message", metavar="MESSAGE.json", help=_MESSAGE)
    _add_repository(validate)
    validate.add_argument(
        "--checkout", action="store_true", help="also look into the repository it names"
    )
    validate.add_argument("--json", action="store_true", help="the findings as JSON on stdout")
    validate.set_defaults(command=_validate)

    schema = commands.add_parser("schema", help="print the JSON Schema of the message")
    schema.set_defaults(command=_schema)

    publish = commands.add_parser(
        "publish",
        help="send a message to the configured queue; with --wait, follow its build to the end",
        epilog=_PUBLISH_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    publish.add_argument("message", metavar="MESSAGE.json", help=_MESSAGE)
    publish.add_argument(
        "--wait", action="store_true", help="show the build until it ends; exit with its verdict"
    )
    publish.add_argument("--junit", metavar="FILE", type=Path, help="write its junit.xml there")
    publish.add_argument(
        "--json", action="store_true", help="result.json on stdout, progress on stderr"
    )
    publish.set_defaults(command=_publish)

    worker = commands.add_parser(
        "worker",
        help="receive from the configured queue until SIGTERM; abandons nothing",
        **_exits("0 ended by SIGTERM or Ctrl-C   3 could not start"),
    )
    worker.set_defaults(command=_worker)

    emulator = commands.add_parser(
        "emulator",
        help="a Service Bus emulator; prints its connection string",
        **_exits("0 ended by SIGTERM or Ctrl-C   2 usage   3 could not start"),
    )
    emulator.add_argument("--port", type=int, default=5672, help="default 5672; 0 for a free one")
    emulator.add_argument(
        "--file", type=Path, help="keep messages in this file; in memory when absent"
    )
    emulator.add_argument(
        "--queue",
        action="append",
        metavar="NAME[,lock=PT30S][,max-delivery=10][,dedup=PT10M]",
        help="a queue to serve (repeatable); the configured one when absent",
    )
    emulator.set_defaults(command=_emulator)

    builds = commands.add_parser(
        "builds",
        help="the history: builds, verdicts, runs, rejected messages with reasons",
        **_exits("0 shown   3 no such build"),
    )
    builds.add_argument("build", metavar="BUILD", nargs="?", help="a build id or key, for its runs")
    builds.add_argument(
        "--html",
        metavar="FOLDER",
        type=Path,
        help="write the history as a page, FOLDER/index.html; reports beside it are linked",
    )
    builds.set_defaults(command=_builds)

    doctor = commands.add_parser(
        "doctor",
        help="try everything that a build will need, and say what is wrong",
        description="Try, with this host's settings and identities, what builds will need: disk, "
        "queue, state, files, clock, Azure DevOps, a repository, Azure ML. Nothing of it stays. "
        "A message of the kind `check` has the host that handles it do the same.",
        **_exits("0 all is well   1 something is wrong   2 usage"),
    )
    doctor.add_argument(
        "--repository", metavar="URL_OR_PATH", help="also clone it, with and without git"
    )
    doctor.add_argument("--json", action="store_true", help="the checks as JSON on stdout")
    doctor.set_defaults(command=_doctor)

    model_commands.add(commands)

    cancel = commands.add_parser(
        "cancel",
        help="cancel every run of a build",
        **_exits("0 canceling, or it has ended already   3 no such build"),
    )
    cancel.add_argument("build", metavar="BUILD", help="a build id or key")
    cancel.set_defaults(command=_cancel)
    return mlgate


def _exits(codes: str) -> dict[str, Any]:
    """What a parser takes to show these exit codes as they are written."""
    return {
        "epilog": f"exit codes:\n  {codes}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _add_repository(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repository", metavar="URL_OR_PATH", help="replaces the message's; `.` is this folder"
    )
    parser.add_argument("--ref", help="commit, branch or tag; replaces the message's")
    parser.add_argument(
        "--worktree", action="store_true", help="include the repository's uncommitted changes"
    )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from mlgate.hosts.locally import begin_notebooks, localized
    from mlgate.hosts.output import prepare
    from mlgate.orchestration.planning.plan import plan
    from mlgate.orchestration.wire.messages import StartMessage

    # What happens is in the live log; a fault that is retried is told there.
    logging.getLogger("mlgate").setLevel(logging.ERROR)
    settings = Settings.read()
    message, raw = localized(options)
    if isinstance(message, StartMessage):
        plan(message, None)
    if options.output is not None:
        prepare(options.output)
    begun = begin_notebooks(settings, message)
    from mlgate.hosts.local_queue import LocalQueue

    with LocalQueue(settings.service_bus.queue) as queue:
        # While that one connects, and `begun` imports what notebooks need.
        from mlgate.hosts import local_run

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
        raise UsageError("--json and --junit are for the end of a build: add --wait")
    if options.wait:
        logging.getLogger("mlgate").setLevel(logging.ERROR)  # what happens is in the live log
    waiting = Waiting(options.junit, options.json) if options.wait else None
    return publish(read_message(options.message), waiting)


def _worker(_: argparse.Namespace) -> int:
    from mlgate.hosts.worker import serve

    logging.getLogger("mlgate").setLevel(logging.INFO)
    serve(Settings.read())


def _emulator(options: argparse.Namespace) -> int:
    from mlgate.emulators.service_bus import parse_queue, serve

    names = options.queue or [Settings.read().service_bus.queue]
    try:
        queues = [parse_queue(name) for name in names]
    except ValueError as error:
        raise UsageError(str(error)) from error
    return serve(queues, options.file, options.port)


def _builds(options: argparse.Namespace) -> int:
    from mlgate.hosts.history import show_build, show_builds, write_page

    if options.html and options.build:
        raise UsageError("--html shows all builds; name no build beside it")
    settings = Settings.read()
    if options.html:
        return write_page(settings, options.html)
    return show_build(settings, options.build) if options.build else show_builds(settings)


def _doctor(options: argparse.Namespace) -> int:
    from mlgate.hosts.diagnosis import diagnose

    return diagnose(options.repository, as_json=options.json)


def _cancel(options: argparse.Namespace) -> int:
    from mlgate.hosts.history import cancel

    return cancel(Settings.read(), options.build)
