"""A strict stand-in for every test: what a strict service would mind fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.devops_handler import DevOpsHandler
from handlers.files_handler import FolderFiles
from mlgate.emulators.azure_devops import AzureDevOps
from tests.contract.handlers.devops_handler.published import BUILD, FINAL
from tests.contract.handlers.devops_handler.support import Scene, SteppedClock


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def server(clock: SteppedClock) -> Iterator[AzureDevOps]:
    with AzureDevOps(clock=clock.now) as running:
        yield running
    assert running.violations == []


@pytest.fixture
def scene(server: AzureDevOps, clock: SteppedClock) -> Scene:
    handler = DevOpsHandler(allowed=[server.collection_url], clock=clock)
    return Scene(server, clock, server.new_task(), handler)


@pytest.fixture
def files(tmp_path: Path) -> FolderFiles:
    kept = FolderFiles(lambda _: tmp_path)
    for name in "ab":
        for file in ("executed.html", "executed.ipynb", "log.txt"):
            kept.write(BUILD, f"runs/{name}/{file}", f"{file} of {name}".encode())
    for file in FINAL.files:
        kept.write(BUILD, file, file.encode())
    return kept
