"""What a build of many runs asks of the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from mlgate.orchestration.runs import Attempt, Environment, RunKind, RunSpec, Task
from tests.contract.handlers.azureml_handler.support import Bench

FILES = {"train.py": "print('trained')\n", "requirements.txt": "numpy\n"}


def submit(bench: Bench, count: int) -> Sequence[Attempt]:
    """A build of `count` runs, staged and submitted as the conductor does."""
    environment = Environment(requirements="requirements.txt")
    specs = [
        RunSpec(f"r-{n}", RunKind.TRAINING, command="true", environment=environment)
        for n in range(count)
    ]
    word = bench.stage(FILES, *specs)
    tasks = [Task(Attempt(bench.build, spec.name, 1), spec, word, "7") for spec in specs]
    with ThreadPoolExecutor(bench.handler.at_once) as pool:
        assert all(pool.map(bench.handler.submit, tasks))
    return [task.attempt for task in tasks]


def asked(bench: Bench) -> Counter[str]:
    """The requests since the last time, by name."""
    found = Counter(bench.calls())
    bench.server.requests.clear()
    return found


def test_a_build_uploads_its_code_once_and_asks_once_for_each_run(bench: Bench) -> None:
    submit(bench, 50)
    first = asked(bench)
    files = len(FILES) + 2  # the launcher, and which files are executable
    uploads = {"codes.get": 1, "codes.upload": 1, "codes.put": 1, "blob.put": files}
    assert first == {"jobs.put": 50, "environments.put": 1, **uploads}


def test_another_build_of_the_same_content_uploads_nothing(bench: Bench) -> None:
    submit(bench, 1)
    asked(bench)
    bench.build = "e" * 32
    submit(bench, 50)
    assert asked(bench) == {"jobs.put": 50, "environments.put": 1, "codes.get": 1}


def test_a_look_at_many_runs_is_one_page_and_at_few_one_request_each(bench: Bench) -> None:
    attempts = submit(bench, 50)
    asked(bench)
    assert len(bench.handler.look(attempts)) == 50
    assert asked(bench) == {"jobs.list": 1}
    bench.handler.look(attempts[:2])
    assert asked(bench) == {"jobs.get": 2}


def test_a_look_passes_over_the_pages_of_other_builds(bench: Bench, tmp_path: Path) -> None:
    attempts = submit(bench, 10)
    bench.build = "e" * 32
    submit(bench, 100)
    asked(bench)
    assert len(bench.handler.look(attempts)) == 10
    assert asked(bench) == {"jobs.list": 1}


def test_a_few_old_runs_of_a_large_build_are_asked_for_one_by_one(bench: Bench) -> None:
    bench.server.workspace.page_size = 10
    attempts = submit(bench, 50)
    asked(bench)
    bench.handler.look(attempts)
    assert asked(bench) == {"jobs.list": 5}
    bench.handler.look(attempts[:3])
    assert asked(bench) == {"jobs.get": 3}
    bench.handler.look(attempts[-15:])
    assert asked(bench)["jobs.list"] in (2, 3)  # they were submitted side by side


def test_runs_that_wait_or_have_begun_lately_cost_no_more_however_old_they_are(
    bench: Bench,
) -> None:
    attempts = submit(bench, 10)
    for attempt, told in zip(attempts, ["Queued"] * 5 + ["Running"] * 5, strict=True):
        job = bench.server.jobs.wait(attempt.id)
        job.created -= timedelta(hours=10)
        bench.server.jobs.pretend(attempt.id, told)
    bench.handler.look(attempts)
    asked(bench)
    assert len(bench.handler.look(attempts)) == 10
    assert asked(bench) == {"jobs.list": 1}


def test_what_is_being_canceled_is_asked_again_only_if_that_was_lost(bench: Bench) -> None:
    attempts = submit(bench, 3)
    for attempt in attempts:
        bench.server.jobs.wait(attempt.id)
    for told, again in (("CancelRequested", 0), ("Running", 3)):
        for attempt in attempts:
            bench.server.jobs.pretend(attempt.id, told)
        bench.handler.look(attempts)
        asked(bench)
        bench.handler.cancel(attempts)
        assert asked(bench)["jobs.cancel"] == again


def test_the_end_of_a_run_is_a_few_requests_beside_its_files(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.run(task)  # which learns where things are
    asked(bench)
    outcome = bench.run(bench.task("python train.py", "again"))
    assert outcome.failure is None
    told = {"jobs.put": 1, "jobs.get": 1, "history.rundata": 1, "blob.list": 1}
    assert asked(bench) == {**told, "blob.get": len(("outcome.json", "log.txt"))}
