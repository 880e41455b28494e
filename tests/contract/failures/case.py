"""What a labelled failure is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

BOTH = ("cell", "script")
SCRIPT = ("script",)
CELL = ("cell",)

# What draws the traceback of a script: see `judge.py`.
DRAWINGS = ("rich", "rich with locals", "behind a bar", "ipython", "typer")


@dataclass(frozen=True)
class Case:
    """Python that fails, and the failure kind that is right.

    `places` are where it is tried: as a notebook's cell, as a script. `files` lie beside it,
    `needs` are modules without which it cannot be tried, `drawn` is one of `DRAWINGS`, `command`
    is what is run instead of the script. In sources and files, `{url}` is a server on loopback
    (see `servers.py`), and at `{refused}` there is none.
    """

    label: str
    source: str
    places: tuple[str, ...] = BOTH
    files: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    drawn: str = ""
    command: str = ""

    @property
    def name(self) -> str:
        lines = (self.source or self.command).strip().splitlines()
        shown = lines[-1] if len(lines) > 1 else lines[0]
        return f"{self.label}: {self.drawn or 'plain'}: {shown.strip()[:90]}"


def case(
    label: str,
    source: str = "",
    *needs: str,
    places: tuple[str, ...] = BOTH,
    files: Mapping[str, str] | None = None,
    drawn: str = "",
    command: str = "",
) -> Case:
    source = textwrap.dedent(source).strip()
    places = SCRIPT if drawn or command else places
    return Case(label, source, places, dict(files or {}), needs, drawn, command)
