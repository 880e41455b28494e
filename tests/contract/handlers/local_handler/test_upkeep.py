"""What is kept of runs that have ended costs nobody anything, and goes when nobody needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.files_handler import FolderFiles
from handlers.local_handler.attempts import AttemptFolder, Ended
from handlers.local_handler.upkeep import FORGOTTEN
from mlgate.hosts.home import DEFAULT_HOME
from mlgate.hosts.settings import DEFAULT_BUILDS
from mlgate.orchestration.runs import Attempt, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import STUB, Bench
from tests.contract.handlers.local_handler.test_supervision import FOREVER, ROOT

# What the operating system is asked for while a run is submitted and while its build is released.
COUNTING = """
import sys
import threading
from pathlib import Path
from handlers.local_handler.handler import LocalHandler
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, Task

home, launcher, build, snapshot = sys.argv[1:]
handler = LocalHandler(home=Path(home), parallel=4, launcher=Path(launcher))
counts, asked = [], []

def hear(event, arguments):
    ours = threading.current_thread() is threading.main_thread()  # not the one that watches
    if ours and (event == "open" or event.startswith("os.")):
        asked.append(event)

sys.addaudithook(hear)

def count(act):
    asked.clear()
    act()
    counts.append(len(asked))

spec = RunSpec("counted", RunKind.TRAINING, command="script.py")
task = Task(Attempt(build, spec.name, 1), spec, snapshot, "4711")
count(lambda: handler.submit(task))
while handler.look([task.attempt])[task.attempt].status != "running":
    pass
count(lambda: handler.look([task.attempt]))
handler.cancel([task.attempt])
while not handler.look([task.attempt])[task.attempt].status.ended:
    pass
asked.clear()
handler.release(build)
counts.append(sum(event == "open" for event in asked))
print(*counts)
"""


def remember(bench: Bench, build: str, number: int) -> None:
    """Attempts that have ended, and were not released."""
    (bench.home / "kept" / build).touch()
    for n in range(number):
        attempt = Attempt(build, f"old-{n}", 1)
        folder = AttemptFolder(bench.home / "attempts" / attempt.id)
        folder.path.mkdir()
        folder.describe({"attempt": asdict(attempt)})
        folder.take(None)
        folder.end(Ended(None, exit_code=0))


def counted(bench: Bench, build: str) -> list[int]:
    command = [sys.executable, "-c", COUNTING, str(bench.home), str(STUB), build]
    snapshot = bench.task(FOREVER).snapshot
    told = subprocess.run([*command, snapshot], cwd=ROOT, capture_output=True, check=True)
    return [int(word) for word in told.stdout.split()]


def test_a_submit_a_look_and_a_release_read_as_much_whatever_is_remembered(bench: Bench) -> None:
    without = counted(bench, "a" * 32)
    remember(bench, "e" * 32, 500)
    remember(bench, "b" * 32, 500)
    differences = [now - then for now, then in zip(counted(bench, "c" * 32), without, strict=True)]
    assert max(map(abs, differences)) <= 2, "what the watcher's own thread reads meanwhile"


@pytest.mark.slow
def test_how_long_a_submit_takes_with_500_attempts_remembered(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printed, for no test may depend on how fast a machine is."""
    handler = bench.new_handler(parallel=0)  # none has a place: what is measured is the counting
    task = bench.task()

    def seconds() -> float:
        begun = time.perf_counter()
        for _ in range(100):
            assert not handler.submit(task)
        return (time.perf_counter() - begun) / 100

    none = seconds()
    remember(bench, "e" * 32, 500)
    many = seconds()
    with capsys.disabled():
        sys.stdout.write(
            f"\nsubmit: {none * 1e3:.2f} ms; with 500: {many * 1e3:.2f} ms, x {many / none:.2f}\n"
        )


def test_a_place_is_given_back_although_nobody_looked_at_the_end(bench: Bench) -> None:
    handler = bench.new_handler(parallel=1)
    first, second = bench.task(), bench.task(name="second")
    handler.submit(first)
    bench.until(lambda: handler.submit(second), "a place")
    assert bench.ended(second).status is RunStatus.SUCCEEDED


def test_a_worker_killed_while_it_took_a_place_holds_none(bench: Bench) -> None:
    handler = bench.new_handler(parallel=1)
    (bench.home / "places" / "killed-before-its-folder-was-made").touch()
    assert handler.submit(bench.task())


def test_what_was_never_released_goes_when_its_build_shows_no_sign_of_life(bench: Bench) -> None:
    lost, other = bench.task(), of_another_build(bench.task(name="other"), "f" * 32)
    active = of_another_build(bench.task(FOREVER, name="active"), "d" * 32)
    bench.run(lost)
    bench.run(other)
    bench.handler.submit(active)
    bench.until(lambda: bench.see(active).status is RunStatus.RUNNING)
    bench.clock.ahead = timedelta(seconds=FORGOTTEN - 60)
    bench.new_handler()
    assert bench.attempt_folder(lost).exists()
    bench.clock.ahead = timedelta(seconds=FORGOTTEN + 60)
    ahead = time.time() + FORGOTTEN
    os.utime(bench.home / "kept" / other.attempt.build, (ahead, ahead))  # it was looked at
    bench.new_handler()
    assert not bench.attempt_folder(lost).exists()
    assert bench.attempt_folder(other).exists()
    assert bench.attempt_folder(active).exists()
    builds = {path.name for path in (bench.home / "kept").iterdir()}
    assert builds == {other.attempt.build, active.attempt.build}


