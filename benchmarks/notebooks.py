"""Short notebooks through `mlgate run` and other runners, side by side in one run.

    make bench [NOTEBOOKS=12]

Every runner uses the same interpreter, and so the same packages. CPU seconds are those of all
processes that a runner started: this one adopts and reaps what is left behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import nbformat

BIN = Path(sys.executable).parent
CORES = 2
PR_SET_CHILD_SUBREAPER = 36

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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    # Detached processes come home here when their parents end, so that their CPU time counts.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notebooks = _make(folder / "repository", count)
        runners: dict[str, Callable[[], None]] = {
            "papermill, one after another": lambda: _papermill(notebooks, 1),
            f"papermill, {CORES} at a time": lambda: _papermill(notebooks, CORES),
            f"pytest --nbmake -n {CORES}": lambda: _nbmake(folder / "repository"),
            f"mlgate run --parallel {CORES}": lambda: _mlgate(folder),
        }
        rows = [(runner, *_measure(run)) for runner, run in runners.items()]
    best = min(wall for runner, wall, _ in rows if not runner.startswith("mlgate"))
    print(f"\n{count} short notebooks, {os.cpu_count()} cores\n")
    print(f"{'runner':<32} {'wall s':>8} {'CPU s':>8} {'wall / best other':>18}")
    for runner, wall, cpu in rows:
        print(f"{runner:<32} {wall:8.1f} {cpu:8.1f} {wall / best:18.2f}")


def _make(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = []
    for number in range(count):
        kind = list(CELLS)[number % len(CELLS)]
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in CELLS[kind]]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = folder / f"{kind}_{number:03}.ipynb"
        nbformat.write(notebook, path)
        paths.append(path)
    git = ["git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "notebooks"]):
        subprocess.run([*git, *command], check=True)
    return paths


def _measure(run: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    began, cpu = time.perf_counter(), _children_cpu()
    run()
    wall = time.perf_counter() - began
    _reap()
    return wall, _children_cpu() - cpu


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reap() -> None:
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _papermill(notebooks: list[Path], parallel: int) -> None:
    def one(path: Path) -> None:
        out = path.with_suffix(".out")
        _quietly([BIN / "papermill", path, out, "-k", "python3", "--no-progress-bar"])
        out.unlink()

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(one, notebooks))


def _nbmake(folder: Path) -> None:
    _quietly([BIN / "pytest", "--nbmake", "-n", CORES, "-p", "no:cacheprovider", folder])


def _mlgate(folder: Path) -> None:
    message = {
        "version": 1,
        "repository": {"url": str(folder / "repository")},
        "runs": [{"kind": "notebook", "path": "*.ipynb"}],
    }
    (folder / "message.json").write_text(json.dumps(message))
    output = folder / "output"
    _quietly(
        [BIN / "mlgate", "run", folder / "message.json", "--parallel", CORES, "--output", output],
        cwd=folder,
    )
    shutil.rmtree(output)


def _quietly(command: list[object], cwd: Path | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    main()
