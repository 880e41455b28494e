"""The commands about models: what they take."""

from __future__ import annotations

import argparse
import logging
import math
import textwrap
from typing import Any

from mlgate.hosts.settings import Settings, SettingsError
from mlgate.hosts.terminal import complain
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.models import is_name

_MOST = 100_000  # callers, and seconds


def add(commands: Any) -> None:
    """Add them to the subparsers of `mlgate`."""
    models = _command(
        commands,
        "models",
        "the models and their current versions, or one model's log",
        "Show the models that MLGATE_MODELS keeps; or one model's log, the last entry first: which "
        "version became the current one, when, from which build, and why.",
        "0   3 no such model, a store that cannot be read, or files that differ",
    )
    models.add_argument("model", metavar="MODEL", nargs="?", help="a model, for its log")
    how = models.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="as JSON on stdout, with the proof")
    how.add_argument("--check", action="store_true", help="read and hash every file there is")
    how.add_argument("--init", action="store_true", help="make MLGATE_MODELS a store")
    models.set_defaults(command=_models)

    promote = _command(
        commands,
        "promote",
        "make the model of an earlier build a current version",
        "Promote what an earlier build offered, which passed its gate: to the same model, or from "
        "a stage to another one. Nothing is trained or tried again.",
        "0 promoted, or current already   1 refused   2 usage\n"
        "  3 no such build, or a store that cannot be reached",
    )
    promote.add_argument("build", metavar="BUILD", help="a build's id or key: see `mlgate builds`")
    promote.add_argument("--model", metavar="M", help="instead of the model that the build offered")
    promote.add_argument("--run", metavar="R", help="instead of the run that the build offered")
    promote.set_defaults(command=_promote)

    rollback = _command(
        commands,
        "rollback",
        "make an earlier version of a model the current one again",
        "Go back to the last version before the current one that was not rolled back itself, or to "
        "the one that is named. No build promotes the current one again after that.",
        "0   1 refused   2 usage   3 a store that cannot be reached",
    )
    rollback.add_argument("model", metavar="MODEL", help="the model, as `mlgate models` lists it")
    rollback.add_argument("--to", metavar="ID|N", help="a version, or the number of an entry")
    rollback.add_argument("--reason", metavar="TEXT", default="", help="why, for the log")
    rollback.set_defaults(command=_rollback)

    load = _command(
        commands,
        "load",
        "have callers ask a served model, and hold it to limits",
        "Send requests to a served model for some seconds, by locust, and show how many failed and "
        "how long they took. By default callers send the example that GET /model of the URL shows, "
        "each again as soon as it is answered.",
        "0 within the limits   1 a limit broken, or no request made   2 usage\n"
        "  3 the model or locust's environment cannot be reached",
    )
    load.add_argument("url", metavar="URL", help="where the model is served: http or https")
    load.add_argument("--users", metavar="N", type=_count, default=10, help="callers; default 10")
    load.add_argument(
        "--seconds", metavar="S", type=_count, default=15, help="how long; default 15"
    )
    load.add_argument(
        "--p95-ms", metavar="L", type=_number, help="of 100 requests, 95 may take so long at most"
    )
    load.add_argument(
        "--failures",
        metavar="R",
        type=_share,
        default=0.0,
        help="the share of requests that may fail: 0.01 is one percent; default 0",
    )
    load.add_argument(
        "--locustfile", metavar="F", help="a Python file of locust's that says what callers do"
    )
    load.add_argument(
        "--key",
        metavar="NAME",
        help="a variable that holds the key of a function app, sent as x-functions-key",
    )
    load.set_defaults(command=_load)

    serve = _command(
        commands,
        "serve",
        "answer requests with the current version of a model",
        "Serve a model's current version, and each one that follows it, without a request lost on "
        "the way; MODEL@ID serves that version alone. Its example is tried in a form at /.",
        "0 on SIGTERM, once all requests were answered   2 usage\n"
        "  3 a store that cannot be read, or a port that is in use",
    )
    serve.add_argument("model", metavar="MODEL[@ID]", nargs="?", help="MLGATE_MODEL when absent")
    serve.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    serve.add_argument("--port", type=_port, default=5000, help="default 5000; 0 for a free one")
    serve.add_argument(
        "--own-environment",
        action="store_true",
        help="load models with this Python, as in an image, and make no environments",
    )
    serve.set_defaults(command=_serve)


