"""What others do, and what fails, between a passed gate and the entry."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.models import Entry, EntryKind, Manifest
from mlgate.orchestration.ports import BackendPort
from mlgate.orchestration.runs import Outcome, RunStatus
from tests.support.memory import MemoryModels
from tests.unit.orchestration.engine.scene import COMPARE, MODEL, Faulty, Scene, manifest


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def ended_while_it_commits(
    scene: Scene, *, appended: bool, then: Callable[[Build], None] = lambda _: None
) -> Build:
    """A build whose append is not answered for, and which is canceled meanwhile."""
    store = Faulty("append", Temporary("It does not answer."), appended)
    key, _ = scene.until_its_runs_are_known(store)
    for _ in range(10):
        scene.deliver()
    then(scene.build(key))
    scene.conductor.cancel(key, "Enough.")
    scene.run_to_end()
    return scene.build(key)


def test_what_is_told_of_a_build_that_must_end_is_what_the_log_says(scene: Scene) -> None:
    build = ended_while_it_commits(scene, appended=True)

    assert len(scene.log()) == 1
    assert scene.told().variables["promotion.outcome"] == "promoted"
    assert build.verdict is Verdict.SUCCEEDED


def test_an_append_that_hangs_until_its_build_has_ended_comes_to_nothing(scene: Scene) -> None:
    hanging = list[Entry]()

    def remember(build: Build) -> None:
        assert build.promotion is not None
        assert build.promotion.entry is not None
        hanging.append(build.promotion.entry)

    ended_while_it_commits(scene, appended=False, then=remember)
    assert scene.told().variables["promotion.outcome"] == "not_reached"
    assert not MemoryModels.append(scene.models, hanging[0])
    assert scene.log() == []


def test_where_nobody_can_look_whether_it_was_entered_that_is_what_is_told(scene: Scene) -> None:
    class Silent(MemoryModels):
        def void(self, model: str, number: int) -> None:
            raise Temporary("It does not answer.")

    def silence(_: Build) -> None:
        scene.models = Silent(logs=scene.models.logs, kept=scene.models.kept)

    ended_while_it_commits(scene, appended=True, then=silence)
    told = scene.told()
    assert (told.variables["promotion.outcome"], told.verdict) == ("refused", Verdict.FAILED)
    assert "It is not known whether entry 1 of churn was appended" in told.reason


def test_of_several_builds_of_one_id_the_one_that_is_meant_has_to_be_named(scene: Scene) -> None:
    first = scene.trains(b"one")
    churn = scene.offer(build_id="20481")
    scene.trains(b"two")
    scene.allow("fraud", "production")
    scene.offer(build_id="20481", promote={"model": "fraud"})
    unclear = scene.message("promote", model="production", build="20481")
    assert "Several builds have the id 20481" in unclear.reason
    assert f"{churn.key} (churn)" in unclear.reason

    clear = scene.message("promote", model="production", build=churn.key, build_id="20481")
    assert clear.verdict is Verdict.SUCCEEDED
    assert [entry.id for entry in scene.models.log("production")] == [first]


def test_a_build_that_promoted_an_earlier_one_is_not_taken_for_it(scene: Scene) -> None:
    scene.trains(b"one")
    scene.allow("canary", "production")
    scene.offer(build_id="20481")
    for name in ("canary", "production"):
        done = scene.message("promote", model=name, build="20481", build_id="20481")
        assert done.verdict is Verdict.SUCCEEDED, done.reason


def test_what_people_decided_is_superseded_by_no_build_that_began_before(scene: Scene) -> None:
    versions, builds = [], []
    for number in range(2):
        versions.append(scene.trains(f"model {number}".encode()))
        builds.append(scene.offer())
        scene.clock.sleep(60)
    scene.allow("production")
    for build in builds:
        scene.clock.sleep(60)
        scene.message("promote", model="production", build=build.key)
    assert [entry.id for entry in scene.models.log("production")] == versions[::-1]

    key, third = scene.begin(), scene.trains(b"three")
    scene.clock.sleep(60)
    scene.models.append(back_to(scene, versions[0]))
    scene.run_to_end()
    assert scene.build(key).verdict is Verdict.SUCCEEDED
    assert scene.log()[0].id == third


def back_to(scene: Scene, version: str) -> Entry:
    head = scene.log()[0]
    return replace(
        next(entry for entry in scene.log() if entry.id == version),
        number=head.number + 1,
        kind=EntryKind.ROLLED_BACK,
        replaces=head.id,
        at=scene.clock.time,
    )


def test_files_that_changed_since_they_were_weighed_are_not_entered(scene: Scene) -> None:
    class Rewritten(MemoryModels):
        def manifest(self, model: str, version: str) -> Manifest | None:
            other = {**json.loads(manifest(b"two").content), "folder": "outputs"}
            record = f"runs/check-{MODEL}/outputs/model.json"
            scene.files.write(key, record, json.dumps(other).encode())
            return super().manifest(model, version)

    scene.models = Rewritten()
    scene.trains(b"one")
    key = scene.begin()
    scene.run_to_end()

    assert scene.log() == []
    assert "changed after they were weighed" in scene.told().reason


class Tidied(MemoryModels):
    """A store whose files of a version go while its entry is appended, or right before."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.when = when

    def missing(self, model: str, version: str) -> list[str]:
        if self.when == "before":
            self.when = ""
            self.drop_files(model, version)
        return super().missing(model, version)

    def append(self, entry: Entry) -> bool:
        if self.when == "after":
            self.when = ""
            self.drop_files(entry.model, entry.id)
        return super().append(entry)


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_another_build_tidied_away_meanwhile_is_kept_again(scene: Scene, when: str) -> None:
    scene.models = Tidied(when)
    version = scene.trains(b"one")
    scene.offer()

    assert [entry.id for entry in scene.log()] == [version]
    assert scene.models.missing(MODEL, version) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"files": []},
        {"path": "../../../etc/passwd"},
        {"path": "/etc/passwd"},
        {"path": "none.pkl"},
        {"format": "rm -rf"},
        {"folder": "../../another-build"},
        {"folder": "/etc"},
        {"folder": 7},
        {"files": [{"path": "model.pkl", "size": -1, "sha256": "0" * 64}]},
        {"files": [{"path": "model.pkl", "size": 3, "sha256": "0"}]},
    ],
)
def test_a_record_that_no_server_could_follow_is_none(
    scene: Scene, changed: dict[str, Any]
) -> None:
    scene.trains(b"one")
    record = {**json.loads(manifest(b"one").content), "folder": "outputs", **changed}
    content = json.dumps(record).encode()
    scene.backend.kept[f"check-{MODEL}"] = {"outputs/model.json": content}
    scene.offer()

    assert scene.log() == []
    assert "left no readable record of the model" in scene.told().reason


