"""The specs of all runs as one table, in which shared values are stored once.

A glob of 500 notebooks with 600 parameters makes 500 specs that differ by a name and a path. A run
that needs 250 others is often one of 250 that do. So each value that is more than a number or a
short text is in `shared` once, and its entries are in `entries`, each once as well: parameters
that differ in one value share all the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from handlers.state_handler.fields import Fields
from mlgate.orchestration.runs import RunSpec

_FIELDS = Fields(RunSpec)
_SHORT = 60  # characters of a text that is not worth sharing


def as_table(specs: Sequence[RunSpec]) -> dict[str, Any]:
    """A JSON value."""
    table = _Table()
    return {
        "runs": [table.row(spec) for spec in specs],
        "shared": table.shared,
        "entries": table.entries,
    }


def from_table(table: Any) -> tuple[RunSpec, ...]:
    """Raises ValueError, TypeError, KeyError or IndexError for what is not such a table."""
    entries = table["entries"]
    shared = [_whole(value, entries) for value in table["shared"]]
    # A shared value becomes one object again: it is parsed once, and in memory once.
    read: dict[tuple[str, int], Any] = {}
    specs = []
    for row in table["runs"]:
        values = _FIELDS.all_from_json(row["own"])
        for name, place in row.get("shared", {}).items():
            if name not in _FIELDS.names:
                continue
            if (name, place) not in read:
                read[name, place] = _FIELDS.from_json(name, shared[place])
            values[name] = read[name, place]
        specs.append(RunSpec(**values))
    return tuple(specs)


class _Table:
    def __init__(self) -> None:
        self.shared: list[Any] = []
        self.entries: list[Any] = []
        self._places: dict[str, int] = {}  # of shared values, by their text
        self._seen: dict[tuple[str, int], tuple[object, int]] = {}  # by identity, which is fast
        self._entry_places: dict[object, int] = {}

    def row(self, spec: RunSpec) -> dict[str, Any]:
        own: dict[str, Any] = {}
        shared: dict[str, int] = {}
        for name in _FIELDS.names:
            value = getattr(spec, name)
            if _FIELDS.has_default(name, value):
                continue
            if value is None or isinstance(value, int | float):
                own[name] = value
            elif isinstance(value, str) and len(value) <= _SHORT:
                own[name] = str(value)
            else:
                shared[name] = self._place(name, value)
        return {"own": own, "shared": shared} if shared else {"own": own}

    def _place(self, name: str, value: object) -> int:
        seen = self._seen.get((name, id(value)))
        if seen is not None:
            return seen[1]
        packed = self._pack(_FIELDS.as_json(name, value))
        place = self._places.setdefault(json.dumps(packed), len(self.shared))
        if place == len(self.shared):
            self.shared.append(packed)
        self._seen[name, id(value)] = value, place  # held, so that no other value gets its id
        return place

    def _pack(self, raw: Any) -> Any:
        if isinstance(raw, dict):
            return {"map": [self._entry(key, value) for key, value in raw.items()]}
        if isinstance(raw, list):
            return {"list": [self._entry(None, value) for value in raw]}
        return raw

    def _entry(self, key: str | None, value: Any) -> int:
        # Equality is not enough: in Python, True == 1 == 1.0.
        plain = value is None or isinstance(value, str | int)
        mark = (key, type(value), value if plain else json.dumps(value))
        place = self._entry_places.setdefault(mark, len(self.entries))
        if place == len(self.entries):
            self.entries.append(value if key is None else [key, value])
        return place


def _whole(packed: Any, entries: Sequence[Any]) -> Any:
    if isinstance(packed, dict):
        if "map" in packed:
            return dict(entries[place] for place in packed["map"])
        return [entries[place] for place in packed["list"]]
    return packed
