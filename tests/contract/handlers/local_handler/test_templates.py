"""Which templates there are, and when one is given up."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from handlers.local_handler.requirements import FOR_NOTEBOOKS
from handlers.local_handler.warm import LOG, begin
from mlgate.orchestration.runs import Environment, RunKind, RunStatus, Task
from tests.contract.bench import PATIENCE
from tests.contract.handlers.local_handler.conftest import Bench, known, settle, warm_up
from tests.contract.handlers.local_handler.test_supervision import exists
from tests.contract.handlers.local_handler.warmth import (
    LINUX_ALONE,
    ROOT,
    of_cells,
    process_of,
    told,
    was_warm,
)
from tests.support.processes import started

pytestmark = LINUX_ALONE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_template_that_does_not_answer_is_replaced(warm: Bench, number: signal.Signals) -> None:
    """The run that finds it silent is started as programs; where it has ended, by the next one."""
    template = process_of(known(warm)[0])
    os.kill(template, number)
    if number is signal.SIGKILL:
        warm.until(known(warm)[0].ended, "the template's end")
        warm_up(warm)  # the next one may take long to import, on a busy machine
    task = of_cells(warm)
    assert warm.run(task).status is RunStatus.SUCCEEDED
    assert was_warm(warm, task) is (number is signal.SIGKILL)
    assert not exists(template)
    warm.run(of_cells(warm, number=2))
    settle(warm)
    assert told(warm, "[1]", number=3) == [1]


def test_a_template_of_packages_that_changed_is_not_used(cold: Bench) -> None:
    """In an environment of its own, as other tests use templates of this one's packages."""
    own = cold.folder / "venv"
    venv.create(own)
    [packages] = own.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(f"{site.getsitepackages()[0]}\n")
    cold.handler = cold.new_handler(
        launcher=None, grace_seconds=20.0, python=own / "bin" / "python"
    )
    warm_up(cold)
    template = process_of(known(cold)[0])
    os.utime(packages)
    task = of_cells(cold)
    assert cold.run(task).status is RunStatus.SUCCEEDED
    assert not was_warm(cold, task)
    assert not exists(template)


@pytest.mark.parametrize("kind", [RunKind.NOTEBOOK, RunKind.TRAINING])
def test_one_that_was_begun_before_the_handler_forks_the_first_run(
    cold: Bench, kind: RunKind
) -> None:
    begun = begin(cold.home, kind)
    assert begun is not None
    assert not (cold.home / LOG).exists(), "nobody has asked it for a run"
    cold.handler = cold.new_handler(launcher=None, grace_seconds=20.0, begun=begun)
    settle(cold)
    if kind is RunKind.NOTEBOOK:
        task, how = of_cells(cold), b"template.main"
    else:
        # The parent of the command is its launcher.
        task, how = cold.task(command="cp /proc/$PPID/cmdline command"), b"template.commands"
    assert cold.run(task).status is RunStatus.SUCCEEDED
    [seen] = (cold.attempt_folder(task) / "tree").rglob("command")
    assert how in seen.read_bytes()
    assert (cold.home / LOG).exists()


def test_a_template_that_nobody_asks_ends_by_itself() -> None:
    code = (
        "import sys; sys.path[0] = sys.argv[1]; from handlers.local_handler import template; "
        "template.IDLE_SECONDS = 0.1; template.main({}, [], [], {})"
    )
    command = [sys.executable, "-c", code, str(ROOT)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as template:
        assert template.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_few_templates_are_kept_those_used_last(warm: Bench) -> None:
    oldest = process_of(known(warm)[0])
    for number in range(6):
        task = of_cells(warm, number=number + 1, environment_variables={"N": str(number // 2)})
        assert warm.run(task).status is RunStatus.SUCCEEDED
    assert len(known(warm)) == 3
    assert not exists(oldest)


def test_runs_of_an_environment_get_a_template_of_its_own(cold: Bench) -> None:
    """Also the next one of a run that has installed something, which is its own."""
    index = cold.folder / "index"
    index.mkdir()
    for name in (*FOR_NOTEBOOKS, "pip"):  # stand-ins: the host's are found by a `.pth` file
        put_wheel(index, name, metadata.version(name))
    put_wheel(index, "beside", "1.0", **{"beside.pth": site.getsitepackages()[0]})
    text = f"--no-index\n--find-links file://{index}\nbeside\n"

    def run(number: int, *cells: str) -> Task:
        task = of_cells(
            cold,
            *cells,
            number=number,
            more={"requirements.txt": text},
            environment=Environment(requirements="requirements.txt"),
        )
        outcome = cold.run(task)
        assert outcome.status is RunStatus.SUCCEEDED, outcome
        settle(cold)
        return task

    assert [was_warm(cold, run(number)) for number in (1, 2, 3)] == [False, False, True]
    packages = "next(pathlib.Path(sys.prefix).glob('lib/*/site-packages'))"
    spoils = run(5, "import sys, pathlib", f"{packages}.joinpath('m.py').touch()")
    assert was_warm(cold, spoils)
    checks = run(6, "import importlib.util", "assert importlib.util.find_spec('m') is None")
    assert was_warm(cold, checks)


def put_wheel(index: Path, name: str, version: str, **files: str) -> None:
    """A package of nothing but the files given."""
    info = f"{name}-{version}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = ""
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