def _command(commands: Any, name: str, short: str, says: str, codes: str) -> Any:
    return commands.add_parser(
        name,
        help=short,
        description="\n".join(textwrap.wrap(says, 80)),
        epilog=f"exit codes:\n  {codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _models(options: argparse.Namespace) -> int:
    from mlgate.hosts import models
    from mlgate.hosts.stores import make_models

    if options.model is not None:
        _require_name(options.model)
    store = make_models(Settings.read())
    if options.init:
        return models.init(store)
    if options.check:
        return models.check(store, options.model)
    if options.model:
        return models.show_model(store, options.model, as_json=options.json)
    return models.show_models(store, as_json=options.json)


def _promote(options: argparse.Namespace) -> int:
    from mlgate.hosts import local_run
    from mlgate.hosts.history import find, unknown
    from mlgate.hosts.local_queue import LocalQueue
    from mlgate.hosts.models import REFUSED
    from mlgate.hosts.stores import make_state
    from mlgate.orchestration.engine.promoting.candidates import NotOfferedError, earlier
    from mlgate.orchestration.findings import Findings
    from mlgate.orchestration.wire.messages import validated
    from mlgate.orchestration.wire.promotion import PromoteMessage

    logging.getLogger("mlgate").setLevel(logging.ERROR)  # what happens is in the live log
    settings = Settings.read()
    state = make_state(settings)
    if find(state, options.build) is None:
        return unknown(options.build)
    try:
        build = earlier(state, options.build, options.run)
    except NotOfferedError as error:
        complain(f"mlgate: {error}")
        return REFUSED
    model = options.model or (build.promote.model if build.promote else "")
    if not model:
        raise UsageError(f"build {build.build_id} offered no model: say which with --model")
    _require_name(model)
    raw = {"version": 1, "kind": "promote", "model": model, "build": build.key}
    if options.run:
        raw["run"] = options.run
    shown = local_run.Options(None, as_json=False, quiet=False, parallel=None)
    message = validated(PromoteMessage, raw, Findings())
    with LocalQueue(settings.service_bus.queue) as queue:
        return local_run.run(settings, message, raw, shown, queue)


def _serve(options: argparse.Namespace) -> int:
    from mlgate.hosts.serving.settings import ServingSettings
    from mlgate.hosts.stores import make_models

    try:
        from mlgate.hosts.serving.server import serve
    except ModuleNotFoundError as missing:
        if missing.name != "uvicorn":
            raise
        complain("mlgate: Install mlgate with what serving needs: pip install -e '.[serving]'.")
        return 3
    logging.getLogger("mlgate").setLevel(logging.INFO)
    settings = Settings.read()
    try:
        serving = ServingSettings.read(options.model)
    except SettingsError as error:
        if options.model:
            raise UsageError(str(error)) from error
        raise
    return serve(
        make_models(settings),
        serving,
        settings.home,
        host=options.host,
        port=options.port,
        own_environment=options.own_environment,
    )


def _rollback(options: argparse.Namespace) -> int:
    from mlgate.hosts import models
    from mlgate.hosts.stores import make_models
    from mlgate.orchestration.clock import SystemClock

    _require_name(options.model)
    store = make_models(Settings.read())
    return models.roll_back(store, SystemClock(), options.model, options.to, options.reason)


def _require_name(model: str) -> None:
    if not is_name(model):
        raise UsageError(
            f"{model[:80]!a} cannot be the name of a model: it has 1 to 63 lower-case letters, "
            "digits, - and _, and begins with a letter or a digit"
        )


def _load(options: argparse.Namespace) -> int:
    from mlgate.hosts.load import Load, load
    from mlgate.load.stats import Limits

    asked = Load(options.url, options.users, options.seconds, options.locustfile, options.key)
    return load(Settings.read().home, asked, Limits(options.p95_ms, options.failures))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST:,}")
    return int(text)


def _number(text: str) -> float:
    """Finite, and not negative."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number


def _share(text: str) -> float:
    number = _number(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return number
