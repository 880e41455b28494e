"""The commands about models."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from mlgate.hosts.commands.arguments import build, command, count, number, port, share
from mlgate.hosts.exit_codes import COULD_NOT_RUN, FAILED
from mlgate.hosts.terminal import complain
from mlgate.hosts.usage import UsageError


def add(commands: Any) -> None:
    """Add the commands to the subparsers of `mlgate`."""
    models = command(
        commands,
        "models",
        "show the models and their current versions, or one model's log",
        "List the models in MLGATE_MODELS, or show one model's log, newest entry first: which "
        "version became current, when, from which build, and why.",
        "0 done   3 no such model, a store that cannot be read, or files that differ",
    )
    models.add_argument("model", metavar="MODEL", nargs="?", help="show this model's log")
    models.add_argument("--json", action="store_true", help="print JSON, with entries as stored")
    how = models.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="compare every file with its hash")
    how.add_argument("--init", action="store_true", help="create a model store in MLGATE_MODELS")
    models.set_defaults(command=_models)

    promote = command(
        commands,
        "promote",
        "promote the model of an earlier build",
        "Promote the model that an earlier build offered: its version becomes current. The build "
        "must have passed its gate. Use --model to promote to another model, for example from "
        "staging to production. Nothing is trained or tested again, nor compared with the "
        "current version.",
        "0 promoted, or already current   1 refused   2 usage\n"
        "  3 no such build, or a store that cannot be reached",
    )
    promote.add_argument(
        "build",
        metavar="BUILD",
        type=build,
        help="a build id or key, as `mlgate builds` lists them",
    )
    promote.add_argument(
        "--model", metavar="M", help="promote to this model instead of the one the build offered"
    )
    promote.add_argument(
        "--run", metavar="R", help="promote this run's model instead of the one the build offered"
    )
    promote.set_defaults(command=_promote)

    rollback = command(
        commands,
        "rollback",
        "make an earlier version of a model current again",
        "Make an earlier version current again: the one that --to names, or the last one before "
        "the current version that was not rolled back itself. Builds can no "
        "longer promote the version that it replaces; only `mlgate rollback --to` brings it back.",
        "0 done   1 refused   2 usage   3 a store that cannot be reached",
    )
    rollback.add_argument("model", metavar="MODEL", help="a model, as `mlgate models` lists it")
    rollback.add_argument(
        "--to", metavar="ID|N", help="the version's id, or the number of a log entry"
    )
    rollback.add_argument("--reason", metavar="TEXT", default="", help="why, for the model's log")
    rollback.set_defaults(command=_rollback)

    load = command(
        commands,
        "load",
        "load-test a served model, and check it against limits",
        "Send requests to a served model with locust, and show how many failed and how long they "
        "took. By default, each user sends the example from GET /model again and again, without "
        "pauses.",
        "0 within the limits   1 a limit exceeded, or no request made   2 usage\n"
        "  3 the model or locust's environment cannot be reached",
    )
    load.add_argument("url", metavar="URL", help="http or https URL of the served model")
    load.add_argument(
        "--users", metavar="N", type=count, default=10, help="concurrent users; default 10"
    )
    load.add_argument(
        "--seconds", metavar="S", type=count, default=15, help="duration in seconds; default 15"
    )
    load.add_argument(
        "--p95-ms", metavar="L", type=number, help="limit for the 95th percentile, in milliseconds"
    )
    load.add_argument(
        "--failures",
        metavar="R",
        type=share,
        default=0.0,
        help="limit for the share of failed requests, 0.01 for one percent; default 0",
    )
    load.add_argument("--locustfile", metavar="F", help="locustfile that says what users do")
    load.add_argument(
        "--key",
        metavar="NAME",
        help="environment variable with a function app's key, sent as x-functions-key",
    )
    load.set_defaults(command=_load)

    serve = command(
        commands,
        "serve",
        "serve the current version of a model over HTTP",
        "Serve a model's current version, and switch to each new one without losing a request. "
        "MODEL@ID serves only that version. Open / in a browser to try the model in a form.",
        "0 ended by SIGTERM, after all requests were answered   2 usage\n"
        "  3 a store that cannot be read, or a port that is in use",
    )
    serve.add_argument("model", metavar="MODEL[@ID]", nargs="?", help="default: MLGATE_MODEL")
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default 127.0.0.1"
    )
    serve.add_argument("--port", type=port, default=5000, help="default 5000; 0 picks a free one")
    serve.add_argument(
        "--own-environment",
        action="store_true",
        help="load models with the Python that runs mlgate, as in a container image, instead of "
        "creating environments",
    )
    serve.set_defaults(command=_serve)


def _models(options: argparse.Namespace) -> int:
    from mlgate.hosts import models
    from mlgate.hosts.settings import Settings
    from mlgate.hosts.stores import make_models

    if options.model is not None:
        _require_name(options.model)
    store = make_models(Settings.read())
    if options.init:
        return models.init(store, as_json=options.json)
    if options.check:
        return models.check(store, options.model, as_json=options.json)
    if options.model:
        return models.show_model(store, options.model, as_json=options.json)
    return models.show_models(store, as_json=options.json)


def _promote(options: argparse.Namespace) -> int:
    from mlgate.hosts import local_run
    from mlgate.hosts.history import find, unknown
    from mlgate.hosts.local_queue import LocalQueue
    from mlgate.hosts.settings import Settings
    from mlgate.hosts.stores import make_state
    from mlgate.orchestration.engine.promoting.candidates import NotOfferedError, earlier
    from mlgate.orchestration.findings import Findings
    from mlgate.orchestration.wire.messages import validated
    from mlgate.orchestration.wire.promotion import PromoteMessage

    logging.getLogger("mlgate").setLevel(logging.ERROR)  # the live log shows what happens
    settings = Settings.read()
    state = make_state(settings)
    if find(state, options.build) is None:
        return unknown(options.build)
    try:
        source = earlier(state, options.build, options.run)
    except NotOfferedError as error:
        complain(f"mlgate: {error}")
        return FAILED
    model = options.model or (source.promote.model if source.promote else "")
    if not model:
        raise UsageError(f"build {source.build_id} offered no model: name one with --model")
    _require_name(model)
    raw = {"version": 1, "kind": "promote", "model": model, "build": source.key}
    if options.run:
        raw["run"] = options.run
    shown = local_run.Options(None, as_json=False, quiet=False, parallel=None)
    message = validated(PromoteMessage, raw, Findings())
    with LocalQueue() as queue:
        return local_run.run(settings, message, raw, shown, queue)


def _serve(options: argparse.Namespace) -> int:
    from mlgate.hosts.serving.settings import ServingSettings
    from mlgate.hosts.settings import Settings
    from mlgate.hosts.stores import make_models

    try:
        from mlgate.hosts.serving.server import serve
    except ModuleNotFoundError as missing:
        if missing.name != "uvicorn":
            raise
        complain("mlgate: Install mlgate with what serving needs: pip install -e '.[serving]'.")
        return COULD_NOT_RUN
    logging.getLogger("mlgate").setLevel(logging.INFO)
    settings = Settings.read()
    return serve(
        make_models(settings),
        ServingSettings.read(options.model),
        settings.home,
        host=options.host,
        port=options.port,
        own_environment=options.own_environment,
    )


def _rollback(options: argparse.Namespace) -> int:
    from mlgate.hosts import models
    from mlgate.hosts.settings import Settings
    from mlgate.hosts.stores import make_models
    from mlgate.orchestration.clock import SystemClock

    _require_name(options.model)
    store = make_models(Settings.read())
    return models.roll_back(store, SystemClock(), options.model, options.to, options.reason)


def _require_name(model: str) -> None:
    from mlgate.orchestration.models import is_name

    if not is_name(model):
        raise UsageError(
            f"{model[:80]!a} is not a valid model name: use 1 to 63 lower-case letters, digits, "
            "- and _, and begin with a letter or a digit"
        )


def _load(options: argparse.Namespace) -> int:
    from mlgate.hosts.load import Load, load
    from mlgate.hosts.settings import Settings
    from mlgate.load.stats import Limits

    asked = Load(options.url, options.users, options.seconds, options.locustfile, options.key)
    return load(Settings.read().home, asked, Limits(options.p95_ms, options.failures))
