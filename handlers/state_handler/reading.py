"""Reads a build from its record; what this process has already is neither fetched nor parsed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from handlers.state_handler.fields import Raw
from handlers.state_handler.records import (
    BUILD,
    KNOWN,
    RUN,
    SPECS,
    Head,
    Record,
    UnreadableError,
    read_head,
)
from handlers.state_handler.specs import from_table
from mlgate.orchestration.builds import Build, RunState
from mlgate.orchestration.runs import RunSpec

Fetch = Callable[[Sequence[str]], Mapping[str, bytes]]


class MissingPartError(Exception):
    """A part that the head names is missing: the build has ended since the head was read."""


def parse(head: bytes | str, before: Record | None, fetch: Fetch) -> Record:
    """`before` is an earlier record of the build; `fetch` returns those parts that exist.

    Raises `UnreadableError`, or `MissingPartError`.
    """
    raw = read_head(head)
    try:
        return _Reading(raw, before, fetch).record(len(head))
    except (ValueError, TypeError, LookupError, AttributeError, zlib.error) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}"[:300]) from error


class _Reading:
    def __init__(self, raw: Mapping[str, Any], before: Record | None, fetch: Fetch) -> None:
        self._fields: Mapping[str, Any] = raw["build"]
        self._parts: Mapping[str, str] = raw.get("parts", {})
        self._runs = _by_place(raw.get("runs", {}))
        self._chunks: Sequence[str] = raw.get("chunks", [])
        self._flags = {name: bool(raw.get(name)) for name in ("sealed", "parted")}
        self._before = before
        self._texts = self._fetched(fetch)

    def record(self, length: int) -> Record:
        before = self._before
        chunks = {
            name: _by_place(json.loads(self._texts[name]))
            if before is None or name in self._texts
            else before.head.chunks[name]
            for name in self._chunks
        }
        head = Head(self._fields, self._parts, self._runs, chunks, **self._flags)
        build = Build(**{name: self._value(name) for name in BUILD.names})
        lengths = {} if before is None else dict(before.lengths)
        lengths |= {name: len(text) for name, text in self._texts.items()}
        lengths = {name: lengths.get(name, 0) for name in head.names()} | {"": length}
        return Record(replace(build, runs=self._with_states(head)), head, lengths)

    def _fetched(self, fetch: Fetch) -> dict[str, str]:
        before = self._before.head if self._before is not None else Head()
        wanted = [
            part
            for name, part in self._parts.items()
            if name in KNOWN and before.parts.get(name) != part
        ]
        wanted += [name for name in self._chunks if name not in before.chunks]
        wanted = list(dict.fromkeys(wanted))
        found = fetch(wanted) if wanted else {}
        if missing := [name for name in wanted if name not in found]:
            raise MissingPartError(", ".join(missing))
        return {name: zlib.decompress(found[name]).decode() for name in wanted}

    def _value(self, name: str) -> Any:
        before = self._before
        if name in self._parts:
            if before is not None and before.head.parts.get(name) == self._parts[name]:
                return _held(before.build, name)
            return _read(name, json.loads(self._texts[self._parts[name]]))
        if name in self._fields:
            raw = self._fields[name]
            if before is not None and before.head.fields.get(name) == raw:
                return _held(before.build, name)
            return _read(name, raw)
        return () if name == SPECS else BUILD.default(name)

    def _with_states(self, head: Head) -> tuple[RunState, ...]:
        before, states = self._before, head.states()
        specs: Sequence[RunSpec] = self._value(SPECS)
        old, old_states = (before.build.runs, before.head.states()) if before else ((), {})
        runs = []
        for place, spec in enumerate(specs):
            raw = states.get(place, {})
            if place < len(old) and old[place].spec is spec and old_states.get(place, {}) == raw:
                runs.append(old[place])
            else:
                runs.append(RunState(spec, **RUN.all_from_json(raw)))
        return tuple(runs)


def _held(build: Build, name: str) -> Any:
    return tuple(run.spec for run in build.runs) if name == SPECS else getattr(build, name)


def _read(name: str, raw: object) -> Any:
    return from_table(raw) if name == SPECS else BUILD.from_json(name, raw)


def _by_place(raw: Mapping[str, Raw]) -> dict[int, Raw]:
    return {int(place): state for place, state in raw.items()}
