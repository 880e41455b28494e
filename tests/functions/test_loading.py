"""Microsoft's worker loads the functions, or says at once why they cannot be used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functions.conftest import left_by_funcignore
from tests.functions.host import QUEUE_FUNCTION, TIMER_FUNCTION, FunctionsHost

ROOT = Path(__file__).parents[2]
FINE = {
    "PATH": "/nowhere",  # stock images have no git
    "serviceBusConnectionString": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=k;"
    "SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true",
    "serviceBusQueueName": "q",
    "MLGATE_BACKEND": "azureml",
    "MLGATE_STATE": "https://account.blob.core.windows.net/state",
    "MLGATE_BUILDS": "https://account.blob.core.windows.net/builds",
}

Change = Callable[[Path], object]


@pytest.fixture
def fine(tmp_path: Path) -> dict[str, str]:
    return {**FINE, "MLGATE_HOME": str(tmp_path / "home")}


def test_only_what_runs_is_deployed() -> None:
    left = left_by_funcignore()
    assert {path.partition("/")[0] for path in left} == {
        "host.json",
        "requirements.txt",
        "LICENSE",
        QUEUE_FUNCTION,
        TIMER_FUNCTION,
        "handlers",
        "mlgate",
    }
    assert not [path for path in left if path.startswith("mlgate/emulators/")]


def test_both_functions_load(deployed: Path, tmp_path: Path, fine: dict[str, str]) -> None:
    with FunctionsHost(deployed, fine, tmp_path / "log") as host:
        assert {name: answer.ok for name, answer in host.loaded.items()} == {
            QUEUE_FUNCTION: True,
            TIMER_FUNCTION: True,
        }, host.loaded


def test_wrong_settings_are_told_when_the_functions_are_loaded(
    deployed: Path, tmp_path: Path, fine: dict[str, str]
) -> None:
    wrong = {
        "MLGATE_BACKEND": "azureml",
        "MLGATE_ALLOWED_BACKENDS": "azureml,local",
        "MLGATE_STATE": "sqlite:state.db",
        "MLGATE_ALLOWED_COLLECTIONS": "dev.azure.com/contoso",
    }
    with FunctionsHost(deployed, fine | wrong, tmp_path / "log") as host:
        answers = dict(host.loaded)
    for name in (QUEUE_FUNCTION, TIMER_FUNCTION):
        assert not answers[name].ok
        assert answers[name].message.startswith("SettingsError: ")
        told = answers[name].message.removeprefix("SettingsError: ").splitlines()
        remedies = dict(line.split(": ", 1) for line in told)
        assert set(remedies) == set(wrong) - {"MLGATE_BACKEND"}
        assert "set MLGATE_BACKEND=azureml" in remedies["MLGATE_ALLOWED_BACKENDS"]
        assert "the URL of a blob container" in remedies["MLGATE_STATE"]


@pytest.mark.parametrize("function", [QUEUE_FUNCTION, TIMER_FUNCTION])
def test_outside_a_worker_a_function_can_be_imported_without_any_settings(
    function: str, tmp_path: Path
) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {function}"
    subprocess.run([sys.executable, "-c", code], check=True, env={}, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_build_files_on_the_instance_are_warned_of(
    deployed: Path, tmp_path: Path, fine: dict[str, str]
) -> None:
    app = tmp_path / "app"
    shutil.copytree(deployed, app)
    del fine["MLGATE_BUILDS"]
    with FunctionsHost(app, fine, tmp_path / "log") as host:
        assert host.loaded[QUEUE_FUNCTION].ok
    assert "WARNING mlgate: MLGATE_BUILDS is not set" in (tmp_path / "log").read_text()


def without_entry_point(app: Path) -> None:
    file = app / QUEUE_FUNCTION / "__init__.py"
    file.write_text(file.read_text().replace("def main(", "def handle("))


def without_a_module(app: Path) -> None:
    (app / "mlgate" / "orchestration" / "engine" / "conductor.py").unlink()


def with_another_parameter(app: Path) -> None:
    file = app / QUEUE_FUNCTION / "__init__.py"
    file.write_text(file.read_text().replace("message: func.ServiceBusMessage", "mail: str"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_entry_point, "is not present in"),
        (without_a_module, "No module named 'mlgate.orchestration.engine.conductor'"),
        (with_another_parameter, "mail"),
    ],
)
def test_a_broken_app_is_not_loaded(
    deployed: Path, tmp_path: Path, fine: dict[str, str], change: Change, said: str
) -> None:
    app = tmp_path / "app"
    shutil.copytree(deployed, app)
    change(app)
    with FunctionsHost(app, fine, tmp_path / "log") as host:
        answer = host.loaded[QUEUE_FUNCTION]
    assert not answer.ok
    assert said in answer.message
