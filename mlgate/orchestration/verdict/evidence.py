"""What a run left beside its outputs, and how a report reads it.

Reports read executed notebooks one by one, through a function they are given: five hundred of
them do not fit into memory, and a report need not know where they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from mlgate.orchestration.builds import Build, RunState
from mlgate.orchestration.ports import BuildFiles

# The executed notebook of a run; None when there is none, or none that can be read as a whole.
Read: TypeAlias = Callable[[RunState], bytes | None]

LOG, PAGE, NOTEBOOK = "log.txt", "executed.html", "executed.ipynb"


def path_of(run: RunState, name: str) -> str:
    return f"runs/{run.spec.name}/{name}"


def left(run: RunState, name: str) -> str | None:
    """The path of that file, if this attempt left one: another attempt's does not count."""
    path = path_of(run, name)
    return path if path in run.evidence else None


def listing(run: RunState) -> list[str]:
    """The paths of the run's files among the build's files."""
    return sorted({*run.outputs, *run.evidence})


def notebooks_in(files: BuildFiles, build: Build) -> Read:
    """Reads from the build's files what the runs report that they left."""
    key = build.key

    def read(run: RunState) -> bytes | None:
        path = left(run, NOTEBOOK)
        return None if path is None else files.read(key, path)

    return read


def no_notebooks(run: RunState) -> None:
    """For a report without notebooks, after one with them could not be made."""