@pytest.mark.parametrize("asks", ["submit", "look", "cancel"])
def test_whatever_is_asked_of_a_build_is_a_sign_of_life(asks: str, bench: Bench) -> None:
    task = bench.task()
    bench.run(task)
    mark = bench.home / "kept" / bench.build
    os.utime(mark, (1, 1))
    more = bench.task(name="more")
    act = {
        "submit": lambda: bench.handler.submit(more),
        "look": lambda: bench.handler.look([task.attempt]),
        "cancel": lambda: bench.handler.cancel([more.attempt]),
    }
    act[asks]()
    assert mark.stat().st_mtime > 1


def test_a_release_that_did_not_come_to_its_end_is_ended_by_the_next_one(bench: Bench) -> None:
    task = bench.task()
    bench.run(task)
    (bench.home / "kept" / f"{bench.build}.released").touch()  # and then it was killed
    bench.new_handler()
    assert not bench.attempt_folder(task).exists()
    assert list((bench.home / "kept").iterdir()) == [bench.home / "kept" / bench.build]
    for _ in range(2):
        bench.handler.release(bench.build)
    assert list((bench.home / "kept").iterdir()) == []


def test_an_attempt_whose_record_is_damaged_is_released_with_its_build(bench: Bench) -> None:
    task = bench.task()
    bench.run(task)
    (bench.attempt_folder(task) / "task.json").write_text("{")
    bench.handler.release(bench.build)
    assert not bench.attempt_folder(task).exists()


def test_a_build_with_a_similar_key_keeps_what_is_its_own(bench: Bench) -> None:
    mine = bench.task()
    other = of_another_build(bench.task(name="other"), f"{bench.build[:12]}{'0' * 20}")
    bench.run(mine)
    bench.run(other)
    bench.handler.release(bench.build)
    assert not bench.attempt_folder(mine).exists()
    assert bench.attempt_folder(other).exists()


DEEP = """
import os
os.chdir(OUTPUT)
os.mkdir('kept'); os.chdir('kept')
open('fine', 'w').close()
for _ in range(1500):
    os.mkdir('deeper'); os.chdir('deeper')
open('lost', 'w').close()
"""


def test_a_folder_deeper_than_paths_can_name_costs_its_files_alone(bench: Bench) -> None:
    task = bench.task(DEEP.replace("os.mkdir('kept'); ", "os.makedirs('kept', exist_ok=True); "))
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED
    assert outcome.outputs == ("runs/train/fine",)
    [warning] = outcome.warnings
    assert warning.startswith("1 file was left out because they cannot be read: deeper/deeper/")
    bench.handler.release(bench.build)
    assert list((bench.home / "attempts").iterdir()) == []


def test_a_run_that_takes_its_own_files_rights_keeps_them_all_the_same(bench: Bench) -> None:
    task = bench.task(
        "import os\n"
        "os.makedirs(OUTPUT / 'kept' / 'closed', exist_ok=True)\n"
        "(OUTPUT / 'kept' / 'closed' / 'a').write_text('a')\n"
        "(OUTPUT / 'kept' / 'closed' / 'a').chmod(0)\n"
        "(OUTPUT / 'kept' / 'closed').chmod(0)\n"
    )
    assert bench.run(task).outputs == ("runs/train/closed/a",)
    bench.handler.release(bench.build)
    assert list((bench.home / "attempts").iterdir()) == []


def of_another_build(task: Task, build: str) -> Task:
    return replace(task, attempt=replace(task.attempt, build=build))


def test_records_of_environments_that_a_run_changed_harm_no_release(bench: Bench) -> None:
    for number, record in enumerate(([], {}, {"bytes": "x", "packages": [], "warnings": []})):
        folder = bench.home / "environments" / f"e-{number}"
        folder.mkdir()
        (folder / "ready.json").write_text(json.dumps(record))
    bench.handler.release(bench.build)
    assert [path for path in (bench.home / "environments").iterdir() if Path(path).is_dir()] == []


def test_a_builds_files_may_be_kept_below_the_home_as_they_are_by_default(bench: Bench) -> None:
    """The handler takes no name there that those need."""
    below = Path(DEFAULT_BUILDS).relative_to(DEFAULT_HOME)
    files = FolderFiles(lambda key: bench.home / below / key)
    task = bench.task("print('hello')")
    assert bench.handler.submit(task)
    bench.ended(task)
    bench.handler.collect(task, files)
    bench.handler.release(bench.build)

    assert files.tail(bench.build, f"runs/{task.spec.name}/log.txt", 100)
