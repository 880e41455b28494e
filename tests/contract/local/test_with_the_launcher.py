"""What only the local backend makes of a launcher: live cells, and a limit in seconds."""

from __future__ import annotations

import pytest

from mlgate.orchestration.runs import FailureKind, RunStatus
from tests.contract.local.conftest import Bench


@pytest.fixture
def real(bench: Bench) -> Bench:
    bench.handler = bench.new_handler(launcher=None, grace_seconds=20.0)
    return bench


def test_a_notebook_is_executed_and_its_cells_are_seen(real: Bench) -> None:
    task = real.notebook("x = 1", "print('x is', x)")
    assert real.run(task).status is RunStatus.SUCCEEDED
    seen = real.see(task)
    assert [cell.status for cell in seen.cells] == ["succeeded", "succeeded"]
    assert seen.cells_total == 2
    assert "x is 1" in real.left(task, "executed.ipynb")
    assert "x is 1" in real.left(task, "executed.html")


def test_a_notebook_that_takes_too_long_keeps_its_cells_so_far(real: Bench) -> None:
    task = real.notebook("print('the first cell')", real.waits(), timeout_minutes=0.15)
    real.begun(task)
    outcome = real.ended(task)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TIMEOUT
    assert not real.processes()
    assert "the first cell" in real.left(task, "executed.ipynb")
    assert "the first cell" in real.log(task)
