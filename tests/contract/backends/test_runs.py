"""Every kind of run, with the same outcome and the same files on both backends.

Not here: a run whose packages are to be installed. The stand-in for Azure ML makes no environment;
the local backend's are tested in tests/contract/handlers/local_handler/test_environments.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlgate.orchestration.errors import UnusableEnvironment
from mlgate.orchestration.runs import Environment, Failure, FailureKind, Outcome, RunStatus, Task
from tests.contract.backends.conftest import Backend
from tests.contract.bench import Files

LOG = ("log.txt",)
NOTEBOOK = ("executed.html", "executed.ipynb", "log.txt")

BASH = shutil.which("bash")

KEEPS = """\
import json, pathlib, sys
here = pathlib.Path('outputs')
(here / 'metrics.json').write_text(json.dumps({'alpha': float(sys.argv[1]), 'good': True}))
(here / 'model ü #1.txt').write_text('model')
(here / 'empty').touch()
print('trained')
"""
KEEPS_IN_SHELL = "#!/bin/sh\necho a > outputs/a\n"
MLFLOW = """\
import json, os, pathlib, sqlite3
with sqlite3.connect(os.environ['MLFLOW_TRACKING_URI'].removeprefix('sqlite:///')) as store:
    store.execute('create table latest_metrics (key, value, timestamp, step, is_nan)')
    rows = [('loss', 0.5, 1, 1, 0), ('auc', 0.75, 1, 1, 0), ('odd', 0.0, 1, 1, 1)]
    store.executemany('insert into latest_metrics values (?, ?, ?, ?, ?)', rows)
pathlib.Path('outputs/metrics.json').write_text(json.dumps({'auc': 1, 'name': 'x'}))
"""
GLOBS = """\
import pathlib
for name in ('a.txt', 'b.csv', 'data/one.csv', 'data/deep/two.csv', 'outputs/deep/c.bin'):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(name)
"""
VARIABLES = """\
import os
assert os.environ['ALPHA'] == ' $HOME "${{inputs.x}}" \\'é\\n', os.environ['ALPHA']
assert os.environ['MLGATE_RUN_NAME'] == 'train'
assert os.environ['MLGATE_BUILD_ID'] == '4711'
assert len(os.environ['MLGATE_COMMIT']) == 40
assert not [name for name in os.environ if name.startswith('MLGATE_INPUT')]
"""
FALSE_EVIDENCE = """\
import pathlib
for name in ('log.txt', 'executed.ipynb', 'deep/log.txt'):
    pathlib.Path(name).parent.mkdir(exist_ok=True)
    pathlib.Path(name).write_text('false')
"""


@dataclass(frozen=True)
class Run:
    """A run and what comes of it; `outputs` and `evidence` are relative to the run's folder."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    script: str = ""
    cells: tuple[str, ...] | None = None  # of a notebook, in place of the script
    tags: Mapping[int, str] = field(default_factory=dict)
    files: Files = field(default_factory=dict)
    failure: tuple[FailureKind, str, int | None] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    evidence: tuple[str, ...] = LOG

    def task(self, backend: Backend) -> Task:
        if self.cells is None:
            return backend.task(self.script, files=self.files, **self.fields)
        return backend.notebook(
            *self.cells, name="train", tags=self.tags, files=self.files, **self.fields
        )


