"""Measures one look at a build and one listing of due builds, with few and with many builds stored.

    make bench [BUILDS=10000]

All stored builds but five have ended. The look finds nothing new: it takes the lease, loads, saves
twice, sets when the next look is due, and releases the lease. The two columns are measured in
alternation in one run. Costs must not grow with the history: if they do, the benchmark fails. Blobs
are in Azurite, if that is installed, with fewer builds because all must be written first.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from handlers.blobs.address import ContainerAddress
from handlers.blobs.container import Container
from handlers.state_handler import SqliteState
from handlers.state_handler.blobs import BlobState
from mlgate.emulators.azure_ml import Azurite, StorageUnavailable
from mlgate.emulators.azure_ml.signatures import account_sas
from mlgate.orchestration.builds import Build, Phase, RepositoryRequest, RunState
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.durable import Due, StatePort
from mlgate.orchestration.runs import RunKind, RunSpec

FEW, OPEN, RUNS = 10, 5, 20
IN_BLOBS = 300
LOOKS = 100
LOOKED_AT = f"{0:032x}"  # the first open build
MOST = 1.5  # the limit for the ratio of costs


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("few.db", "many.db")]
        states = [SqliteState(file) for file in files]
        for state in states:
            _fill(state, FEW)
        _copy(files[1], many - FEW)
        ratios = _compared("SQLite", states, many)
    try:
        with _blobs() as blobs:
            _fill(blobs[0], FEW)
            _fill(blobs[1], IN_BLOBS)
            ratios += _compared("blobs on Azurite", blobs, IN_BLOBS)
    except StorageUnavailable as missing:
        print(f"\nblobs are skipped: {missing}")
    if max(ratios) >= MOST:
        sys.exit(f"A cost grows with the history: {max(ratios):.2f} times as much.")


def _compared(name: str, states: Sequence[StatePort], many: int) -> list[float]:
    rows: dict[str, Callable[[StatePort], None]] = {
        "one look at a build, ms": lambda state: _look(state, LOOKED_AT),
        "what is due, ms": _due,
    }
    print(f"\n{name}\n\n{'':<26} {FEW:>10,} {many:>10,} {'ratio':>8}")
    ratios = []
    for row, act in rows.items():
        taken: list[list[float]] = [[], []]
        for number in range(LOOKS + 5):
            for state, times in zip(states, taken, strict=True):
                began = time.perf_counter()
                act(state)
                if number >= 5:  # the first ones warm the caches
                    times.append((time.perf_counter() - began) * 1000)
        few, more = (statistics.median(times) for times in taken)
        ratios.append(more / few)
        print(f"{row:<26} {few:>10.2f} {more:>10.2f} {more / few:>8.2f}")
    return ratios


def _fill(state: StatePort, count: int) -> None:
    for number in range(count):
        made = _build(f"{number:032x}")
        state.create(made, None)
        if number >= OPEN:
            stored = state.load(made.key)
            assert stored is not None
            state.save(replace(made, phase=Phase.COMPLETED), stored.version)


def _copy(file: Path, times: int) -> None:
    """Add ended builds by copying one, because writing each would take minutes."""
    with closing(sqlite3.connect(file)) as db, db:
        db.executemany(
            "INSERT INTO builds SELECT ?, version, open, received_at, body FROM builds"
            " WHERE key = (SELECT key FROM builds WHERE open = 0)",
            [(uuid.uuid4().hex,) for _ in range(times)],
        )


def _look(state: StatePort, key: str) -> None:
    assert state.lease(key, "bench", 10)
    stored = state.load(key)
    assert stored is not None
    begun = state.save(replace(stored.build, begun={"look": 1}), stored.version)
    assert begun is not None
    at = datetime.now(UTC) + timedelta(seconds=30)
    look = stored.build.look + 1
    assert state.save(replace(begun.build, begun={}, look=look, next_look_at=at), begun.version)
    state.set_due(Due(key, at))
    state.release(key, "bench")


def _due(state: StatePort) -> None:
    assert len(state.due()) == OPEN


def _build(key: str) -> Build:
    now = datetime.now(UTC)
    specs = [
        RunSpec(f"run-{number}", RunKind.NOTEBOOK, f"notebooks/{number}.ipynb")
        for number in range(RUNS)
    ]
    return Build(
        key=key,
        build_id="1",
        request={"version": 1, "runs": [{"notebooks": "notebooks/*.ipynb"}]},
        repository=RepositoryRequest("https://example.org/r.git"),
        backend="azureml",
        received_at=now,
        deadline=now + timedelta(hours=1),
        phase=Phase.WATCHING,
        runs=tuple(map(RunState, specs)),
    )


@contextmanager
def _blobs() -> Iterator[list[BlobState]]:
    with Azurite() as azurite:
        ends = datetime.now(UTC) + timedelta(hours=2)
        signature = account_sas(azurite.account, azurite.key, ends)

        def opened() -> BlobState:
            name = f"{azurite.url}/{azurite.account}/state-{uuid.uuid4().hex[:12]}?{signature}"
            address, clock = ContainerAddress.parse(name), SystemClock()
            secrets = Container(address.secrets(), None, clock)
            return BlobState(Container(address, None, clock), secrets, clock)

        yield [opened(), opened()]


if __name__ == "__main__":
    main()
