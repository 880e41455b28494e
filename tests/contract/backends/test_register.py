"""Sentence 10 of BackendPort's contract, held by both backends."""

from __future__ import annotations

from mlgate.orchestration.ports import Kept, Registration
from mlgate.orchestration.runs import RunStatus
from tests.contract.backends.conftest import Backend

KEEPS = "import pathlib\npathlib.Path('outputs/model.pkl').write_text('weights')\n"


def test_10_a_version_may_be_registered_twice_and_by_another_process(backend: Backend) -> None:
    task = backend.task(KEEPS)
    assert backend.run(task).status is RunStatus.SUCCEEDED
    kept = Kept(task.attempt, "outputs/model.pkl", "pickle")
    made = Registration("churn", "3f9a1c0b7d52", kept, tags={"mlgate.entry": "1"})
    for handler in (backend.handler, backend.handler, backend.another_handler()):
        handler.register(made)
