"""What the local backend makes of BackendPort's contract beyond what both backends do."""

from __future__ import annotations

import shutil
import stat
from datetime import timedelta

import pytest

from handlers.local_handler.handler import CLAIM_SECONDS
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.runs import Attempt, FailureKind, RunStatus
from tests.contract.handlers.local_handler.conftest import Bench
from tests.contract.twins import FolderCheckout

FOREVER = "import time\nwhile True: time.sleep(0.05)\n"


def test_1_staging_the_same_commit_again_gives_the_same_word_and_copies_nothing(
    bench: Bench,
) -> None:
    first = bench.stage({"a.txt": "as staged"}, commit="c" * 40)
    again = bench.stage({"a.txt": "cannot differ, but would show"}, commit="c" * 40)
    assert again == first
    assert (bench.home / "snapshots" / first / "a.txt").read_text() == "as staged"


def test_1_another_subdirectory_or_repository_is_another_snapshot(bench: Bench) -> None:
    folder = bench.folder / "checkout"
    folder.mkdir()
    checkout = FolderCheckout("d" * 40, folder)
    requests = [
        RepositoryRequest("https://example.org/r.git"),
        RepositoryRequest("https://example.org/r.git", subdirectory="models"),
        RepositoryRequest("https://example.org/other.git"),
    ]
    assert len({bench.handler.stage(checkout, request, []) for request in requests}) == 3


def test_1_a_snapshot_that_is_gone_is_a_permanent_error(bench: Bench) -> None:
    task = bench.task()
    (bench.home / "snapshots" / task.snapshot).rename(bench.folder / "elsewhere")
    with pytest.raises(Permanent, match="Publish the message again"):
        bench.handler.submit(task)


def test_2_no_more_runs_at_once_than_there_are_places_whoever_submits(bench: Bench) -> None:
    one, other = bench.new_handler(parallel=2), bench.new_handler(parallel=2)
    tasks = [bench.task(FOREVER, name=f"run-{number}") for number in range(3)]
    assert one.submit(tasks[0])
    assert other.submit(tasks[1])
    assert not one.submit(tasks[2])
    assert not other.submit(tasks[2])
    assert not bench.attempt_folder(tasks[2]).exists()
    one.cancel([tasks[0].attempt])
    bench.ended(tasks[0])
    assert other.submit(tasks[2])
    assert other.submit(tasks[1]), "one that has its place is found, however full it is"


def test_3_an_attempt_is_seen_from_its_start_to_its_end(bench: Bench) -> None:
    go = bench.folder / "go"
    task = bench.task(
        "import json, os, time\n"
        "def tell(**event):\n"
        "    with EVENTS.open('a') as file: file.write(json.dumps(event) + '\\n')\n"
        "tell(event='started', cells_total=3, at='2026-01-01T00:00:00Z')\n"
        "tell(event='cell', number=1, status='succeeded', seconds=0.5)\n"
        'EVENTS.open(\'a\').write(\'{"event": "cell", "numb\')\n'
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    )
    assert bench.handler.submit(task)
    bench.until(lambda: bench.see(task).cells)
    seen = bench.see(task)
    assert seen.status is RunStatus.RUNNING
    assert seen.started_at is not None
    assert (seen.cells[0].number, seen.cells[0].status) == (1, "succeeded")
    assert (seen.cells_total, seen.activity) == (3, None)
    go.touch()
    outcome = bench.ended(task)
    assert outcome.status is bench.see(task).status is RunStatus.SUCCEEDED
    assert outcome.started_at == seen.started_at
    assert outcome.finished_at is not None
    assert outcome.finished_at >= seen.started_at


def test_3_one_whose_supervisor_never_began_has_failed_and_can_never_start(bench: Bench) -> None:
    task = bench.task()
    assert bench.handler.submit(task)
    bench.ended(task)
    folder = bench.attempt_folder(task)
    for path in folder.iterdir():  # as a worker killed before the spawn leaves it
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("task.json", "launch.json", "expected.json"):
            path.unlink()
    assert bench.see(task).status is RunStatus.QUEUED
    for minutes in (5, -5):  # neither a clock that is set meanwhile, nor another host's disk
        bench.clock.ahead = timedelta(minutes=minutes)
        assert bench.see(task).status is RunStatus.QUEUED
    bench.later = CLAIM_SECONDS + 5
    assert bench.see(task).status is RunStatus.FAILED
    assert bench.handler.submit(task), "it is found, and not started"
    outcome = bench.ended(task)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert "did not begin" in outcome.failure.message
    assert "did not begin" in bench.log(task)


def test_4_canceling_what_never_began_keeps_it_from_beginning(bench: Bench) -> None:
    counter = bench.folder / "executions"
    task = bench.task(f"open({str(counter)!r}, 'a').write('x')")
    bench.handler.cancel([task.attempt])
    assert bench.see(task).status is RunStatus.CANCELED
    assert bench.handler.submit(task)
    assert bench.ended(task).status is RunStatus.CANCELED
    assert "before it began" in bench.log(task)
    assert not counter.exists()


def test_6_releasing_a_build_removes_its_attempts_and_no_others(bench: Bench) -> None:
    mine = bench.task()
    bench.run(mine)
    other = bench.task(name="other")
    other_build = Attempt("f" * 32, "other", 1)
    bench.handler.cancel([other_build])
    bench.run(other)
    for _ in range(2):
        bench.handler.release(bench.build)
    left = {path.name for path in (bench.home / "attempts").iterdir()}
    assert left == {other_build.id}


def test_6_an_attempt_that_still_runs_is_let_go_when_it_has_ended(bench: Bench) -> None:
    task = bench.task(FOREVER)
    bench.handler.submit(task)
    bench.handler.release(bench.build)
    assert bench.attempt_folder(task).exists()
    bench.handler.cancel([task.attempt])
    bench.ended(task)
    bench.handler.release("another build")
    assert not bench.attempt_folder(task).exists()


def test_7_the_host_has_a_name_that_stays_with_its_home(bench: Bench) -> None:
    assert bench.handler.host == bench.new_handler().host
    assert len(bench.handler.host) >= 16


def test_the_files_of_an_attempt_are_private(bench: Bench) -> None:
    task = bench.task()
    bench.run(task)
    for folder in (bench.home, bench.attempt_folder(task)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_end_of_a_run_is_told_at_once(bench: Bench) -> None:
    told: list[Attempt] = []
    handler = bench.new_handler(on_ended=told.append)
    task = bench.task()
    handler.submit(task)
    bench.until(lambda: told, "the call")
    assert told == [task.attempt]
    assert bench.see(task).status is RunStatus.SUCCEEDED


def test_a_worker_that_takes_over_is_told_of_the_end_too(bench: Bench) -> None:
    told: list[Attempt] = []
    go = bench.folder / "go"
    task = bench.task(f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)")
    bench.handler.submit(task)
    bench.handler.close()
    bench.new_handler(on_ended=told.append).look([task.attempt])
    go.touch()
    bench.until(lambda: told, "the call")
    assert told == [task.attempt]


def test_a_home_that_cannot_be_used_is_a_temporary_error(bench: Bench) -> None:
    task = bench.task()
    (bench.home / "attempts").rename(bench.folder / "elsewhere")
    (bench.home / "attempts").write_text("in the way")
    try:
        with pytest.raises(Temporary, match="cannot be used"):
            bench.handler.submit(task)
    finally:
        (bench.home / "attempts").unlink()
        (bench.folder / "elsewhere").rename(bench.home / "attempts")
