"""What the pipeline shows of real runs: the local backend, the worker and a strict stand-in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from handlers.files_handler import FolderFiles
from mlgate.emulators.azure_devops import TaskRecord
from mlgate.hosts.local_pipeline import LocalBuild, local_pipeline
from mlgate.hosts.local_queue import LocalQueue
from mlgate.hosts.settings import Settings
from tests.e2e.commands import PATIENCE, commit, notebook, processes_with

NAMES = ("one", "two", "three", "four", "five")
CELLS = 9
PLOT = (
    "import base64\n"
    "from IPython.display import Image, display\n"
    "display(Image(base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "YPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=='), format='png'))"
)
MOST_SECONDS = 5  # from a cell's end to its line


class Begin(Protocol):
    def __call__(
        self, repository: Path, message: dict[str, Any], *, parallel: int = 3
    ) -> LocalBuild: ...


@pytest.fixture
def begin(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Begin]:
    """Publishes a message for a repository; at the end the pipeline must have minded nothing."""
    files = FolderFiles(lambda _: tmp_path / "output")
    with ExitStack() as stack:

        def publish(repository: Path, message: dict[str, Any], *, parallel: int = 3) -> LocalBuild:
            settings = Settings.read(
                {
                    **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
                    "MLGATE_HOME": str(tmp_path / "home"),
                    "MLGATE_STATE": f"sqlite:{tmp_path}/home/state.db",
                    "MLGATE_ALLOWED_REPOSITORIES": str(repository),
                    "MLGATE_PARALLEL": str(parallel),
                }
            )
            whole = {"version": 1, "repository": {"url": str(repository)}, **message}
            queue = LocalQueue()
            return stack.enter_context(local_pipeline(settings, whole, 1, lambda _: files, queue))

        yield publish
    assert "a strict pipeline would mind" not in caplog.text


def steps(name: str, times: Path) -> list[str]:
    """The cells of a notebook, each of which notes when it ended; `three` fails in its seventh."""
    note = "with open({!r}, 'a') as f: f.write('{}: cell {}/{} %f\\n' % __import__('time').time())"
    cells = []
    for number in range(1, CELLS + 1):
        body = PLOT if number == 2 else f"value = {number}\n__import__('time').sleep(0.5)"
        end = note.format(str(times), name, number, CELLS)
        cells.append(f"{body}\n{end}")
    if name == "three":
        cells[6] += "\nraise ValueError('no such flower')"
    return cells


def test_five_notebooks_of_which_one_fails_are_shown_as_they_run(
    tmp_path: Path, repository: Path, begin: Begin
) -> None:
    """Percent, live lines, Tests tab, summary, variables, and exactly one completion."""
    times = tmp_path / "times.txt"
    for name in NAMES:
        notebook(repository / f"{name}.ipynb", *steps(name, times))
    commit(repository)
    local = begin(
        repository,
        {"build_id": "4711", "runs": [{"kind": "notebook", "path": f"{n}.ipynb"} for n in NAMES]},
        parallel=1,
    )
    records: list[TaskRecord] = []
    local.task.on_record = records.append
    assert local.wait(PATIENCE)

    record = local.task.record
    assert local.task.completions == ["failed"]
    assert list(record.percents) == sorted(record.percents)
    assert (record.percents[0], record.percents[-1]) == (0, 100)
    assert len(set(record.percents)) > 2 * len(NAMES), "more than one step for each run"
    assert {each.state for each in records} >= {"inProgress", "completed"}

    ended = dict(line.rsplit(" ", 1) for line in times.read_text().splitlines())
    assert len(ended) == 4 * CELLS + 7
    late = {}
    for cell, moment in ended.items():
        [line] = [line for line in local.task.feed if line.text.startswith(f"{cell} ")]
        ended_at = datetime.fromtimestamp(float(moment), UTC)
        late[cell] = (line.arrived_at - ended_at).total_seconds()
    assert max(late.values()) < MOST_SECONDS, late
    assert [line.text for line in local.task.feed if "three: cell 7/9 failed" in line.text]
    for line in local.task.feed:
        assert line.text in local.task.log

    [tests] = local.task.test_runs
    outcomes = {result.name: result.fields["outcome"] for result in tests.results.values()}
    assert outcomes == {name: "Failed" if name == "three" else "Passed" for name in NAMES}
    assert tests.state == "Completed"
    failed = tests.named("three")
    assert failed.fields["errorMessage"] == "cell 7: ValueError: no such flower"
    assert failed.fields["stackTrace"].startswith("value = 7")
    assert "ValueError: no such flower" in failed.fields["stackTrace"]
    for result in tests.results.values():
        assert b"data:image/png;base64" in result.attachments["executed.html"]
        assert set(result.attachments) == {"executed.html", "executed.ipynb", "log.txt"}

    kept = local.task.attachments
    [summary] = [content.decode() for (kind, _), content in kept.items() if kind == "Summary"]
    assert summary.startswith("# Failed: build 4711")
    assert "no such flower" in summary
    assert {name for kind, name in kept if kind == "FileAttachment"} == {
        "result.json",
        "report.html",
        "junit.xml",
    }
    variables = {name: each["value"] for name, each in record.variables.items()}
    assert (variables["verdict"], variables["runs.succeeded"]) == ("failed", "4")
    errors = [issue["message"] for issue in record.issues if issue["type"] == "error"]
    assert "three failed (code, cell 7): ValueError: no such flower" in errors


def test_a_canceled_pipeline_ends_its_runs_and_hears_nothing_more(
    tmp_path: Path, repository: Path, begin: Begin
) -> None:
    """Nobody tells the worker: it finds the record changed by itself."""
    mark = f"mark-{tmp_path.name}"
    notebook(repository / "long.ipynb", "1", "import time\ntime.sleep(300)")
    commit(repository)
    local = begin(
        repository,
        {
            "build_id": "4711",
            "defaults": {"environment_variables": {"MARK": mark}},
            "runs": [
                {"kind": "notebook", "path": "long.ipynb"},
                {"kind": "training", "name": "one", "command": "sleep 300 & sleep 300"},
                {"kind": "training", "name": "two", "command": "sleep 300"},
            ],
        },
    )
    wait_for(lambda: sum("started" in line.text for line in local.task.feed) == 3)
    wait_for(lambda: any("cell 1/2" in line.text for line in local.task.feed))
    local.task.cancel()
    canceled_at = time.monotonic()
    wait_for(lambda: not processes_with(mark))
    assert time.monotonic() - canceled_at < 60
    shown = (list(local.task.feed), local.task.record)
    assert local.wait(PATIENCE)

    assert (list(local.task.feed), local.task.record) == shown
    assert local.task.completions == []
    assert local.task.attachments == {}
    assert [run.state for run in local.task.test_runs] == ["Aborted"]
    build = local.state()
    assert build is not None
    assert {run.status for run in build.runs} == {"canceled"}


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
