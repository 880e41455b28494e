"""Reads metrics that a run logged elsewhere: to an MLflow store of its own, in the tree.

The run logged them, so they count, unless it logged the same name to the store that it was given.
That may not be what the user wants, so a warning says where they are. Metrics from before the run
are ignored, for example those of a committed store.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlgate.launcher.text import one_line
from mlgate.launcher.tracking import Row, database_of, latest, rows_of_database
from mlgate.launcher.values import Place

MOST_ENTRIES = 50_000  # of the tree that are searched
MOST_STORES = 10  # that are read
MOST_NAMES = 5  # of metrics that a warning names
MOST_BYTES = 16 * 2**20  # that are read from the end of a metric's file

SQLITE = b"SQLite format 3\0"  # see "The Database Header" in SQLite's file format


def elsewhere(place: Place, since: float) -> tuple[dict[str, float], list[str]]:
    """The latest value of each key, and a warning for each store in the tree that has some.

    `since` is when the run began, in seconds by the files' clock.
    """
    found: dict[Path, list[Row]] = {}
    for store, rows in found_stores(place, since):
        found.setdefault(store, []).extend(rows)
        if len(found) >= MOST_STORES:
            break
    warnings = []
    for store, rows in found.items():
        where = one_line(store.relative_to(place.root).as_posix() or ".")
        some = sorted(latest(rows))
        which = one_line(", ".join(some[:MOST_NAMES])) + (", ..." if some[MOST_NAMES:] else "")
        warnings.append(
            f"metrics were logged to {where}, the run's own MLflow tracking store, and count "
            f"({which}). To log them where other runs do, do not set a tracking URI"
        )
    return latest(row for rows in found.values() for row in rows), warnings


def found_stores(place: Place, since: float) -> Iterator[tuple[Path, Sequence[Row]]]:
    """The stores in the tree, with what was logged to them since."""
    given, entries = database_of(place), 0
    for folder, folders, names in os.walk(place.root):
        path = Path(folder)
        if path == place.output:
            folders.clear()
            continue
        entries += len(folders) + len(names)
        if entries > MOST_ENTRIES:
            return
        if "meta.yaml" in names and "metrics" in folders:  # a run's folder in an experiment's
            if rows := list(_since(rows_of_files(path / "metrics"), since)):
                yield path.parent.parent, rows
            folders.clear()
        for name in names:
            file = path / name
            if file != given and is_database_since(file, since):
                rows = list(_since(rows_of_database(file)[0], since))
                if rows:
                    yield file, rows


def _since(rows: Sequence[Row], since: float) -> Iterator[Row]:
    return (row for row in rows if row[0] >= since * 1000)


def rows_of_files(folder: Path) -> list[Row]:
    """The last row of each key's file, which has a line for each value: time, value and step
    (`FileStore._log_run_metric` of mlflow)."""
    rows: list[Row] = []
    for path in sorted(folder.rglob("*"))[:MOST_ENTRIES]:
        with contextlib.suppress(OSError, ValueError):
            if not path.is_file() or path.is_symlink():
                continue
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - MOST_BYTES))
                line = file.read().splitlines()[-1:]
            for at, value, *step in map(bytes.split, line):
                key = path.relative_to(folder).as_posix()
                rows.append((float(at), float(step[0]) if step else 0.0, key, float(value)))
    return rows


def is_database_since(file: Path, since: float) -> bool:
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_mtime < since:
            return False
        with file.open("rb") as content:
            return content.read(len(SQLITE)) == SQLITE
    except OSError:
        return False
