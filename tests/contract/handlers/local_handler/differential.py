"""Notebooks of other people's, executed cold and warm, by `python -m` and this module's name.

Each is executed twice cold, so that what differs by itself (random numbers, times) is known, then
twice warm, with the libraries that it begins with imported ahead; each goes on after a cell that
raises. A warm start must show, leave and be what a cold one is. Such notebooks are not part of this
repository: give those of a checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlgate.orchestration.runs import Outcome, RunKind
from tests.contract.handlers.local_handler.conftest import Bench, warm_up
from tests.contract.handlers.local_handler.test_warm_equals_cold import plain
from tests.contract.handlers.local_handler.test_with_the_launcher import written
from tests.contract.handlers.local_handler.warmth import TELL, was_warm

HOW = ("cold", "cold", "warm", "warm")
# Which modules were imported before the kernel was forked, and so are not among the collector's.
AHEAD = (
    "import gc as _gc, sys as _sys\n"
    "_own = set(map(id, _gc.get_objects()))\n"
    "_found = {n.partition('.')[0] for n, m in _sys.modules.items() if id(vars(m)) not in _own}\n"
    "open('../ahead', 'w').write('\\n'.join(sorted(_found)))"
)
# Of what a kernel itself imports, those that are not Python's.
KERNELS = frozenset(sys.stdlib_module_names) | {
    "IPython",
    "ipykernel",
    "zmq",
    "tornado",
    "traitlets",
}
TIMES = re.compile(r"\d+(\.\d+)?(e-?\d+)? ?([nµmu]?s|seconds|min)\b|\d\d:\d\d:\d\d(\.\d+)?")


@dataclass(frozen=True)
class Seen:
    """What came of one execution: each cell's outputs, the files, and the outcome."""

    cells: tuple[str, ...]
    files: Mapping[str, str]
    outcome: tuple[object, ...]
    ahead: frozenset[str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="differential", description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="an interpreter that has all"
    )
    options = parser.parse_args()
    compared = varying = different = 0
    for path in options.notebooks:
        seen = executed(path, options.python)
        steady = [a == b for a, b in zip(seen[0].cells, seen[1].cells, strict=True)]
        wrong = [
            number
            for number, same in enumerate(steady)
            for again in seen[2:]
            if same and again.cells[number] != seen[0].cells[number]
        ]
        names = [name for name in seen[0].files if seen[0].files[name] == seen[1].files.get(name)]
        lost = [
            name
            for name in names
            for again in seen[2:]
            if again.files.get(name) != seen[0].files[name]
        ]
        outcomes = {each.outcome for each in seen}
        compared += sum(steady)
        varying += len(steady) - sum(steady)
        different += len(wrong) + len(lost) + len(outcomes) - 1
        print(  # noqa: T201 -- its figures
            f"{path.name}: {sum(steady)} cells and {len(names)} files the same, "
            f"{len(steady) - sum(steady)} differ by themselves; cold and warm differ in cells "
            f"{sorted(set(wrong))}, files {sorted(set(lost))}, outcomes {len(outcomes) - 1}; "
            f"{len(seen[3].ahead - KERNELS)} packages were imported ahead",
            flush=True,
        )
        for number in sorted(set(wrong))[:3]:
            print(*(each.cells[number][:300] for each in seen), sep="\n    ---\n")  # noqa: T201 -- a report for people
    print(  # noqa: T201 -- a report for people
        f"{len(options.notebooks)} notebooks, {compared} cells compared, {varying} that differ by "
        f"themselves, {different} differences"
    )
    return 1 if different else 0


def executed(path: Path, python: Path) -> list[Seen]:
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        bench = Bench(Path(folder))
        try:
            return [once(bench, python, path, number, how) for number, how in enumerate(HOW, 1)]
        finally:
            bench.close()


def once(bench: Bench, python: Path, path: Path, number: int, how: str) -> Seen:
    if how == "cold":  # a handler that has not been asked before
        bench.handler = bench.new_handler(launcher=None, grace_seconds=20.0, python=python)
    if number == HOW.index("warm") + 1:
        warm_up(bench)
    files: dict[str, str | bytes] = {
        f"nb/{each.relative_to(path.parent)}": each.read_bytes()
        for each in sorted(path.parent.rglob("*"))
        if each.is_file() and each.suffix != ".ipynb" and each.stat().st_size < 1 << 20
    }
    files["nb/a.ipynb"] = json.dumps(going_on(json.loads(path.read_text("utf-8"))))
    task = bench.task(
        name="a",
        files=files,
        number=number,
        kind=RunKind.NOTEBOOK,
        path="nb/a.ipynb",
        directory="nb",
        command=None,
        outputs=("**",),
    )
    # One of several, which share the cores: libraries then start no threads as they are imported.
    outcome = bench.run(task := replace(task, of=8))
    assert was_warm(bench, task) is (how == "warm"), (path, number)
    if how == "warm":
        warm_up(bench)
    notebook = json.loads(written(bench, "executed.ipynb"))
    cells = tuple(
        TIMES.sub("-", plain(json.dumps(in_order(cell["outputs"]), sort_keys=True), task))
        for cell in notebook["cells"][:-1]
        if cell["cell_type"] == "code"
    )
    tree = bench.attempt_folder(task) / "tree" / "nb"
    left = {
        name: hashlib.sha256((tree / name).read_bytes()).hexdigest()
        for name in outcome.outputs
        if (tree / name).is_file()
    }
    ahead = frozenset((tree.parent / "ahead").read_text().split("\n"))
    return Seen(cells, left, summary(outcome), ahead)


def in_order(outputs: Sequence[dict[str, Any]]) -> list[object]:
    """The outputs, and what was printed: which stream a kernel sends first is a matter of time."""
    printed = {"stdout": "", "stderr": ""}
    others: list[object] = []
    for output in outputs:
        if output["output_type"] == "stream":
            printed[output["name"]] += "".join(output["text"])
        else:
            others.append(output)
    return [printed, *others]


def going_on(notebook: dict[str, Any]) -> dict[str, Any]:
    """It goes on after each cell that raises, and at its end tells how its kernel came to be."""
    last: dict[str, Any] = {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    cells: Sequence[dict[str, Any]] = [*notebook["cells"], {**last, "source": f"{TELL}\n{AHEAD}"}]
    for cell in cells:
        cell.pop("id", None)
        if cell["cell_type"] == "code":
            cell["metadata"] = {"tags": ["raises-exception"]}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": kernel, "cells": list(cells)}


def summary(outcome: Outcome) -> tuple[object, ...]:
    kind = None if outcome.failure is None else (outcome.failure.kind, outcome.failure.cell)
    return outcome.status, kind, tuple(outcome.warnings), tuple(sorted(outcome.metrics.items()))


if __name__ == "__main__":
    sys.exit(main())
