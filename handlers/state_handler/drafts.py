"""What to write when a build is saved: a head, and the parts that are not stored yet."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from handlers.state_handler.fields import Raw
from handlers.state_handler.records import BUILD, KNOWN, RUN, SPECS, Head, Record, as_text
from handlers.state_handler.specs import as_table
from mlgate.orchestration.builds import Build, RunState

_SHORT = 2_000  # characters of a field that stays in the head
_LOOSE = 12_000  # characters of runs' states that stay there, in total
_CHUNK = 100_000  # characters of runs' states in a part
_SMALL = 8  # parts of less than half of that; so many are merged


@dataclass(frozen=True, slots=True)
class Draft:
    """`parts` must be written before `head`."""

    head: bytes = field(repr=False)
    parts: Mapping[str, bytes] = field(repr=False)
    record: Record = field(repr=False)


def compose(build: Build, before: Record | None) -> Draft:
    """`before` is the stored record, or None for a new build, whose head has no parts."""
    if before is None:
        return _Composition(build, Record(build, Head(), {}), new=True).draft()
    return _Composition(build, before).draft()


class _Composition:
    """Values that are the same objects as before are not examined, so large ones cost nothing."""

    def __init__(self, build: Build, before: Record, *, new: bool = False) -> None:
        self._build = build
        self._before = before
        self._new = new
        self._may_part = not new and not before.head.sealed
        self._texts: dict[str, str] = {}  # of the new parts
        self._lengths = dict(before.lengths)
        self._fields: dict[str, Any] = {}
        self._parts: dict[str, str] = {}
        self._chunks = dict(before.head.chunks)

    def draft(self) -> Draft:
        build, before = self._build, self._before.head
        for name in BUILD.names:
            self._put(name)
        self._put_specs()
        # Fields that only a newer version knows.
        self._fields |= {name: raw for name, raw in before.fields.items() if name not in KNOWN}
        self._parts |= {name: part for name, part in before.parts.items() if name not in KNOWN}
        head = Head(
            self._fields,
            self._parts,
            self._states(),
            self._chunks,
            sealed=before.sealed or not build.open,
            parted=before.parted or bool(self._parts or self._chunks),
        )
        text = head.text()
        lengths = {name: self._lengths.get(name, 0) for name in head.names()} | {"": len(text)}
        parts = {
            name: zlib.compress(self._texts[name].encode())
            for name in head.names() & self._texts.keys()
        }
        return Draft(text.encode(), parts, Record(build, head, lengths))

    def _put(self, name: str) -> None:
        value, before = getattr(self._build, name), self._before
        if not self._new and value is getattr(before.build, name):
            self._put_again(name)
        elif not BUILD.has_default(name, value):
            self._put_raw(name, BUILD.as_json(name, value))

    def _put_specs(self) -> None:
        if not self._new and _same_specs(self._build.runs, self._before.build.runs):
            self._put_again(SPECS)
        elif self._build.runs:
            self._put_raw(SPECS, as_table([run.spec for run in self._build.runs]))

    def _put_again(self, name: str) -> None:
        before = self._before.head
        if name in before.parts:
            self._parts[name] = before.parts[name]
        elif name in before.fields:
            self._put_raw(name, before.fields[name])

    def _put_raw(self, name: str, raw: object) -> None:
        if self._may_part and len(text := as_text(raw)) > _SHORT:
            self._parts[name] = self._part(text)
        else:
            self._fields[name] = raw

    def _states(self) -> dict[int, Raw]:
        """The states that stay in the head; the others are in chunks."""
        if self._new or not _same_specs(self._build.runs, self._before.build.runs):
            self._chunks.clear()
            states = enumerate(RUN.all_as_json(run) for run in self._build.runs)
            loose: dict[int, Raw] = {place: raw for place, raw in states if raw}
        else:
            loose = dict(self._not_in_chunks())
        if not self._may_part or len(as_text(loose)) <= _LOOSE:
            return loose
        loose.update(self._of_thin_chunks(loose))
        for chunk in self._cut(loose):
            name = self._part(as_text(chunk))
            self._chunks.pop(name, None)
            self._chunks[name] = chunk
        return {}

    def _not_in_chunks(self) -> Iterator[tuple[int, Raw]]:
        before, states = self._before, self._before.head.states()
        for place, run in enumerate(self._build.runs):
            old = before.build.runs[place]
            if run is old or run == old:
                if place in before.head.runs:
                    yield place, states[place]
                continue
            known = RUN.all_as_json(run)
            raw = {**RUN.unknown(states.get(place, {})), **known}
            if raw or place in states:
                yield place, raw

    def _of_thin_chunks(self, loose: Mapping[int, Raw]) -> dict[int, Raw]:
        """Drop the chunks that are mostly outdated, and the small ones once there are many; return
        the states in them that still count."""
        last = {place: name for name, chunk in self._chunks.items() for place in chunk}
        last.update(dict.fromkeys(loose, ""))
        small = {name for name in self._chunks if self._lengths[name] < _CHUNK / 2}
        moved: dict[int, Raw] = {}
        for name, chunk in list(self._chunks.items()):
            counts = [place for place in chunk if last[place] == name]
            if len(counts) * 2 <= len(chunk) or (len(small) >= _SMALL and name in small):
                moved.update({place: chunk[place] for place in counts})
                del self._chunks[name]
        return moved

    def _cut(self, loose: Mapping[int, Raw]) -> Iterator[dict[int, Raw]]:
        """Runs that have ended come first: their states no longer change, so their chunks never
        become thin."""
        runs = self._build.runs
        chunk: dict[int, Raw] = {}
        length = 0
        for place in sorted(loose, key=lambda place: (not runs[place].status.ended, place)):
            chunk[place] = loose[place]
            length += len(as_text(loose[place]))
            if length > _CHUNK:
                yield chunk
                chunk, length = {}, 0
        if chunk:
            yield chunk

    def _part(self, text: str) -> str:
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        # A part that the stored head does not name may be removed, so it is written again.
        if name not in self._before.head.names():
            self._texts[name] = text
        self._lengths[name] = len(text)
        return name


def _same_specs(runs: Sequence[RunState], others: Sequence[RunState]) -> bool:
    return len(runs) == len(others) and all(
        run.spec is other.spec for run, other in zip(runs, others, strict=True)
    )
