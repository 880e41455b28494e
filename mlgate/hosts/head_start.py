"""What `mlgate run` begins before it has read its settings and the message.

Reading them takes half a second, most of it imports. In that time another core can import what runs
need. What runs there will be is a guess: options and settings can change the message, and the
repository, which may name the runs, has not been read. A wrong guess costs some CPU time.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlgate.hosts.home import home_of
from mlgate.orchestration.runs import RunKind

if TYPE_CHECKING:
    from handlers.local_handler.warm import Begun

# Importing all that a run needs makes some 130,000 objects; the command ends before much garbage.
_OBJECTS = 200_000  # until the next garbage collection
# How long a thread that imports keeps others waiting: those connect meanwhile, in many short steps.
_SECONDS = 0.001


@contextmanager
def _hurrying() -> Iterator[None]:
    """Within the block, this process imports and connects without a break."""
    objects, seconds = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(_OBJECTS)
    sys.setswitchinterval(_SECONDS)
    try:
        yield
    finally:
        gc.set_threshold(*objects)
        sys.setswitchinterval(seconds)


@contextmanager
def head_start(body: bytes, backend: str | None) -> Iterator[Begun | None]:
    """Within the block, a process imports what the runs of the message need; None if there may be
    no such runs. `backend` replaces the message's."""
    kind = likely_kind(body, backend)
    begun = None
    if kind is not None:
        from handlers.local_handler.warm import begin

        begun = begin(home_of(), kind)
    try:
        with _hurrying():
            yield begun
    finally:
        if begun is not None:
            begun.end()


def likely_kind(body: bytes, backend: str | None) -> RunKind | None:
    """The kind of runs on mlgate's own Python that the message may have: notebooks, if any."""
    try:
        message: Any = json.loads(body)
        asked = (
            backend
            or message.get("backend")
            or os.environ.get("MLGATE_BACKEND", "").strip()
            or "local"
        )
        here = message.get("kind", "start") == "start" and asked == "local"
        if not here or message.get("defaults", {}).get("environment"):
            return None
        runs = message.get("runs") or [{"kind": "notebook"}] * ("runs_from" in message)
        kinds = {run["kind"] for run in runs if not run.get("environment")}
    except Exception:  # noqa: BLE001 -- reading the message will report what is wrong with it
        return None
    return next((kind for kind in (RunKind.NOTEBOOK, RunKind.TRAINING) if kind in kinds), None)
