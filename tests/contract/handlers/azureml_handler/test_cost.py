"""What a build of many runs asks of the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.orchestration.runs import Attempt, Environment, RunKind, RunSpec, Task
from tests.contract.handlers.azureml_handler.conftest import led_to
from tests.contract.handlers.azureml_handler.support import Bench

FILES = {"train.py": "print('trained')\n", "requirements.txt": "numpy\n"}


@pytest.fixture
def quick(azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """A workspace whose jobs are over at once: only what is asked about them counts."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.symlink_to("/bin/true")
    with AzureML(azurite=azurite, python=python, parallel=4) as server:
        led_to(server, monkeypatch, tmp_path)
        made = Bench(server, tmp_path)
        yield made
        made.close()
        assert server.violations == []


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


def test_a_build_uploads_its_code_once_and_asks_once_for_each_run(quick: Bench) -> None:
    submit(quick, 50)
    first = asked(quick)
    files = len(FILES) + 2  # the launcher, and which files are executable
    uploads = {"codes.get": 1, "codes.upload": 1, "codes.put": 1, "blob.put": files}
    assert first == {"jobs.put": 50, "environments.put": 1, **uploads}


def test_another_build_of_the_same_content_uploads_nothing(quick: Bench) -> None:
    submit(quick, 1)
    asked(quick)
    quick.build = "e" * 32
    submit(quick, 50)
    assert asked(quick) == {"jobs.put": 50, "environments.put": 1, "codes.get": 1}


def test_a_look_at_many_runs_is_one_page_and_at_few_one_request_each(quick: Bench) -> None:
    attempts = submit(quick, 50)
    asked(quick)
    assert len(quick.handler.look(attempts)) == 50
    assert asked(quick) == {"jobs.list": 1}
    quick.handler.look(attempts[:2])
    assert asked(quick) == {"jobs.get": 2}


def test_a_look_passes_over_the_pages_of_other_builds(quick: Bench, tmp_path: Path) -> None:
    attempts = submit(quick, 10)
    quick.build = "e" * 32
    submit(quick, 100)
    asked(quick)
    assert len(quick.handler.look(attempts)) == 10
    assert asked(quick) == {"jobs.list": 1}


def test_a_few_old_runs_of_a_large_build_are_asked_for_one_by_one(quick: Bench) -> None:
    quick.server.workspace.page_size = 10
    attempts = submit(quick, 50)
    asked(quick)
    quick.handler.look(attempts)
    assert asked(quick) == {"jobs.list": 5}
    quick.handler.look(attempts[:3])
    assert asked(quick) == {"jobs.get": 3}
    quick.handler.look(attempts[-15:])
    assert asked(quick)["jobs.list"] in (2, 3)  # they were submitted side by side


def test_runs_that_wait_or_have_begun_lately_cost_no_more_however_old_they_are(
    quick: Bench,
) -> None:
    attempts = submit(quick, 10)
    for attempt, told in zip(attempts, ["Queued"] * 5 + ["Running"] * 5, strict=True):
        job = quick.server.jobs.wait(attempt.id)
        job.created -= timedelta(hours=10)
        quick.server.jobs.pretend(attempt.id, told)
    quick.handler.look(attempts)
    asked(quick)
    assert len(quick.handler.look(attempts)) == 10
    assert asked(quick) == {"jobs.list": 1}


def test_what_is_being_canceled_is_asked_again_only_if_that_was_lost(quick: Bench) -> None:
    attempts = submit(quick, 3)
    for attempt in attempts:
        quick.server.jobs.wait(attempt.id)
    for told, again in (("CancelRequested", 0), ("Running", 3)):
        for attempt in attempts:
            quick.server.jobs.pretend(attempt.id, told)
        quick.handler.look(attempts)
        asked(quick)
        quick.handler.cancel(attempts)
        assert asked(quick)["jobs.cancel"] == again


def test_the_end_of_a_run_is_a_few_requests_beside_its_files(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.run(task)  # which learns where things are
    asked(bench)
    outcome = bench.run(bench.task("python train.py", "again"))
    assert outcome.failure is None
    told = {"jobs.put": 1, "jobs.get": 1, "history.rundata": 1, "blob.list": 1}
    assert asked(bench) == {**told, "blob.get": len(("outcome.json", "log.txt"))}
