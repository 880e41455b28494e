"""The commands about models: what they take."""

from __future__ import annotations

import argparse
import logging
import textwrap
from typing import Any

from mlgate.hosts.settings import Settings
from mlgate.hosts.terminal import complain
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.models import is_name


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
    rollback.add_argument("model", metavar="MODEL")
    rollback.add_argument("--to", metavar="ID|N", help="a version, or the number of an entry")
    rollback.add_argument("--reason", metavar="TEXT", default="", help="why, for the log")
    rollback.set_defaults(command=_rollback)


def _command(commands: Any, name: str, short: str, says: str, codes: str) -> Any:
    return commands.add_parser(
        name,
        help=short,
        description="\n".join(textwrap.wrap(says, 80)),
        epilog=f"exit codes:\n  {codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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
    return local_run.run(settings, validated(PromoteMessage, raw, Findings()), raw, shown)


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
