"""`mlgate models` and `mlgate rollback`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from handlers.models_handler import ModelStore
from mlgate.hosts.exit_codes import COULD_NOT_RUN, FAILED, OK
from mlgate.hosts.terminal import complain, say, say_json
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import ModelsPort
from mlgate.orchestration.models import Entry, EntryKind
from mlgate.orchestration.promotion import history
from mlgate.orchestration.promotion.rollback import going_back
from mlgate.orchestration.promotion.weighing import Weighed
from mlgate.orchestration.text import number, one_line

MOST_SHOWN = 50  # entries of a log
_TRIES = 5  # to append an entry when others keep appending first


def show_models(store: ModelsPort, *, as_json: bool) -> int:
    """Show each model with its current version."""
    heads = [(model, store.head(model).entry) for model in store.models()]
    if as_json:
        say_json({"store": store.location, "models": [_summary(*each) for each in heads]})
        return OK
    if not heads:
        say(f"No models in {store.location}. A message with `promote` creates the first version.")
    for model, head in heads:
        if head is None:
            say(f"{model:<24}  no version")
            continue
        since = f"since {head.at:%Y-%m-%d %H:%M} UTC"
        say(f"{model:<24}  {head.id}  #{head.number}  {since}  {_from(head)}".rstrip())
    return OK


def show_model(store: ModelsPort, model: str, *, as_json: bool) -> int:
    """Show one model's log, newest entry first."""
    entries = list(islice(store.log(model), None if as_json else MOST_SHOWN))
    if not entries:
        return _unknown(store, model)
    back = history.before(store.log(model))
    if as_json:
        said = [_proof(entry) for entry in entries]
        say_json({**_summary(model, entries[0]), "goes_back_to": back and back.id, "log": said})
        return OK
    head = entries[0]
    say(f"{model}@{head.id} is current, by entry {head.number}.")
    if head.replaces:
        say(f"It replaced {model}@{head.replaces}.")
    if back is not None:
        say(f"`mlgate rollback {model}` goes back to {model}@{back.id}.")
    say()
    for entry in entries:
        kind = "promoted" if entry.kind is EntryKind.PROMOTED else "rolled back to"
        say(f"{entry.number:>6}  {entry.at:%Y-%m-%d %H:%M}  {kind:<14}  {entry.id}  {_from(entry)}")
        if entry.reason:
            say(f"        {one_line(entry.reason, 500)}")
    if len(entries) == MOST_SHOWN and entries[-1].number > 1:
        say(f"        and older ones: {entries[-1].number - 1}")
    return OK


def init(store: ModelStore, *, as_json: bool) -> int:
    """Create a store at this location."""
    store.init()
    if as_json:
        say_json({"store": store.location})
    else:
        say(f"{store.location} is a model store.")
    return OK


def check(store: ModelsPort, model: str | None, *, as_json: bool) -> int:
    """Read every file of every stored version, and report which differ."""
    names = store.models()
    if model is not None and model not in names:
        return _unknown(store, model)
    checked = list[dict[str, Any]]()
    for name in [model] if model else names:
        for version in sorted({*store.versions(name), *_needed(store, name)}):
            if store.manifest(name, version) is None:
                wrong = ["manifest.json"]
            else:
                wrong = store.damaged(name, version)
            checked.append({"model": name, "id": version, "damaged": list(wrong)})
            if as_json:
                continue
            said = f"{len(wrong)} files differ or are missing" if wrong else "all files match"
            say(f"{name}@{version}: {said}")
            for path in wrong[:20]:
                say(f"  {one_line(path, 300)}")
    if as_json:
        say_json({"store": store.location, "versions": checked})
    return COULD_NOT_RUN if any(each["damaged"] for each in checked) else OK


def roll_back(store: ModelsPort, clock: Clock, model: str, to: str | None, reason: str) -> int:
    """Make an earlier version current again."""
    for _ in range(_TRIES):
        found = going_back(store, model, to, reason, clock.now(), person=_person())
        if isinstance(found, Weighed):
            (say if found.passed else complain)(f"mlgate: {found.reason}")
            return OK if found.passed else FAILED
        if store.append(found):
            say(f"{model}@{found.id} is current again, by entry {found.number}.")
            say(f"It replaced {model}@{found.replaces}.")
            return OK
    complain(f"mlgate: another entry was added first, {_TRIES} times in a row. Try again.")
    return COULD_NOT_RUN


def _needed(store: ModelsPort, model: str) -> Iterator[str]:
    """The ids of the current version and of the one that a rollback goes back to."""
    for found in (store.head(model).entry, history.before(store.log(model))):
        if found is not None:
            yield found.id


def _unknown(store: ModelsPort, model: str) -> int:
    complain(f"mlgate: there is no model {one_line(model, 100)} in {store.location}")
    return COULD_NOT_RUN


def _person() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return None


def _summary(model: str, head: Entry | None) -> dict[str, Any]:
    return {
        "model": model,
        "current": None if head is None else _proof(head),
        "previous": None if head is None else head.replaces,
    }


def _proof(entry: Entry) -> dict[str, Any]:
    """The entry as stored."""
    said: dict[str, Any] = json.loads(entry.content)
    return said


def _from(entry: Entry) -> str:
    if entry.kind is EntryKind.ROLLED_BACK:
        return f"by {entry.person}" if entry.person else ""
    build = f"build {entry.build.build_id}" if entry.build else ""
    return f"{build}, {_metrics(entry)}".strip(", ")


def _metrics(entry: Entry) -> str:
    compared = [(each.metric, each.candidate) for each in entry.comparison]
    return ", ".join(f"{name} {number(value)}" for name, value in compared if value is not None)
