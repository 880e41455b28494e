"""A host that stages and submits, in a process of its own that can be killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

# Loaded once, by the process that all of them are forked from.
import handlers.azureml_handler.storage
import handlers.azureml_handler.submission  # noqa: F401 -- as above
from mlgate.orchestration.runs import Task
from tests.contract.handlers.azureml_handler.support import COMMIT, REPOSITORY, new_handler, use
from tests.contract.twins import FolderCheckout, MovableClock


def submit_all(
    environment: Mapping[str, str], workspace: str, folder: Path, tasks: Sequence[Task]
) -> None:
    use(environment)
    handler = new_handler(workspace, MovableClock())
    stage_and_submit(handler, folder, tasks)
    handler.close()


def stage_and_submit(handler: object, folder: Path, tasks: Sequence[Task]) -> str:
    from handlers.azureml_handler.handler import AzureMLHandler

    assert isinstance(handler, AzureMLHandler)
    word = handler.stage(FolderCheckout(COMMIT, folder), REPOSITORY, [task.spec for task in tasks])
    for task in tasks:
        handler.submit(replace(task, snapshot=word))
    return word
