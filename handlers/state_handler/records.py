"""A build as it is stored: a small head, which each save replaces, and parts, which never change.

The head is JSON. `build` has the short fields, and `parts` names the part of each long one. `runs`
has the states of the runs that changed lately, by their place. `chunks` names the parts with the
other states; if several have a run, the last one counts. The runs' specs are a field of their own,
`specs`. Default values are left out everywhere.

A part is named by the hash of its content. It is written before the head that names it, and
removed only after the build has ended. From then on heads are `sealed`, and no parts are written. A
new build's head has no parts, so a build that is never created leaves none.

Fields of a build or a run that only another version knows are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers.state_handler.fields import Fields, Raw
from mlgate.orchestration.builds import Build, Phase, RunState

FORMAT = 1
SPECS = "specs"
BUILD = Fields(Build, without=["runs"])
RUN = Fields(RunState, without=["spec"])
KNOWN = frozenset((*BUILD.names, SPECS))


class UnreadableError(Exception):
    """This version of mlgate cannot read the record."""


@dataclass(frozen=True, slots=True)
class Head:
    """`chunks` has the contents of these parts, by name and in order."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[int, Raw] = field(default_factory=dict)
    chunks: Mapping[str, Mapping[int, Raw]] = field(default_factory=dict)
    sealed: bool = False
    parted: bool = False  # there are, or were, parts

    def names(self) -> frozenset[str]:
        """The parts that the head names."""
        return frozenset(self.parts.values()) | self.chunks.keys()

    def states(self) -> dict[int, Raw]:
        """The state of each run that differs from the default."""
        found: dict[int, Raw] = {}
        for chunk in self.chunks.values():
            found.update(chunk)
        found.update(self.runs)
        return found

    def text(self) -> str:
        said: dict[str, Any] = {"format": FORMAT, "build": self.fields}
        said |= {
            name: value
            for name, value in (
                ("parts", self.parts),
                ("runs", self.runs),
                ("chunks", list(self.chunks)),
                ("sealed", self.sealed),
                ("parted", self.parted),
            )
            if value
        }
        return as_text(said)


@dataclass(frozen=True, slots=True)
class Record:
    """A build, and how it is stored. `lengths`: of its parts by name, and its head by ""."""

    build: Build
    head: Head
    lengths: Mapping[str, int]

    @property
    def size(self) -> int:
        return sum(self.lengths.values())


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a head alone says of its build. `names`: its parts."""

    open: bool
    received_at: datetime
    names: frozenset[str]
    parted: bool


def as_text(raw: object) -> str:
    return json.dumps(raw, separators=(",", ":"))


def read_head(head: bytes | str) -> dict[str, Any]:
    try:
        raw = json.loads(head)
    except ValueError as error:
        raise UnreadableError(str(error)) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UnreadableError("its format is unknown")
    return raw


def glimpse(head: bytes | str) -> Glimpse | None:
    """None for a record that this version cannot read."""
    try:
        raw = read_head(head)
        said = raw["build"]
        received_at = BUILD.from_json("received_at", said["received_at"])
        phase = BUILD.from_json("phase", said.get("phase", Phase.RECEIVED))
        names = frozenset((*raw.get("parts", {}).values(), *raw.get("chunks", [])))
    except (UnreadableError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return Glimpse(phase is not Phase.COMPLETED, received_at, names, bool(raw.get("parted")))