RUNS = {
    "a training passes": Run(
        {"command": "python script.py 0.5"},
        KEEPS,
        metrics={"alpha": 0.5},
        outputs=("outputs/empty", "outputs/metrics.json", "outputs/model ü #1.txt"),
    ),
    "a notebook passes": Run(
        {
            "parameters": {
                "sample": 120,
                "name": "it's ${{x}}",
                "nothing": None,
                "deep": {"a": [1.5]},
            }
        },
        cells=(
            "sample = name = nothing = deep = 0",
            "assert (sample, name, nothing, deep) == (120, \"it's ${{x}}\", None, {'a': [1.5]})",
            "open('outputs/a', 'w').close()",
        ),
        tags={1: "parameters"},
        outputs=("outputs/a",),
        evidence=NOTEBOOK,
    ),
    "a cell fails": Run(
        cells=("open('outputs/a', 'w').close()", "{}['amount']"),
        failure=(FailureKind.CODE, "KeyError: 'amount'", 2),
        outputs=("outputs/a",),
        evidence=NOTEBOOK,
    ),
    "a cell takes too long": Run(
        {"cell_timeout_seconds": 0.5},
        cells=("x = 1", "import time; time.sleep(600)"),
        failure=(FailureKind.TIMEOUT, "cell 2 was not finished after 0.5 seconds", 2),
        evidence=NOTEBOOK,
    ),
    "a cell exits without fault": Run(
        cells=("import sys; sys.exit(0)", "1 / 0"),
        warnings=("cell 1 ended the notebook early; not run: 2",),
        evidence=NOTEBOOK,
    ),
    "a cell exits with a fault": Run(
        cells=("import sys; sys.exit(3)",),
        failure=(FailureKind.CODE, "SystemExit: 3", 1),
        evidence=NOTEBOOK,
    ),
    "a kernel that is not known": Run(
        {"kernel": "my-env", "outputs": ("*.txt",)},
        cells=("open('a.txt', 'w').close()",),
        warnings=("the kernel `my-env` is not known here: `python3` was used",),
        outputs=("a.txt",),
        evidence=NOTEBOOK,
    ),
    "a script of the repository": Run(
        {"directory": "deep", "command": "./train.sh && ../other"},
        files={
            "deep/train.sh": "#!/bin/sh\ntest -d outputs\n",
            "other": KEEPS_IN_SHELL,
        },
        outputs=("outputs/a",),
    ),
    "a training fails": Run(
        script="raise ValueError('no good')",
        failure=(FailureKind.CODE, "ValueError: no good", None),
    ),
    "a training exits without fault": Run(script="import sys; sys.exit(0)"),
    "a training exits with a fault": Run(
        script="import sys; sys.exit(3)",
        failure=(FailureKind.CODE, "the command exited with code 3", None),
    ),
    "a training takes too long": Run(
        {"command": "touch outputs/a; sleep 600", "timeout_minutes": 0.1},
        failure=(FailureKind.TIMEOUT, "The run exceeded its limit of 0.1 minutes.", None),
        outputs=("outputs/a",),
    ),
    "no such notebook": Run(
        {"path": "nb/missing.ipynb"},
        cells=(),
        failure=(FailureKind.INVALID, "there is no notebook missing.ipynb here", None),
    ),
    "no such working directory": Run(
        {"directory": "nowhere"},
        failure=(FailureKind.INVALID, "there is no working directory nowhere here", None),
    ),
    "no such program": Run(
        {"command": "no-such-program --now"},
        failure=(
            FailureKind.DEPENDENCY,
            f"{BASH}: line 1: no-such-program: command not found",
            None,
        ),
    ),
    "no such data": Run(
        script="open('sales.csv')",
        failure=(
            FailureKind.DATA,
            "FileNotFoundError: [Errno 2] No such file or directory: 'sales.csv'",
            None,
        ),
    ),
    "no such package": Run(
        script="import nowhere_to_be_found",
        failure=(
            FailureKind.DEPENDENCY,
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
            None,
        ),
    ),
    "metrics of both kinds": Run(
        script=MLFLOW,
        metrics={"loss": 0.5, "auc": 1.0},
        outputs=("outputs/metrics.json",),
        warnings=(
            "not a number in outputs/metrics.json: name",
            "the metric `odd` is left out: it is nan, not a finite number",
        ),
    ),
    "outputs of a nested directory": Run(
        {
            "directory": "deep/er",
            "command": "python ../../script.py",
            "outputs": ("*.txt", "data/**/*.csv", "none/*", "../*"),
        },
        script=GLOBS,
        files={"deep/er/there.txt": "as committed"},
        outputs=("a.txt", "data/deep/two.csv", "data/one.csv", "outputs/deep/c.bin", "there.txt"),
        warnings=(
            "outputs: no file matches `none/*`",
            "outputs: `../*` leads out of the working directory",
        ),
    ),
    "variables": Run(
        {
            "environment_variables": {
                "ALPHA": ' $HOME "${{inputs.x}}" \'é\n',
                "MLGATE_RUN_NAME": "false",
                "mlgate_task": "false",
                "A=B": "x",
            }
        },
        script=VARIABLES,
        warnings=(
            "The environment variable 'A=B' was left out: the name is reserved or invalid.",
            "The environment variable 'MLGATE_RUN_NAME' was left out: the name is reserved or "
            "invalid.",
            "The environment variable 'mlgate_task' was left out: the name is reserved or invalid.",
        ),
    ),
    "a command with what a shell and Azure ML would read": Run(
        {"command": "test '${{inputs.x}} $(false)' = \"\\${{inputs.x}} \\$(false)\" && echo `true`"}
    ),
    "no such requirements": Run(
        {"environment": Environment(requirements="missing.txt")},
        failure=(
            FailureKind.ENVIRONMENT,
            "There is no file missing.txt in the repository.",
            None,
        ),
    ),
    "requirements that are no text": Run(
        {"environment": Environment(requirements="requirements.txt")},
        files={"requirements.txt": b"rich \xff"},
        failure=(
            FailureKind.ENVIRONMENT,
            "requirements.txt is not UTF-8 text: save it as UTF-8.",
            None,
        ),
    ),
    "a conda file without dependencies": Run(
        {"environment": Environment(conda_file="conda.yaml")},
        files={"conda.yaml": "channels: [conda-forge]\n"},
        failure=(FailureKind.ENVIRONMENT, "conda.yaml has no list of dependencies.", None),
    ),
    "an outside conda file": Run(
        {"environment": Environment(conda_file="../conda.yaml")},
        failure=(
            FailureKind.ENVIRONMENT,
            "The environment file ../conda.yaml is outside the repository's folder.",
            None,
        ),
    ),
    "kept files with the names of evidence": Run(
        {"outputs": ("*.txt", "*.ipynb", "deep/*")},
        script=FALSE_EVIDENCE,
        outputs=("deep/log.txt",),
        warnings=(
            "2 files were left out because reports use these names: executed.ipynb, log.txt.",
        ),
    ),
    "kept files in a folder with the name of evidence": Run(
        {"outputs": ("log.txt/*",)},
        script="import os; os.mkdir('log.txt'); open('log.txt/a', 'w').close()",
        warnings=("1 file was left out because reports use these names: log.txt/a.",),
    ),
    "a kept file whose name is no text": Run(
        {"outputs": ("a*",)},
        script="open('a\\nb', 'w').close()",
        warnings=("1 file was left out because their names are not text: 'a\\nb'.",),
    ),
}


@pytest.mark.parametrize("run", [pytest.param(run, id=name) for name, run in RUNS.items()])
def test_the_outcome_of(run: Run, backend: Backend) -> None:
    task = run.task(backend)
    outcome = outcome_of(backend, task)
    seen = None
    if outcome.failure is not None:
        seen = (outcome.failure.kind, outcome.failure.message, outcome.failure.cell)
    assert seen == run.failure, backend.log(task)
    assert outcome.status is (RunStatus.FAILED if run.failure else RunStatus.SUCCEEDED)
    assert outcome.metrics == run.metrics
    assert outcome.warnings == run.warnings
    assert outcome.outputs == tuple(f"runs/train/{path}" for path in run.outputs)
    left = [f"runs/train/{path}" for path in (*run.outputs, *run.evidence)]
    assert backend.files.list(backend.build) == sorted(left)


def outcome_of(backend: Backend, task: Task) -> Outcome:
    """As the conductor comes by it: a backend may also refuse a run's environment at once."""
    try:
        return backend.run(task)
    except UnusableEnvironment as error:
        backend.files.write(backend.build, f"runs/{task.spec.name}/log.txt", b"")
        return Outcome(RunStatus.FAILED, failure=Failure(FailureKind.ENVIRONMENT, str(error)))
