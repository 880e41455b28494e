"""Measures `mlgate run` on this machine, each time beside a peer or the least possible work.

    make bench [NOTEBOOKS=60] [TRAININGS=200] [PAIRS=9]

All programs use the same interpreter, and so the same packages. The two of a pair are measured in
alternation, so that the machine is the same for both, and the median of each is shown; long ones
are measured fewer times. CPU seconds include all processes that a program started: this one adopts
and reaps what is left behind.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

BIN = Path(sys.executable).parent
CORES = 2
PR_SET_CHILD_SUBREAPER = 36
LONG = 3  # times that a long pair is measured

CELLS = {
    "statistics": [
        "import random\nimport statistics",
        "values = [random.gauss(0, 1) for _ in range(20_000)]",
        "print(statistics.mean(values), statistics.stdev(values))",
    ],
    "plot": [
        "import matplotlib.pyplot as plt\nimport numpy as np",
        "x = np.linspace(0, 10, 500)",
        "plt.plot(x, np.sin(x))\nplt.show()",
        "plt.hist(np.random.default_rng(1).normal(size=1000), bins=40)\nplt.show()",
    ],
    "text": [
        "import collections\nimport re",
        "text = 'the quick brown fox jumps over the lazy dog ' * 5000",
        "collections.Counter(re.findall(r'\\w+', text)).most_common(3)",
    ],
}


class Cost(NamedTuple):
    wall: float  # seconds
    cpu: float


class Pair(NamedTuple):
    """What is measured, and what it is compared with."""

    ours: str
    run: Callable[[], None]
    other: str
    beside: Callable[[], None]
    times: int


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--notebooks", type=int, default=60)
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=9)
    asked = parser.parse_args()
    # Adopt detached processes when their parents end, so that their CPU time counts.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; seconds\n")
    print(f"{'':<44} {'wall':>7} {'CPU':>7}   {'beside':<34} {'wall':>7} {'CPU':>7}  ratio of each")
    with tempfile.TemporaryDirectory() as name:
        for pair in _pairs(Path(name), asked.notebooks, asked.trainings, asked.pairs):
            costs = [(_cost(pair.run), _cost(pair.beside)) for _ in range(pair.times)]
            ours, other = (_median(each) for each in zip(*costs, strict=True))
            print(
                f"{pair.ours:<44} {ours.wall:7.2f} {ours.cpu:7.2f}   "
                f"{pair.other:<34} {other.wall:7.2f} {other.cpu:7.2f}  "
                f"{ours.wall / other.wall:.2f} {ours.cpu / other.cpu:.2f}",
                flush=True,
            )
    print(f"\nload {os.getloadavg()[0]:.1f}")


def _pairs(folder: Path, notebooks: int, trainings: int, times: int) -> list[Pair]:
    one, many = folder / "one", folder / "many"
    [notebook] = _repository(one, 1)
    _repository(many, notebooks)
    executed = folder / "executed.ipynb"
    imports = [sys.executable, "-c", "import azure.servicebus, pydantic"]
    command = [{"kind": "training", "name": f"t{n}", "command": "true"} for n in range(trainings)]
    glob = [{"kind": "notebook", "path": "*.ipynb"}]
    papermill = [BIN / "papermill", notebook, executed, "-k", "python3", "--no-progress-bar"]
    nbmake = [BIN / "pytest", "--nbmake", "-n", CORES, "-p", "no:cacheprovider", many]

    def ours(repository: Path, runs: Sequence[dict[str, Any]]) -> Callable[[], None]:
        return lambda: _mlgate(folder, repository, runs)

    def bare() -> None:
        for _ in range(trainings):
            _quietly(["bash", "-c", "true"])

    return [
        Pair("a trivial training", ours(one, command[:1]), "importing the queue's SDK",
             lambda: _quietly(imports), times),
        Pair("a notebook of one cell", ours(one, glob), "papermill", lambda: _quietly(papermill),
             times),
        Pair(f"{trainings} trivial trainings, {CORES} at a time", ours(one, command),
             "bash alone, one after another", bare, min(times, LONG)),
        Pair(f"{notebooks} short notebooks, {CORES} at a time", ours(many, glob),
             f"pytest --nbmake -n {CORES}", lambda: _quietly(nbmake), min(times, LONG)),
    ]  # fmt: skip


def _repository(folder: Path, count: int) -> list[Path]:
    """A repository with `count` notebooks; a single notebook has one cell."""
    folder.mkdir()
    paths = []
    for number in range(count):
        kind = list(CELLS)[number % len(CELLS)]
        notebook = nbformat.v4.new_notebook()
        cells = ["print(1 + 1)"] if count == 1 else CELLS[kind]
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = folder / f"{kind}_{number:03}.ipynb"
        nbformat.write(notebook, path)
        paths.append(path)
    git = ["git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "notebooks"]):
        subprocess.run([*git, *command], check=True)
    return paths


def _cost(run: Callable[[], None]) -> Cost:
    began, cpu = time.perf_counter(), _children_cpu()
    run()
    wall = time.perf_counter() - began
    _reap()
    return Cost(wall, _children_cpu() - cpu)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reap() -> None:
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _mlgate(folder: Path, repository: Path, runs: Sequence[dict[str, Any]]) -> None:
    message = {"version": 1, "repository": {"url": str(repository)}, "runs": runs}
    (folder / "message.json").write_text(json.dumps(message))
    output = folder / "output"
    command = [BIN / "mlgate", "run", folder / "message.json", "--parallel", CORES]
    _quietly([*command, "--output", output], cwd=folder)
    shutil.rmtree(output)


def _quietly(command: Sequence[object], cwd: Path | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    main()
