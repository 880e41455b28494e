"""A place for build files that takes none: the step is told in time, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from handlers.files_handler import FolderFiles
from mlgate.orchestration.builds import Phase, Verdict
from mlgate.orchestration.engine.conductor import Conductor
from mlgate.orchestration.ports import BuildFiles, Ports
from mlgate.orchestration.runs import Attempt, Outcome, RunStatus, Task
from tests.contract.handlers.state_handler.conftest import Storage
from tests.contract.handlers.state_handler.disks import a_full_disk
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.twins import BackendTwin, HandClock, HostClock, World

PROMISED = timedelta(minutes=10)  # from the last run's end until the step is told
ENDS = {"a": NOON + timedelta(minutes=5), "b": NOON + timedelta(minutes=7)}


@dataclass
class Runs(BackendTwin):
    """Each run ends at its time, and leaves a log and an executed notebook."""

    clock: HandClock = field(default_factory=HandClock)
    folder: Path = Path()

    def collect(self, task: Task, files: BuildFiles | None) -> Outcome:
        if files is None:
            return Outcome(RunStatus.SUCCEEDED)
        place = f"runs/{task.attempt.run}"
        files.write(task.attempt.build, f"{place}/log.txt", b"a line\n")
        (self.folder / "executed.ipynb").write_bytes(b"{}")
        files.copy(task.attempt.build, f"{place}/executed.ipynb", self.folder / "executed.ipynb")
        evidence = (f"{place}/log.txt", f"{place}/executed.ipynb")
        return Outcome(RunStatus.SUCCEEDED, evidence=evidence)

    def _status(self, attempt: Attempt) -> RunStatus:
        ended = self.clock.time >= ENDS[attempt.run]
        return RunStatus.SUCCEEDED if ended else RunStatus.RUNNING


class FullDisk(FolderFiles):
    """Folders on a disk that has no room for a single byte."""

    def write(self, build: str, path: str, content: bytes | Iterable[bytes]) -> None:
        with a_full_disk(most=0):
            super().write(build, path, content)

    def copy(self, build: str, path: str, source: Path) -> None:
        with a_full_disk(most=0):
            super().copy(build, path, source)


@pytest.fixture(params=["a full disk", "a container that refuses", "one that does not answer"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> BuildFiles:
    if request.param == "a full disk":
        return FullDisk(lambda key: tmp_path / "builds" / key)
    storage: Storage = request.getfixturevalue("storage")
    refused = (403, "AuthorizationPermissionMismatch")
    fault = (503, "ServerBusy") if "answer" in request.param else refused
    storage.relay.fail("*", fault, times=10_000)
    return storage.files()


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=5), timedelta(minutes=-5)])
def test_the_step_is_told_within_ten_minutes_and_what_is_missing(
    files: BuildFiles, ahead: timedelta, tmp_path: Path
) -> None:
    world = World(tmp_path)
    world.backend = Runs(clock=world.clock, folder=tmp_path)
    host = Conductor(
        Ports(
            state=world.state,
            queue=world.queue,
            repository=world.repository,
            pipeline=world.pipeline,
            backend=lambda _: world.backend,
            files=files,
            clock=HostClock(world.clock, ahead),
            doctor=world.doctor,
            models=lambda: world.models,
            service=world.service,
        ),
        world.policy,
    )
    host.handle(world.envelope({"name": "a"}, {"name": "b"}))
    told_at: datetime | None = None
    while world.queue.messages:
        world.deliver(host=host)
        if told_at is None and world.pipeline.completions:
            told_at = world.clock.time
    [build] = world.state.builds()
    assert told_at is not None
    after = told_at - max(ENDS.values())
    print(f"told {after.total_seconds():.0f} s after the last run's end")  # noqa: T201 -- its figure

    assert after < PROMISED
    [(said, doubt)] = world.pipeline.completions
    assert (said.verdict, doubt) == (Verdict.SUCCEEDED, False)
    assert (build.phase, build.verdict) == (Phase.COMPLETED, Verdict.SUCCEEDED)
    for missing in ("a: ", "b: ", "junit.xml", "report.html", "result.json"):
        assert [warning for warning in said.warnings if warning.startswith(missing)], missing
