"""Each sentence of BackendPort's contract that is not one backend's own, held by both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.runs import Attempt, FailureKind, RunStatus, Task
from tests.contract.backends.conftest import Backend, OnAzureML, in_every_workspace
from tests.contract.bench import FOREVER


def counting(backend: Backend) -> str:
    """A script that leaves a mark for each time it is executed."""
    return f"open({str(backend.folder / 'executions')!r}, 'a').write('x')"


def executions(backend: Backend) -> int:
    marks = backend.folder / "executions"
    return len(marks.read_text()) if marks.exists() else 0


def again(task: Task, name: str) -> Task:
    """Another run of the same commit."""
    attempt = replace(task.attempt, run=name)
    return replace(task, attempt=attempt, spec=replace(task.spec, name=name))


def test_1_staging_the_same_commit_again_gives_the_same_word(backend: Backend) -> None:
    files = {"a.txt": "a", "folder/--b.txt": "b"}
    assert backend.stage(files, commit="c" * 40) == backend.stage(files, commit="c" * 40)


def test_1_another_process_submits_what_was_staged(backend: Backend) -> None:
    task = backend.task()
    backend.handler = backend.another_handler()
    assert backend.run(task).status is RunStatus.SUCCEEDED


@in_every_workspace
def test_1_a_run_finds_every_file_of_its_commit(backend: Backend) -> None:
    names = ["--help", "-rf", "a b.txt", "ü#?%41&+.txt", ".hidden", "deep/.amlignore", "*"]
    looks = (
        "import pathlib\n"
        f"for name in {names!r}:\n"
        "    assert pathlib.Path(name).read_text() == name, name\n"
    )
    task = backend.task(looks, files={name: name for name in names} | {".amlignore": "*\n"})
    assert backend.run(task).failure is None


def test_1_a_run_has_a_tree_of_its_own(backend: Backend) -> None:
    script = "assert open('data.txt').read() == 'data'\nopen('data.txt', 'a').write('!')\n"
    task = backend.task(script, files={"data.txt": "data"})
    assert backend.run(task).status is RunStatus.SUCCEEDED
    assert backend.run(again(task, "other")).status is RunStatus.SUCCEEDED


@in_every_workspace
def test_2_an_attempt_is_executed_once_however_often_it_is_submitted(backend: Backend) -> None:
    task = backend.task(counting(backend))
    handlers = [backend.handler, backend.another_handler()] * 2
    with ThreadPoolExecutor(4) as workers:
        assert all(workers.map(lambda handler: handler.submit(task), handlers))
    assert backend.ended(task).status is RunStatus.SUCCEEDED
    assert backend.another_handler().submit(task)
    assert backend.ended(task).status is RunStatus.SUCCEEDED
    assert executions(backend) == 1


def test_3_attempts_are_seen_from_their_start_to_their_end(backend: Backend) -> None:
    long = backend.task(backend.waits(), name="long")
    backend.begun(long)
    short = [backend.task("raise SystemExit(1)" * n, name=f"short-{n}") for n in range(3)]
    for task in short:
        assert backend.handler.submit(task)
    attempts = [task.attempt for task in (long, *short)]
    backend.until(lambda: all(backend.see(task).status.ended for task in short))
    seen = backend.handler.look(attempts)
    assert [seen[attempt].status for attempt in attempts] == [
        RunStatus.RUNNING, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.FAILED,
    ]  # a row a line # fmt: skip
    assert seen[long.attempt].started_at is not None
    outcome = backend.handler.collect(short[0], backend.files)
    assert outcome.started_at is not None
    assert outcome.finished_at is not None
    assert outcome.started_at <= outcome.finished_at <= backend.clock.now()


def test_3_one_that_should_be_there_and_is_not_is_seen_as_failed(backend: Backend) -> None:
    task = backend.task()
    assert backend.see(task).status is RunStatus.FAILED
    outcome = backend.handler.collect(task, backend.files)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert backend.log(task).strip() == outcome.failure.message


@in_every_workspace
def test_4_a_canceled_training_is_seen_as_canceled_however_often_it_is_asked(
    backend: Backend,
) -> None:
    keeps = "open('outputs/a', 'w').close()\n"
    task = backend.task(keeps + backend.waits())
    backend.begun(task)
    for _ in range(2):
        backend.handler.cancel([task.attempt])
    outcome = backend.ended(task)
    backend.handler.cancel([task.attempt])
    assert outcome.status is backend.see(task).status is RunStatus.CANCELED
    assert (outcome.failure, outcome.warnings) == (None, ())
    assert outcome.outputs == ("runs/train/outputs/a",)
    assert not backend.processes()


def test_4_a_canceled_notebook_keeps_its_cells_so_far(backend: Backend) -> None:
    task = backend.notebook("print('the first cell')", backend.waits())
    backend.begun(task)
    backend.handler.cancel([task.attempt])
    outcome = backend.ended(task)
    assert (outcome.status, outcome.failure) == (RunStatus.CANCELED, None)
    assert backend.files.list(backend.build) == [
        "runs/a/executed.html", "runs/a/executed.ipynb", "runs/a/log.txt",
    ]  # a row a line # fmt: skip
    for name in ("executed.ipynb", "log.txt"):
        assert "the first cell" in backend.left(task, name)
    assert not backend.processes()


def test_4_an_attempt_that_is_canceled_at_once_is_seen_as_canceled(backend: Backend) -> None:
    task = backend.task(FOREVER)
    assert backend.handler.submit(task)
    backend.handler.cancel([task.attempt])
    outcome = backend.ended(task)
    assert (outcome.status, outcome.failure) == (RunStatus.CANCELED, None)
    assert (outcome.outputs, outcome.warnings) == ((), ())
    assert backend.files.list(backend.build) == ["runs/train/log.txt"]


def test_4_a_job_that_waits_for_compute_is_canceled_before_it_begins(
    on_azure_ml: OnAzureML,
) -> None:
    first = on_azure_ml.task(FOREVER, name="first")
    others = [again(first, f"other-{number}") for number in range(4)]
    for task in (first, *others):
        on_azure_ml.handler.submit(task)
    on_azure_ml.until(lambda: on_azure_ml.see(others[2]).status is RunStatus.RUNNING)
    waiting = on_azure_ml.see(others[3])
    assert (waiting.status, waiting.activity) == (RunStatus.QUEUED, "waiting for compute")
    on_azure_ml.handler.cancel([others[3].attempt])
    outcome = on_azure_ml.ended(others[3])
    assert (outcome.status, outcome.failure) == (RunStatus.CANCELED, None)
    assert on_azure_ml.log(others[3]) == "The run was canceled before it began.\n"


def test_4_canceling_what_has_ended_changes_nothing(backend: Backend) -> None:
    task = backend.task()
    backend.run(task)
    backend.handler.cancel([task.attempt])
    assert backend.ended(task).status is RunStatus.SUCCEEDED


def test_4_canceling_what_was_never_submitted_starts_nothing(backend: Backend) -> None:
    task = backend.task(counting(backend))
    for _ in range(2):
        backend.handler.cancel([task.attempt])
    assert backend.see(task).status.ended
    assert executions(backend) == 0


def test_5_collecting_again_gives_the_same(backend: Backend) -> None:
    script = "open('outputs/a', 'w').write('a'); {}['x']"
    task = backend.task(script)
    first = backend.run(task)
    files = dict(backend.files.written)
    assert backend.handler.collect(task, backend.files) == first
    assert backend.another_handler().collect(task, backend.files) == first
    assert backend.files.written == files
    assert backend.left(task, "outputs/a") == "a"
    assert "KeyError: 'x'" in backend.log(task)


@in_every_workspace
def test_5_the_outcome_names_the_evidence_of_this_attempt(backend: Backend) -> None:
    outcome = backend.run(backend.notebook("print('here')"))
    assert outcome.evidence == (
        "runs/a/executed.html", "runs/a/executed.ipynb", "runs/a/log.txt",
    )  # a row a line # fmt: skip
    assert outcome.evidence == tuple(backend.files.list(backend.build))
    never = backend.handler.collect(backend.task(name="never"), backend.files)
    assert never.evidence == ("runs/never/log.txt",)


def test_5_without_files_the_outcome_alone_is_collected(backend: Backend) -> None:
    script = "open('outputs/a', 'w').write('a'); {}['x']"
    tasks = [backend.task(script), backend.task(name="never")]
    backend.run(tasks[0])
    for task in tasks:
        whole = backend.handler.collect(task, backend.files)
        backend.files.written.clear()
        alone = backend.another_handler().collect(task, None)
        assert alone == replace(whole, outputs=(), evidence=())
        assert alone.failure is not None
        assert backend.files.written == {}


def test_5_an_attempt_that_goes_on_is_not_collected(backend: Backend) -> None:
    task = backend.task(backend.waits())
    backend.begun(task)
    for files in (backend.files, None):
        with pytest.raises(Temporary, match="has not ended"):
            backend.handler.collect(task, files)
    assert backend.files.list(backend.build) == []


def test_5_a_run_that_kills_its_launcher_is_nobodys_fault_but_ours(backend: Backend) -> None:
    outcome = backend.run(backend.task("import os\nos.kill(os.getppid(), 9)"))
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE


def test_5_an_attempt_of_the_same_run_has_outputs_of_its_own(backend: Backend) -> None:
    keeps = "open('outputs/a', 'w').close(); 1 / 0"
    assert backend.run(backend.task(keeps)).outputs
    second = backend.task(number=2)
    assert backend.run(second).outputs == ()
    assert second.attempt == Attempt(backend.build, "train", 2)


def test_5_of_files_that_are_too_large_the_evidence_and_the_small_ones_are_taken_over(
    backend: Backend,
) -> None:
    script = (
        "for name, size in (('a', 70_000), ('b', 3), ('c', 40_000)):\n"
        "    open('outputs/' + name, 'w').write('x' * size)\n"
        "print('done')\n"
    )
    task = backend.task(script)
    backend.run(task)
    backend.files.written.clear()
    outcome = backend.another_handler(most_bytes=50_000).collect(task, backend.files)
    assert outcome.status is RunStatus.SUCCEEDED
    assert outcome.outputs == ("runs/train/outputs/b", "runs/train/outputs/c")
    files = [*outcome.outputs, "runs/train/log.txt"]
    assert backend.files.list(backend.build) == sorted(files)
    assert "done" in backend.log(task)
    [warning] = outcome.warnings
    assert "1 file was left out" in warning
    assert "outputs/a" in warning
    if isinstance(backend, OnAzureML):
        place = f"See mlgate/{task.attempt.id} in the workspace's datastore workspaceblobstore."
        assert warning.endswith(place)


def test_6_releasing_a_build_again_harms_no_other(backend: Backend) -> None:
    mine, other = backend.task(), backend.task(name="other")
    other = replace(other, attempt=replace(other.attempt, build="f" * 32))
    backend.run(mine)
    backend.run(other)
    for _ in range(2):
        backend.handler.release(backend.build)
    assert backend.ended(other).status is RunStatus.SUCCEEDED


@in_every_workspace
def test_a_run_finds_what_its_needs_kept(backend: Backend) -> None:
    keeps = "import os; os.makedirs('outputs/a b'); open('outputs/a b/model', 'w').write('{}')"
    needs = {
        "base-model": backend.task(keeps.format("m"), name="base-model", number=2),
        "other-base_2": backend.task(keeps.format("o"), name="other-base_2"),
        "nothing": backend.task(name="nothing"),
    }
    for task in needs.values():
        assert backend.handler.submit(task)
    for task in needs.values():
        assert backend.ended(task).status is RunStatus.SUCCEEDED
    looks = (
        "import os, pathlib\n"
        "base, other, nothing = (pathlib.Path(os.environ['MLGATE_INPUT_' + name])\n"
        "    for name in ('BASE_MODEL', 'OTHER_BASE_2', 'NOTHING'))\n"
        "assert (base / 'outputs/a b/model').read_text() == 'm'\n"
        "assert (other / 'outputs/a b/model').read_text() == 'o'\n"
        "assert list(nothing.iterdir()) == []\n"
    )
    inputs = {name: task.attempt for name, task in needs.items()}
    assert backend.run(backend.task(looks, inputs=inputs)).failure is None


def test_so_does_a_notebook(backend: Backend) -> None:
    base = backend.task("open('outputs/model', 'w').write('m')", name="base")
    assert backend.run(base).status is RunStatus.SUCCEEDED
    looks = (
        "import os; assert open(os.environ['MLGATE_INPUT_BASE'] + '/outputs/model').read() == 'm'"
    )
    task = backend.notebook(looks, inputs={"base": base.attempt})
    assert backend.run(task).failure is None
