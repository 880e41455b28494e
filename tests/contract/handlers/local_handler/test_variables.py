"""What a run finds in its environment, and what it does not."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers.local_handler.variables import threads
from mlgate.orchestration.runs import Attempt, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import Bench

TELLS = (
    "import json, os, sys\n"
    "(OUTPUT / 'log.txt').write_text(json.dumps([dict(os.environ), sys.path]))\n"
)


def told(bench: Bench, task: Task) -> dict[str, Any]:
    bench.run(task)
    variables: dict[str, Any] = json.loads(bench.log(task))[0]
    return variables


def test_the_promised_variables_are_there(bench: Bench) -> None:
    needed = bench.task("(OUTPUT / 'kept' / 'model.pkl').write_text('model')", name="train-base")
    bench.run(needed)
    variables = told(bench, bench.task(TELLS, inputs={"train-base": needed.attempt}))
    assert variables["MLGATE_BUILD_ID"] == "4711"
    assert variables["MLGATE_RUN_NAME"] == "train"
    assert Path(variables["MLGATE_INPUT_TRAIN_BASE"], "model.pkl").read_text() == "model"
    assert variables["MLFLOW_TRACKING_URI"].startswith(f"sqlite:////{str(bench.home)[1:]}/")


@pytest.mark.parametrize(
    ("cores", "at_once", "share"),
    [(8, 1, None), (8, 2, "4"), (8, 3, "2"), (2, 4, "1"), (1, 4, None)],
)
def test_runs_at_once_share_the_cores(cores: int, at_once: int, share: str | None) -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert threads(cores, at_once) == ({} if share is None else dict.fromkeys(names, share))


def test_a_run_of_many_gets_its_share_and_what_it_says_itself_wins(bench: Bench) -> None:
    cores = len(os.sched_getaffinity(0))
    bench.handler = bench.new_handler(parallel=cores)
    task = replace(bench.task(TELLS, environment_variables={"MKL_NUM_THREADS": "7"}), of=99)
    variables = told(bench, task)
    assert variables.get("OMP_NUM_THREADS") == (None if cores == 1 else "1")
    assert variables["MKL_NUM_THREADS"] == "7"
    alone = told(bench, bench.task(TELLS, name="alone"))
    assert "OMP_NUM_THREADS" not in alone


def test_the_folder_of_a_need_that_kept_nothing_is_there(bench: Bench) -> None:
    needed = bench.task(name="base")
    bench.run(needed)
    variables = told(bench, bench.task(TELLS, inputs={"base": needed.attempt}))
    assert not list(Path(variables["MLGATE_INPUT_BASE"]).iterdir())


def test_the_hosts_settings_and_tokens_are_not_passed_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "serviceBusConnectionString", "AZURE_CLIENT_SECRET", "MLGATE_GIT_CREDENTIALS",
        "GITHUB_TOKEN", "PYTHONPATH", "UV_PUBLISH_TOKEN", "UV_INDEX_OURS_PASSWORD",
    ):  # a row a line # fmt: skip
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("PIP_INDEX_URL", "http://index")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    task = bench.task(TELLS)
    variables = told(bench, task)
    assert "secret" not in variables.values()
    assert variables["HTTPS_PROXY"] == "http://proxy"
    assert variables["PIP_INDEX_URL"] == "http://index"
    assert variables["LC_ALL"] == "C.UTF-8"
    assert {"PATH", "HOME"} <= set(variables)
    expected = ["MLGATE_ATTEMPT", "MLGATE_BUILD_ID", "MLGATE_COMMIT", "MLGATE_RUN_NAME"]
    assert sorted(name for name in variables if name.startswith("MLGATE_")) == expected


def test_no_file_of_an_attempt_holds_what_was_passed_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hidden@proxy")
    task = bench.task()
    bench.run(task)
    files = [path for path in bench.attempt_folder(task).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"hidden" in path.read_bytes()]


def test_a_run_sets_variables_of_its_own_but_none_of_ours(bench: Bench) -> None:
    own = {"ALPHA": "0.5", "MLGATE_RUN_NAME": "fake", "A=B": "x"}
    task = bench.task(TELLS, environment_variables=own)
    variables = told(bench, task)
    assert variables["ALPHA"] == "0.5"
    assert variables["MLGATE_RUN_NAME"] == "train"
    said = bench.handler.collect(task, bench.files).warnings
    assert "'A=B'" in said[0]
    assert "'MLGATE_RUN_NAME'" in said[1]


def test_python_is_the_interpreter_of_the_environment(bench: Bench) -> None:
    script = "import shutil, sys\nfinish(warnings=[shutil.which('python') or '', sys.executable])"
    outcome = bench.run(bench.task(script))
    assert outcome.warnings[0] == str(Path(sys.executable).with_name("python"))
    assert outcome.warnings[1] == sys.executable


def test_the_sources_of_mlgate_are_not_on_the_path_of_a_run(bench: Bench) -> None:
    task = bench.task(TELLS)
    bench.run(task)
    path = json.loads(bench.log(task))[1]
    assert str(Path(__file__).parents[4]) not in path


def test_an_attempt_of_the_same_run_has_outputs_of_its_own(bench: Bench) -> None:
    first = bench.task("(OUTPUT / 'kept' / 'a').touch()\nfinish('canceled')")
    bench.run(first)
    second = bench.task(number=2)
    assert bench.run(second).outputs == ()
    assert second.attempt == Attempt(bench.build, "train", 2)
    assert bench.see(second).status is RunStatus.SUCCEEDED
