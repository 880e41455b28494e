"""How much memory a large build's reports and results take: what one of its notebooks does."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mlgate.emulators.azure_devops import Fault
from tests.contract.handlers.devops_handler.support import Scene
from tests.unit.orchestration.verdict.samples import code_cell, notebook, plot, png

MEBIBYTE = 1 << 20


def large_notebook() -> bytes:
    """8 MiB: plots of 5.5 MiB, 2 MiB of numbers, and text with an emoji, in 40 cells."""
    noise = random.Random(0)
    picture = plot(content=png() + noise.randbytes(1_400_000))
    chart = {"data": {"application/vnd.plotly.v1+json": [noise.random() for _ in range(100_000)]}}
    stream = {"output_type": "stream", "text": ["a line of text \N{ROCKET}\n"] * 40_000}
    cells = [code_cell(number) for number in range(1, 41)]
    cells[2] = code_cell(3, "failed")
    for cell, output in zip(cells[3:], [picture, picture, picture, chart, stream], strict=False):
        cell["outputs"].append(output)
    # As an executed notebook is written: with a single emoji its text takes four times the memory.
    return json.dumps(json.loads(notebook(*cells)), ensure_ascii=False).encode()


@pytest.mark.parametrize("runs", [10, pytest.param(500, marks=pytest.mark.slow)])
def test_a_build_of_many_large_notebooks_takes_the_memory_of_one(
    runs: int, scene: Scene, tmp_path: Path
) -> None:
    content = large_notebook()
    assert 8 * MEBIBYTE < len(content) < 9 * MEBIBYTE
    (tmp_path / "executed.ipynb").write_bytes(content)
    (tmp_path / "log.txt").write_bytes(b"x" * len(content))
    scene.server.faults.add("results.attach", Fault.answering(413), times=10_000)
    properties = json.dumps(scene.task.properties)
    module = "tests.contract.handlers.devops_handler.reporting_process"
    given = (str(tmp_path), str(runs), scene.server.collection_url, properties)
    ended = subprocess.run(
        [sys.executable, "-m", module, *given], stdout=subprocess.PIPE, text=True, check=True
    )
    sys.stdout.write(ended.stdout)
    peaks = dict(line.split() for line in ended.stdout.splitlines())
    assert list(peaks) == ["begin", "junit.xml", "report.html", "result.json", "published"]
    # All ten held would be 80 MiB more than one, which takes some 120 with the process itself.
    assert int(peaks["published"]) < 180 * MEBIBYTE
    [test_run] = scene.task.test_runs
    assert test_run.state == "Completed"
    assert len(test_run.results) == runs
    assert all(
        each.fields["stackTrace"].startswith("step(3)") for each in test_run.results.values()
    )
