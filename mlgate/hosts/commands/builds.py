"""The commands about messages and builds."""

from __future__ import annotations

import argparse
import logging
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlgate.hosts.commands.arguments import MESSAGE, add_repository, build, command, positive
from mlgate.hosts.exit_codes import INVALID, OK
from mlgate.hosts.terminal import complain, say, say_json
from mlgate.hosts.usage import UsageError, print_findings, read_message

if TYPE_CHECKING:
    from handlers.local_handler.warm import Begun


def add(commands: Any) -> None:
    """Add the commands to the subparsers of `mlgate`."""
    run = command(
        commands,
        "run",
        "run a message on this machine, from start to verdict",
        "Run the build that a message describes, on this machine. mlgate starts a queue, a "
        "worker and a pipeline of its own, publishes the message as the Azure DevOps task would, "
        "shows the runs, and writes the build's files.",
        "0 gate passed   1 gate failed   2 invalid message or usage\n"
        "  3 could not run (infrastructure)   130 canceled; nothing is left running",
    )
    run.add_argument("message", metavar="MESSAGE.json", help=MESSAGE)
    add_repository(run)
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
        "--parallel", metavar="N", type=positive, help="how many local runs may run at once"
    )
    run.add_argument(
        "--json", action="store_true", help="print result.json to stdout, progress to stderr"
    )
    run.add_argument("--quiet", action="store_true", help="print no progress and no summary")
    run.set_defaults(command=_run)

    validate = command(
        commands,
        "validate",
        "report every problem in a message; start no runs",
        "Report every problem in a message, each with its place and a remedy.",
        "0 valid, possibly with warnings\n"
        "  2 findings, including a repository that cannot be fetched",
    )
    validate.add_argument("message", metavar="MESSAGE.json", help=MESSAGE)
    add_repository(validate)
    validate.add_argument(
        "--checkout",
        action="store_true",
        help="also check what the message refers to in its repository",
    )
    validate.add_argument("--json", action="store_true", help="print the findings as JSON")
    validate.set_defaults(command=_validate)

    schema = commands.add_parser("schema", help="print the JSON Schema of the message")
    schema.set_defaults(command=_schema)

    publish = command(
        commands,
        "publish",
        "send a message to the configured queue; with --wait, follow its build",
        "Send a message to the queue that the settings name.",
        "0 sent; with --wait, gate passed   1 gate failed, or canceled elsewhere\n"
        "  2 invalid message or usage   3 not sent, or the build's end could not be seen\n"
        "  130 ended by Ctrl-C or SIGTERM, which also cancel the build",
    )
    publish.add_argument("message", metavar="MESSAGE.json", help=MESSAGE)
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

    builds = command(
        commands,
        "builds",
        "show the history: builds, verdicts, runs, rejected messages with reasons",
        "List builds and rejected messages, or show one build with its runs.",
        "0 shown   3 no such build",
    )
    builds.add_argument("build", metavar="BUILD", nargs="?", type=build, help="a build id or key")
    builds.add_argument(
        "--html",
        metavar="FOLDER",
        type=Path,
        help="write all builds as a page, FOLDER/index.html, with links to their reports",
    )
    builds.set_defaults(command=_builds)

    cancel = command(
        commands,
        "cancel",
        "cancel every run of a build",
        "Cancel every run of a build. Its gate fails with that reason.",
        "0 canceling, or the build has already ended   3 no such build",
    )
    cancel.add_argument("build", metavar="BUILD", type=build, help="a build id or key")
    cancel.set_defaults(command=_cancel)


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
        from mlgate.hosts.locally import localized, require_other_folder
        from mlgate.hosts.output import prepared
        from mlgate.hosts.settings import Settings
        from mlgate.orchestration.planning.plan import plan
        from mlgate.orchestration.wire.messages import StartMessage

        settings = Settings.read()
        message, raw = localized(options, body)
        if isinstance(message, StartMessage):
            plan(message, None)
        require_other_folder(settings, message, options.output)
        with nullcontext() if options.output is None else prepared(options.output) as output:
            shown = local_run.Options(output, options.json, options.quiet, options.parallel)
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
        complain(f"mlgate: warning: {warning}")
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


def _builds(options: argparse.Namespace) -> int:
    from mlgate.hosts.history import show_build, show_builds, write_page
    from mlgate.hosts.settings import Settings

    if options.html and options.build:
        raise UsageError("--html writes all builds: use it without BUILD")
    settings = Settings.read()
    if options.html:
        return write_page(settings, options.html)
    return show_build(settings, options.build) if options.build else show_builds(settings)


def _cancel(options: argparse.Namespace) -> int:
    from mlgate.hosts.history import cancel
    from mlgate.hosts.settings import Settings

    return cancel(Settings.read(), options.build)
