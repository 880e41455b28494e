"""Plans which imports the notebooks of a build share.

A notebook's first statements are usually imports. What several notebooks import first, in the same
order, a template imports once for all of them (see `branches`). Only imports count before which the
notebook does nothing else: they find the interpreter as the template has it.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from handlers.local_handler import trees
from mlgate.orchestration.runs import RunKind, RunSpec

_REMEMBERED = 8  # builds
_MOST_BYTES = 1 << 20  # of a notebook that is read for its imports
_MOST_IMPORTS = 100  # names, of packages and what is in them
_LONGEST = 100  # characters of a name
# Magics that neither execute code of the notebook nor change what an import finds.
_HARMLESS = re.compile(r"%(matplotlib|autoreload|load_ext\s+autoreload|config\s+InlineBackend)\b")


class SharedImports:
    """The imports that the notebooks of the builds staged last have in common."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Staged longest ago first; for each notebook, what it imports.
        self._builds: Mapping[Path, Mapping[str, tuple[str, ...]]] = {}
        self._counts: Mapping[tuple[str, ...], int] = {}  # notebooks that begin with these imports

    def add(self, snapshot: Path, runs: Sequence[RunSpec]) -> None:
        """Read the notebooks of a build from its files."""
        own: dict[str, set[str]] = {}
        made = {}
        for run in runs:
            if run.kind is RunKind.NOTEBOOK and run.path:
                if run.directory not in own:
                    own[run.directory] = _own_modules(snapshot / run.directory)
                made[run.path] = leading(snapshot / run.path, own[run.directory])
        with self._lock:
            others = {key: build for key, build in self._builds.items() if key != snapshot}
            kept = list(others.items())[1 - _REMEMBERED :]
            self._builds = dict([*kept, (snapshot, made)])
            self._counts = Counter(
                imports[:end]
                for build in self._builds.values()
                for imports in build.values()
                for end in range(1, len(imports) + 1)
            )

    def of(self, snapshot: Path, run: RunSpec) -> list[str]:
        """The names that the run's notebook imports first, as another notebook does."""
        builds, counts = self._builds, self._counts
        own = builds.get(snapshot, {}).get(run.path or "", ())
        shared = sum(counts.get(own[:end], 0) > 1 for end in range(1, len(own) + 1))
        return list(own[:shared])


def leading(notebook: Path, own: Set[str]) -> tuple[str, ...]:
    """The names of installed modules that a notebook imports before it does anything else.

    Both `a` and `a.b` with `import a.b`, which imports `a` first, and with `from a import b`, where
    `a.b` may be a module. `own` are the modules of the repository that the notebook can import.
    Empty for a file that is not a readable notebook.
    """
    names: dict[str, None] = {}
    with suppress(Exception):  # any content may fail in any way, and this only saves time
        if notebook.stat().st_size <= _MOST_BYTES:
            for name in _imported(json.loads(notebook.read_bytes()), own):
                if len(name) > _LONGEST or len(names) == _MOST_IMPORTS:
                    break
                names[name] = None
    return tuple(names)


def _own_modules(directory: Path) -> set[str]:
    try:
        return trees.modules_in(directory)
    except OSError:  # there is no such directory, which the run will say
        return set()


def _imported(notebook: Any, own: Set[str]) -> Iterator[str]:
    for source in _sources(notebook):
        for statement in _statements(source):
            named: list[tuple[str, list[str]]]
            if isinstance(statement, ast.Import):
                named = [(alias.name, []) for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                named = [(statement.module or "", [alias.name for alias in statement.names])]
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            else:
                return
            for module, members in named:
                top = module.partition(".")[0]
                if top in own:
                    return  # the repository's own code, which may do anything
                if top in sys.stdlib_module_names:
                    continue
                parts = module.split(".")
                yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
                yield from (f"{module}.{name}" for name in members if name != "*")


def _sources(notebook: Any) -> Iterator[str]:
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags") or ()
        if cell["cell_type"] == "code" and "skip-execution" not in tags:
            source = cell["source"]
            yield source if isinstance(source, str) else "".join(source)


def _statements(source: str) -> list[ast.stmt]:
    """The statements of a cell; one that does something for a cell that is not Python."""
    lines = [line for line in source.splitlines() if not _HARMLESS.match(line)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # executing the cell shows them
        try:
            return ast.parse("\n".join(lines)).body
        except SyntaxError:
            return [ast.Pass()]
