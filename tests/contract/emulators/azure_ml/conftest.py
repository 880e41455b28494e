from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


@pytest.fixture
def server(azurite: Azurite) -> Iterator[AzureML]:
    with AzureML(azurite=azurite, page_size=2) as running:
        yield running
        assert running.violations == []


@pytest.fixture
def led_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[AzureML], MLClient]:
    """The unmodified SDK, led to a stand-in by variables alone."""

    def client(server: AzureML) -> MLClient:
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)  # the SDK looks for a git repository around it
        return MLClient(DefaultAzureCredential(), *server.workspace_name.split("/"))

    return client


@pytest.fixture
def client(server: AzureML, led_to: Callable[[AzureML], MLClient]) -> MLClient:
    return led_to(server)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of code with a folder in it."""
    folder = tmp_path / "src"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "words.txt").write_text("from the code\n")
    (folder / "train.py").write_text(
        "import pathlib, sys\n"
        "words = pathlib.Path('lib/words.txt').read_text()\n"
        "pathlib.Path(sys.argv[1], 'model.txt').write_text(words)\n"
        "pathlib.Path('outputs').mkdir()\n"
        "pathlib.Path('outputs', 'metrics.json').write_text('{}')\n"
        "print('trained')\n"
    )
    return folder
