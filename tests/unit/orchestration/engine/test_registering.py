"""A promoted version in the backend's own list of models: if asked for, as well as it can be."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.engine.promoting.registering import _path
from mlgate.orchestration.engine.trouble import DEATHS
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.models import Manifest, ModelFile
from mlgate.orchestration.ports import Kept, Registration
from tests.unit.orchestration.engine.scene import COMPARE, MODEL, Scene
from tests.unit.orchestration.engine.twins import COLLECTION

ASKED: dict[str, Any] = {"register": True}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def always(scene: Scene) -> None:
    rules = (AllowedModel.parse(f"{name}={COLLECTION}") for name in (MODEL, "live"))
    scene.policy = replace(scene.policy, models=ModelPolicy(tuple(rules), register=True))


def test_a_promoted_version_is_registered_with_its_job_and_tags(scene: Scene) -> None:
    version = scene.trains(b"one")
    build = scene.offer(promote=ASKED, build_id="77")
    [made] = scene.backend.registered
    assert (made.model, made.version, made.replaces, made.rolled_back) == (
        MODEL,
        version,
        None,
        False,
    )
    assert made.kept == Kept(build.attempt_of(build.run("train")), "outputs/model.pkl", "pickle")
    assert made.tags == {
        "mlgate.version": version,
        "mlgate.entry": "1",
        "mlgate.build": "77",
        "mlgate.commit": "c" * 40,
        "mlgate.verdict": "succeeded",
    }


@pytest.mark.parametrize(
    ("promote", "by_host", "count"), [({}, False, 0), ({}, True, 1), (ASKED, False, 1)]
)
def test_it_is_off_unless_the_message_or_the_host_asks(
    scene: Scene, promote: dict[str, Any], by_host: bool, count: int
) -> None:
    if by_host:
        always(scene)
    scene.trains(b"one")
    scene.offer(promote=promote)
    assert len(scene.backend.registered) == count
    scene.trains(b"two")
    scene.offer(promote=promote)
    scene.message("rollback")
    assert len(scene.backend.registered) == 3 * count


@pytest.mark.parametrize("back", [True, False])
def test_what_is_listed_is_marked_whoever_asked(scene: Scene, back: bool) -> None:
    """By a rollback to a version that nobody asked to list, or another promotion of that kind."""
    first = scene.trains(b"one")
    scene.offer()
    second = scene.trains(b"two")
    scene.offer(promote=ASKED)
    third = scene.trains(b"three")
    build = scene.message("rollback") if back else scene.offer()
    made = scene.backend.registered[-1]
    assert (made.version, made.replaces, made.create) == (first if back else third, second, False)
    assert (made.number, made.current, made.rolled_back) == (3, True, back)
    assert build.warnings == ()


def test_it_holds_no_verdict(scene: Scene) -> None:
    seen = list[Verdict | None]()

    def register(_: Registration) -> None:
        seen.append(scene.state.builds()[0].verdict)

    scene.backend.register = register  # type: ignore[assignment,method-assign]  # one method of a twin, for this test
    scene.trains(b"one")
    scene.offer(promote=ASKED)
    assert seen == [Verdict.SUCCEEDED]


def test_what_is_not_promoted_is_not_registered(scene: Scene) -> None:
    scene.trains(b"one", accuracy=0.9)
    scene.offer(promote={**COMPARE, **ASKED})
    scene.trains(b"two", accuracy=0.8)
    scene.offer(promote={**COMPARE, **ASKED})
    scene.trains(b"one", accuracy=0.9)
    scene.offer(promote={**COMPARE, **ASKED})
    assert len(scene.backend.registered) == 1


def test_a_rollback_names_the_version_and_what_it_replaces(scene: Scene) -> None:
    """Of the build that trained it, which is the one whose message had asked."""
    first = scene.trains(b"one")
    trained = scene.offer(promote=ASKED, build_id="first")
    second = scene.trains(b"two")
    scene.offer(promote=ASKED)
    scene.message("rollback")
    made = scene.backend.registered[-1]
    assert (made.version, made.replaces, made.rolled_back) == (first, second, True)
    assert made.kept is not None
    assert made.kept.attempt.build == trained.key
    assert (made.tags["mlgate.build"], made.tags["mlgate.entry"]) == ("first", "3")


def test_a_rollback_to_a_version_whose_files_are_gone_names_it_all_the_same(scene: Scene) -> None:
    scene.trains(b"one")
    trained = scene.offer(promote=ASKED)
    scene.trains(b"two")
    scene.offer(promote=ASKED)
    shutil.rmtree(scene.files.location(trained.key))
    build = scene.message("rollback")
    assert scene.backend.registered[-1].kept is None
    assert build.verdict is Verdict.SUCCEEDED
    assert build.warnings == ()


def test_a_stage_s_version_is_registered_for_production_as_its_build_asked(scene: Scene) -> None:
    scene.allow("live")
    version = scene.trains(b"one")
    trained = scene.offer(promote=ASKED)
    scene.message("promote", model="live", build=trained.key)
    made = scene.backend.registered[-1]
    assert (made.model, made.version) == ("live", version)
    assert made.kept is not None
    assert made.kept.attempt.build == trained.key


@pytest.mark.parametrize(
    "error",
    [Temporary("It is away."), Permanent("It said no."), UnfitHost("No role."), KeyError("bug")],
)
def test_a_registration_that_fails_is_a_warning_and_changes_nothing(
    scene: Scene, error: Exception
) -> None:
    scene.backend.faults["register"] = [error]
    version = scene.trains(b"one")
    build = scene.offer(promote=ASKED)
    [warning] = build.warnings
    assert warning.startswith(f"{MODEL}@{version} could not be registered: ")
    assert (build.verdict, outcome_of(build)) == (Verdict.SUCCEEDED, "promoted")
    assert [entry.id for entry in scene.log()] == [version]
    assert warning in scene.told().warnings


class Dead(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("deaths", "warned"), [(1, False), (2, False), (9, True)])
def test_a_handler_that_dies_in_it_leaves_it_to_the_next_one_until_it_is_done_without(
    scene: Scene, deaths: int, warned: bool
) -> None:
    version = scene.trains(b"one")
    real = scene.backend.register
    died: list[Registration] = []

    def dies(made: Registration) -> None:
        real(made)
        if len(died) < deaths:
            died.append(made)
            raise Dead

    scene.backend.register = dies  # type: ignore[method-assign]  # one method of a twin, for this test
    with pytest.raises(Dead):
        scene.offer(promote=ASKED)
    for _ in range(deaths):
        scene.clock.sleep(120)
        scene.conductor.sweep()
        with suppress(Dead):
            scene.run_to_end()
    [build] = scene.state.builds()
    assert {made.version for made in scene.backend.registered} == {version}
    assert len(died) == min(deaths, DEATHS)
    assert [entry.id for entry in scene.log()] == [version]
    assert scene.told().verdict is Verdict.SUCCEEDED
    assert any("hosts died while they registered" in each for each in build.warnings) == warned


@pytest.mark.parametrize("good", [True, False])
def test_what_is_verified_is_registered_then_and_what_is_undone_leaves_the_one_before(
    scene: Scene, good: bool
) -> None:
    url = "https://churn.contoso.com"
    verify = {"verify": {"url": url, "answers": 1, "timeout_minutes": 5}}
    scene.example = [[1.0]]
    rules = (AllowedModel.parse(f"{MODEL}={COLLECTION}"),)
    scene.policy = replace(scene.policy, models=ModelPolicy(rules, services=(url,)))
    first = scene.trains(b"one")
    scene.offer(promote=ASKED)
    scene.service.health(url)
    second = scene.trains(b"two")
    if not good:
        scene.service.bad[second] = "it is wrong."
    build = scene.offer(promote={**ASKED, **verify})
    _, made = scene.backend.registered
    assert (made.version, made.replaces, made.rolled_back) == (
        (second, first, False) if good else (first, second, True)
    )
    assert build.verdict is (Verdict.SUCCEEDED if good else Verdict.FAILED)
    assert build.warnings == ()


def outcome_of(build: Build) -> str:
    assert build.promotion is not None
    return str(build.promotion.outcome)


FILE, OTHER = ModelFile("model.pkl", 1, "0" * 64), ModelFile("words.txt", 1, "0" * 64)


@pytest.mark.parametrize(
    ("kind", "path", "files", "folder", "registered"),
    [
        ("pickle", "model.pkl", (FILE,), "/outputs", "outputs/model.pkl"),
        ("pickle", "model.pkl", (FILE, OTHER), "/outputs", "outputs"),
        ("pickle", "model.pkl", (FILE,), "", "model.pkl"),
        ("pickle", "model.pkl", (FILE, OTHER), "", "."),
        ("mlflow", ".", (FILE, OTHER), "/outputs/model", "outputs/model"),
        ("mlflow", "inner", (FILE, OTHER), "/outputs", "outputs/inner"),
        ("mlflow", ".", (FILE,), "", "."),
    ],
)
def test_what_of_a_version_is_registered(
    kind: str, path: str, files: tuple[ModelFile, ...], folder: str, registered: str
) -> None:
    manifest = Manifest(kind, path, "3.11.7", "linux", {}, files)
    assert _path(manifest, folder) == registered
