"""The kernel's word that it killed for want of memory decides what a sudden death was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handlers.local_handler import outcomes
from handlers.local_handler.attempts import AttemptFolder, Ended
from mlgate.orchestration.runs import Failure, FailureKind


def failure(folder: Path, ended: Ended, record: object = None) -> Failure:
    (folder / "output").mkdir()
    (folder / "output" / "outcome.json").write_text(json.dumps(record))
    found = outcomes.outcome(AttemptFolder(folder), ended).failure
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kills", "kind"), [(0, FailureKind.KERNEL_DIED), (1, FailureKind.OUT_OF_MEMORY)]
)
def test_a_dead_kernel(tmp_path: Path, kills: int, kind: FailureKind) -> None:
    told = {"kind": "kernel_died", "message": "The kernel died.", "cell": 3}
    record = {"status": "failed", "failure": told}
    found = failure(tmp_path, Ended(None, exit_code=1, memory_kills=kills), record)
    assert (found.kind, found.cell) == (kind, 3)


@pytest.mark.parametrize(
    ("kills", "kind"), [(0, FailureKind.INFRASTRUCTURE), (1, FailureKind.OUT_OF_MEMORY)]
)
def test_a_killed_launcher(tmp_path: Path, kills: int, kind: FailureKind) -> None:
    assert failure(tmp_path, Ended(None, exit_code=-9, memory_kills=kills)).kind is kind


def test_another_failure_stays_what_it_is_whoever_was_killed_meanwhile(tmp_path: Path) -> None:
    record = {"status": "failed", "failure": {"kind": "code", "message": "ValueError"}}
    found = failure(tmp_path, Ended(None, exit_code=1, memory_kills=5), record)
    assert found.kind is FailureKind.CODE


def test_a_damaged_record_of_the_end_is_an_infrastructure_failure(tmp_path: Path) -> None:
    (tmp_path / "ended.json").write_text("{")
    ended = AttemptFolder(tmp_path).ended()
    assert ended is not None
    assert failure(tmp_path, ended).kind is FailureKind.INFRASTRUCTURE
