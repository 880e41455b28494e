"""A glob of 500 notebooks with 600 parameters, from its message to its end, in every store."""

from __future__ import annotations

import json
import random
from pathlib import Path

from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.durable import Envelope
from tests.contract.handlers.state_handler.conftest import Store
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.twins import COLLECTION, PROPERTIES, World

MATCHES = 500
DICE = random.Random(0)
# Nothing that could be packed well.
PARAMETERS = {f"parameter_{number:04}": DICE.randbytes(40).hex() for number in range(600)}
NOTEBOOK = json.dumps(
    {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {
                "cell_type": "code",
                "id": "one",
                "metadata": {},
                "source": "1",
                "execution_count": None,
                "outputs": [],
            }
        ],
    }
).encode()


def test_the_record_stays_small_and_a_quiet_look_moves_little(store: Store, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.state = store.state()
    world.backend.endless = True
    world.repository.tree.contents |= {f"reports/{n:03}.ipynb": NOTEBOOK for n in range(MATCHES)}
    message = {
        "version": 1,
        "repository": {"url": f"{COLLECTION}p/_git/r"},
        "defaults": {"parameters": PARAMETERS},
        "runs": [{"kind": "notebook", "path": "reports/*.ipynb"}],
    }
    body = json.dumps(message, separators=(",", ":")).encode()
    assert 60_000 < len(body) < 64_000
    world.conductor.handle(Envelope(body, PROPERTIES, "m", enqueued_at=NOON))
    [key] = [build.key for build in world.state.builds()]

    def look() -> None:
        assert world.deliver() is None

    def record() -> int:
        return len(store.head(key)) + sum(map(len, store.parts(key).values()))

    while len(world.backend.submitted) < MATCHES:
        look()
    look()
    before = world.build(key).look
    moved, while_active = store.moved(key, look), record()
    assert world.build(key).look == before + 1
    world.backend.endless = False
    world.run_to_end()
    ended = world.build(key)
    print(  # noqa: T201 -- its figures
        f"a quiet look moves {moved:,} bytes; the record has {while_active:,} bytes while all "
        f"are active, {record():,} at the end"
    )

    assert moved < 100_000
    assert max(while_active, record()) < 2_000_000
    assert (ended.phase, ended.verdict) == (Phase.COMPLETED, Verdict.SUCCEEDED)
    assert len(world.pipeline.completions) == 1
    assert store.state().load(key) == world.state.load(key)