def test_what_a_failed_run_said_is_not_weighed(scene: Scene) -> None:
    scene.trains(b"one", accuracy=0.5)
    scene.offer(promote=COMPARE)
    scene.trains(b"two")
    failed = Outcome(RunStatus.FAILED, metrics={"accuracy": 0.99})
    scene.backend.outcomes["evaluate"] = [failed]
    evaluate = {"name": "evaluate", "command": "python evaluate.py"}
    compare = [{"run": "evaluate", "metric": "accuracy"}]
    promote = {"compare": compare, "run": "train"}
    scene.offer(evaluate, promote=promote, gate={"condition": {"at_least": 1}})

    assert scene.told().variables["promotion.outcome"] == "refused"


def test_a_damaged_current_version_is_in_nobody_s_way(scene: Scene) -> None:
    first = scene.trains(b"one")
    scene.offer()
    scene.models.drop_files(MODEL, first)
    second = scene.trains(b"two")
    build = scene.offer()

    assert [entry.id for entry in scene.log()] == [second, first]
    assert any("mlgate models --check" in warning for warning in build.warnings)


def test_a_rollback_needs_no_backend(scene: Scene) -> None:
    for content in (b"one", b"two"):
        scene.trains(content)
        scene.offer()

    def without(_: Build) -> BackendPort:
        raise UnfitHost("Azure ML's package is not installed.")

    scene.backend_of = without  # type: ignore[method-assign, assignment] # of a test
    build = scene.message("rollback")

    assert build.verdict is Verdict.SUCCEEDED
    assert len(scene.log()) == 3


def test_a_store_that_refuses_is_no_fault_of_the_build(scene: Scene) -> None:
    key, _ = scene.until_its_runs_are_known(Faulty("keep", Permanent("It said no."), after=False))
    scene.run_to_end()
    assert scene.build(key).infrastructure


def test_a_build_that_never_came_to_its_model_says_so(scene: Scene) -> None:
    scene.allow(f"{MODEL}@main")
    scene.repository.branches["main"] = set()
    scene.offer()
    assert scene.told().variables["promotion.outcome"] == "refused"
    assert "is not on `main`" in scene.told().reason
    late = scene.message("rollback", deadline_minutes=1, wait=120)
    assert late.verdict is Verdict.FAILED
    assert scene.told().variables["promotion.outcome"] == "not_reached"
    assert scene.told().reason == "The deadline of 1 minute passed before the model was read."
