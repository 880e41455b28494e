"""From a passed gate to the current version: what is entered, and what the step is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.models import Entry, EntryKind
from mlgate.orchestration.runs import Outcome, RunStatus
from tests.support.memory import MemoryModels
from tests.unit.orchestration.engine.builders import outcome
from tests.unit.orchestration.engine.scene import COMPARE, MODEL, TRAIN, Faulty, Scene, manifest
from tests.unit.orchestration.engine.twins import COLLECTION, TOKEN


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_passed_is_the_current_version_with_its_proof(scene: Scene) -> None:
    version = scene.trains(b"one", accuracy=0.9)
    build = scene.offer(promote=COMPARE, build_id="77")
    [entry] = scene.log()

    assert (entry.number, entry.id, entry.replaces) == (1, version, None)
    assert entry.build is not None
    assert (entry.build.key, entry.build.build_id, entry.build.pipeline) == (
        build.key,
        "77",
        "Nightly models",
    )
    assert entry.repository is not None
    assert entry.repository.commit == "c" * 40
    assert entry.metrics == {"train": {"accuracy": 0.9}}
    assert "2 of 2 runs passed" in (entry.gate or "")
    assert scene.models.missing(MODEL, version) == []
    told = scene.told()
    assert told.verdict is Verdict.SUCCEEDED
    assert told.variables["promotion.outcome"] == "promoted"
    assert told.variables["promotion.number"] == "1"
    assert told.variables["promotion.id"] == version


@pytest.mark.parametrize(
    ("accuracy", "promote", "outcome", "verdict"),
    [
        (0.95, {}, "promoted", Verdict.SUCCEEDED),
        (0.9, {}, "kept", Verdict.SUCCEEDED),
        (0.9, {"when": "not_worse"}, "promoted", Verdict.SUCCEEDED),
        (0.8, {}, "kept", Verdict.FAILED),
        (0.8, {"worse": "keep"}, "kept", Verdict.SUCCEEDED),
        (None, {}, "refused", Verdict.FAILED),
    ],
)
def test_a_candidate_is_weighed_against_the_one_on_record(
    scene: Scene, accuracy: float | None, promote: dict[str, Any], outcome: str, verdict: Verdict
) -> None:
    first = scene.trains(b"one", accuracy=0.9)
    scene.offer(promote=COMPARE)
    second = scene.trains(b"two", **({} if accuracy is None else {"accuracy": accuracy}))
    scene.offer(promote={**COMPARE, **promote})

    told = scene.told()
    assert (told.variables["promotion.outcome"], told.verdict) == (outcome, verdict)
    ids = [entry.id for entry in scene.log()]
    assert ids == ([second, first] if outcome == "promoted" else [first])
    assert told.variables.get("promotion.previous") == (first if outcome == "promoted" else None)
    assert ("is kept" in " ".join(told.warnings)) is (promote == {"worse": "keep"})


def test_runs_find_the_current_version_and_what_they_measure_of_it_counts(scene: Scene) -> None:
    first = scene.trains(b"one", accuracy=0.9)
    scene.offer(promote=COMPARE)
    assert scene.backend.staged == {}
    scene.trains(b"two", accuracy=0.85, accuracy_before=0.8)
    compare = [{"run": "train", "metric": "accuracy", "current": "accuracy_before"}]
    build = scene.offer(promote={"compare": compare})

    assert scene.backend.staged == {first: {"model.pkl": b"one"}}
    assert build.current_version == first
    assert build.promotion is not None
    assert [each.measured for each in build.promotion.comparison] == [True]
    assert build.promotion.outcome == "promoted"


@pytest.mark.parametrize("held", [True, False])
def test_only_what_is_on_the_allowed_branch_changes_a_model(scene: Scene, held: bool) -> None:
    """Asked of the repository, whatever the message says of its ref."""
    rule = AllowedModel.parse(f"{MODEL}={COLLECTION}@main")
    scene.policy = replace(scene.policy, models=ModelPolicy((rule,)))
    scene.repository.branches = {"main": {scene.repository.tree.commit} if held else set()}
    scene.trains(b"one")
    url = "https://dev.azure.com/contoso/p/_git/r"
    build = scene.offer(repository={"url": url, "ref": "refs/heads/main"})

    assert len(scene.log()) == held
    assert build.verdict is (Verdict.SUCCEEDED if held else Verdict.FAILED)
    if not held:
        assert [each.code for each in build.findings] == ["model-not-allowed"]
        assert scene.backend.submitted == []


def test_whether_it_is_on_the_branch_is_asked_as_the_pipeline_s_step(scene: Scene) -> None:
    """With its token, which reads the repository, and for the collection that it is good for."""
    asked: list[tuple[Any, ...]] = []

    def contains(request: Any, commit: str, branch: str, **credentials: Any) -> bool:
        token = credentials["token"].get_secret_value()
        asked.append((request.url, commit, branch, credentials["collection"], token))
        return True

    scene.repository.contains = contains  # type: ignore[method-assign]  # one method of a twin, for this test
    scene.allow(f"{MODEL}@main")
    scene.trains(b"one")
    build = scene.offer()

    assert build.repository is not None
    commit = scene.repository.tree.commit
    assert asked == [(build.repository.url, commit, "main", COLLECTION, TOKEN)]
    assert " is the current version, by entry 1. " in build.reason


def test_reports_draw_the_last_dozen_versions_that_have_the_metric(scene: Scene) -> None:
    scene.trains(b"none")
    scene.offer()  # without a value
    versions = []
    for number in range(14):
        versions.append(scene.trains(f"model {number}".encode(), accuracy=0.5))
        scene.offer()
    scene.trains(b"last", accuracy=0.6)
    build = scene.offer(promote=COMPARE)

    assert build.promotion is not None
    assert build.promotion.outcome == "promoted"
    assert [point.id for point in build.promotion.trend] == versions[-12:]
    scene.models.logs[MODEL] = dict(list(scene.models.logs[MODEL].items())[:3])
    scene.trains(b"another", accuracy=0.7)
    build = scene.offer(promote=COMPARE)
    assert build.promotion is not None
    assert [point.id for point in build.promotion.trend] == versions[:2]


def test_a_gate_that_fails_reaches_no_model(scene: Scene) -> None:
    scene.trains(b"one", accuracy=0.9)
    scene.backend.outcomes["train"] = [Outcome(RunStatus.FAILED)]
    scene.offer()

    assert scene.log() == []
    assert scene.told().variables["promotion.outcome"] == "not_reached"
    assert scene.told().verdict is Verdict.FAILED


def test_the_same_version_again_is_no_entry(scene: Scene) -> None:
    scene.trains(b"one")
    scene.offer()
    scene.offer()

    assert len(scene.log()) == 1
    assert scene.told().variables["promotion.outcome"] == "unchanged"
    assert scene.told().verdict is Verdict.SUCCEEDED


def test_a_model_that_no_run_could_try_is_refused(scene: Scene) -> None:
    scene.trains(b"one")
    scene.backend.outcomes[f"check-{MODEL}"] = [Outcome(RunStatus.FAILED)]
    scene.offer(gate={"condition": "any_pass"})

    assert scene.log() == []
    assert (scene.told().verdict, scene.told().variables["promotion.outcome"]) == (
        Verdict.FAILED,
        "refused",
    )


def test_a_record_that_lies_about_the_files_is_refused(scene: Scene) -> None:
    scene.trains(b"one")
    scene.backend.kept["train"]["outputs/model.pkl"] = b"two"
    scene.offer()

    assert scene.log() == []
    assert scene.told().verdict is Verdict.FAILED


def test_a_build_that_began_earlier_does_not_replace_a_later_one(scene: Scene) -> None:
    scene.trains(b"early")
    scene.backend.places = 0  # it waits
    early = scene.begin()
    while scene.queue.messages and not scene.build(early).runs:
        scene.deliver()
    waiting, scene.queue.messages = scene.queue.messages, []
    scene.clock.sleep(5)
    scene.backend.places = 1000
    late = scene.trains(b"late")
    scene.offer()
    scene.trains(b"early")
    scene.pipeline.waiting, scene.pipeline.said_ended = True, False
    scene.queue.messages = waiting
    scene.run_to_end()

    assert [entry.id for entry in scene.log()] == [late]
    assert scene.build(early).verdict is Verdict.SUCCEEDED
    assert scene.told().variables["promotion.outcome"] == "superseded"


def test_a_rollback_goes_back_and_the_version_is_not_promoted_again(scene: Scene) -> None:
    first = scene.trains(b"one", accuracy=0.9)
    scene.offer(promote=COMPARE)
    second = scene.trains(b"two", accuracy=0.95)
    scene.offer(promote=COMPARE)
    scene.message("rollback", reason="It was slow.")

    head = scene.log()[0]
    assert (head.kind, head.id, head.replaces, head.reason) == (
        EntryKind.ROLLED_BACK,
        first,
        second,
        "It was slow.",
    )
    assert head.metrics == {"train": {"accuracy": 0.9}}  # so that the next one is weighed by them
    assert scene.told().variables["promotion.outcome"] == "rolled_back"
    assert scene.told().verdict is Verdict.SUCCEEDED

    scene.offer(promote=COMPARE)
    assert scene.told().variables["promotion.outcome"] == "refused"
    assert scene.told().verdict is Verdict.FAILED
    assert len(scene.log()) == 3

    scene.message("rollback", to=second)
    assert scene.log()[0].id == second


@pytest.mark.parametrize("to", [None, "0" * 12, 9])
def test_a_rollback_to_nothing_is_refused(scene: Scene, to: str | int | None) -> None:
    scene.trains(b"one")
    scene.offer()
    named: dict[str, Any] = {} if to is None else {"to": to}
    scene.message("rollback", **named)

    assert len(scene.log()) == 1
    assert scene.told().verdict is Verdict.FAILED


def test_what_an_earlier_build_kept_can_be_promoted_later(scene: Scene) -> None:
    """Into another model, as an approval between training and production does."""
    version = scene.trains(b"one", accuracy=0.9)
    build = scene.offer(promote=COMPARE, build_id="77")
    other = AllowedModel.parse(f"production={COLLECTION}")
    scene.policy = replace(scene.policy, models=ModelPolicy((*scene.policy.models.allowed, other)))
    scene.pipeline.waiting, scene.pipeline.said_ended = True, False
    assert scene.start(kind="promote", model="production", build="77", attempt=9)
    scene.run_to_end()

    [entry] = scene.models.log("production")
    assert (entry.id, entry.run, entry.metrics) == (version, "train", {"train": {"accuracy": 0.9}})
    assert entry.repository is not None
    assert entry.repository.url == build.repository.url if build.repository else False


SERVE = {"kind": "serving", "model": "train"}


def serving(scene: Scene, *runs: dict[str, Any], **fields: Any) -> Build:
    """A build that trains, and tries its model in these runs, to its end."""
    scene.pipeline.waiting, scene.pipeline.said_ended = True, False
    key = scene.start(TRAIN, *runs, attempt=next(scene.attempts), **fields)
    assert key is not None
    scene.run_to_end()
    return scene.build(key)


def test_a_serving_run_of_the_same_model_is_the_check(scene: Scene) -> None:
    version = scene.trains(b"one")
    scene.backend.kept["serve"] = scene.backend.kept.pop(f"check-{MODEL}")
    build = serving(scene, {**SERVE, "name": "serve"}, promote={"model": MODEL})

    assert [run.spec.name for run in build.runs] == ["train", "serve"]
    assert [entry.id for entry in scene.log()] == [version]


def test_the_first_of_several_decides_whatever_the_gate_says(scene: Scene) -> None:
    scene.trains(b"one")
    kept = scene.backend.kept.pop(f"check-{MODEL}")
    scene.backend.kept |= {"first": kept, "second": kept}
    scene.backend.outcomes["first"] = [outcome(None, status=RunStatus.FAILED)]
    runs = [{**SERVE, "name": name} for name in ("first", "second")]
    serving(scene, *runs, promote={"model": MODEL}, gate={"condition": "any_pass"})

    assert scene.log() == []
    assert scene.told().variables["promotion.outcome"] == "refused"


def test_a_serving_run_of_another_model_is_not_the_check(scene: Scene) -> None:
    version = scene.trains(b"one")
    other = {**SERVE, "name": "other", "path": "outputs/other.pkl"}
    build = serving(scene, other, promote={"model": MODEL})

    assert [run.spec.name for run in build.runs] == ["train", "other", f"check-{MODEL}"]
    assert [entry.id for entry in scene.log()] == [version]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([None], "promoted"),
        (["outputs/model.pkl"], "promoted"),
        (["outputs/model.pkl", None], "outputs/model.pkl, the recognised one, and offers none"),
    ],
)
def test_what_a_build_tried_without_offering_it_can_be_promoted_later(
    scene: Scene, paths: list[str | None], said: str
) -> None:
    version = scene.trains(b"one")
    kept = scene.backend.kept.pop(f"check-{MODEL}")
    names = [f"serve-{number}" for number, _ in enumerate(paths)]
    scene.backend.kept |= dict.fromkeys(names, kept)
    runs = [
        {**SERVE, "name": name, **({} if path is None else {"path": path})}
        for name, path in zip(names, paths, strict=True)
    ]
    serving(scene, *runs, build_id="77")
    build = scene.message("promote", build="77")

    assert build.promotion is not None
    if said == "promoted":
        assert [entry.id for entry in scene.log()] == [version]
    else:
        assert scene.log() == []
        assert said in build.promotion.reason


def test_of_what_an_earlier_build_tried_its_offer_is_promoted(scene: Scene) -> None:
    version = scene.trains(b"one")
    scene.backend.kept["serve"] = scene.backend.kept[f"check-{MODEL}"]
    offer = {"model": MODEL, "path": "outputs/model.pkl"}
    serving(scene, {**SERVE, "name": "serve"}, promote=offer, build_id="77")
    other = AllowedModel.parse(f"production={COLLECTION}")
    scene.policy = replace(scene.policy, models=ModelPolicy((*scene.policy.models.allowed, other)))
    scene.pipeline.waiting, scene.pipeline.said_ended = True, False
    assert scene.start(kind="promote", model="production", build="77", attempt=99)
    scene.run_to_end()

    assert [entry.id for entry in scene.models.log("production")] == [version]


@pytest.mark.parametrize(("run", "told"), [("train", None), ("other", "no model that other kept.")])
def test_the_run_whose_model_is_promoted_later_can_be_named(
    scene: Scene, run: str, told: str | None
) -> None:
    version = scene.trains(b"one")
    scene.allow("production")
    scene.offer(build_id="77")
    build = scene.message("promote", model="production", build="77", run=run)

    promoted = [entry.id for entry in scene.models.log("production")]
    assert promoted == ([] if told else [version])
    assert build.reason.endswith(told or ".")


@pytest.mark.parametrize("known", [True, False])
def test_a_build_that_did_not_pass_or_is_not_there_promotes_nothing(
    scene: Scene, known: bool
) -> None:
    scene.trains(b"one")
    scene.backend.outcomes["train"] = [outcome(None, status=RunStatus.FAILED)]
    scene.offer(build_id="77")
    scene.message("promote", build="77" if known else "78")

    assert scene.log() == []
    assert scene.told().verdict is Verdict.FAILED
    assert scene.told().variables["promotion.outcome"] == "refused"


class Rivals(MemoryModels):
    """A store where others append first, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def append(self, entry: Entry) -> bool:
        if self.times:
            self.times -= 1
            made = manifest(f"rival {self.times}".encode())
            rival = replace(entry, id=made.id, digest=made.digest, build=None, metrics={})
            self.kept[entry.model, made.id] = (made, {"model.pkl": b"rival"})
            assert super().append(rival)
        return super().append(entry)


@pytest.mark.parametrize(("times", "outcome"), [(1, "promoted"), (5, "promoted"), (6, "refused")])
def test_whoever_is_outrun_weighs_again_five_times_at_most(
    scene: Scene, times: int, outcome: str
) -> None:
    scene.models = Rivals(times)
    version = scene.trains(b"one")
    scene.offer()

    assert scene.told().variables["promotion.outcome"] == outcome
    log = scene.log()
    assert [entry.id for entry in log].count(version) == (outcome == "promoted")
    assert [entry.replaces for entry in log] == [*(entry.id for entry in log[1:]), None]
    assert "not known" not in scene.told().reason


def test_a_pipeline_that_was_canceled_before_the_commit_point_changes_no_model(
    scene: Scene,
) -> None:
    scene.trains(b"one")
    key = scene.begin()

    def end() -> None:
        promotion = scene.build(key).promotion
        if promotion is not None and promotion.copied:
            scene.pipeline.waiting = False

    scene.pipeline.on_asked = end
    scene.run_to_end()

    assert scene.log() == []
    build = scene.build(key)
    assert build.verdict is Verdict.CANCELED
    assert build.promotion is not None
    assert build.promotion.outcome == "not_reached"


@pytest.mark.parametrize("method", ["head", "keep", "append"])
@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_answers_again_costs_a_delay(scene: Scene, method: str, after: bool) -> None:
    store = Faulty(method, Temporary("It does not answer."), after)
    key, version = scene.until_its_runs_are_known(store)
    for _ in range(30):
        scene.deliver()
    assert scene.build(key).open
    store.fault = None
    scene.run_to_end()

    assert [entry.id for entry in scene.log()] == [version]
    assert scene.told().variables["promotion.outcome"] == "promoted"


@pytest.mark.parametrize("method", ["head", "keep", "append"])
@pytest.mark.parametrize(
    ("error", "minutes"),
    [
        (Temporary("It does not answer."), 60),
        (UnfitHost("There is no mark."), 15),
        (Permanent("It said no."), 0),
        (ZeroDivisionError("a bug"), 15),
    ],
)
def test_a_store_that_fails_for_ever_fails_the_build(
    scene: Scene, method: str, error: Exception, minutes: int
) -> None:
    began = scene.clock.time
    scene.until_its_runs_are_known(Faulty(method, error, after=False), deadline_minutes=60)
    scene.run_to_end(1000)

    took = (scene.clock.time - began) / timedelta(minutes=1)
    assert minutes <= took <= minutes + 10
    told = scene.told()
    assert (told.verdict, told.variables["promotion.outcome"]) == (Verdict.FAILED, "refused")
    assert scene.log() == []


def test_the_files_of_versions_that_are_long_gone_go(scene: Scene) -> None:
    scene.policy = replace(scene.policy, models=replace(scene.policy.models, keep=3))
    versions = []
    for number in range(6):
        versions.append(scene.trains(f"model {number}".encode()))
        scene.offer()
        scene.clock.sleep(90_000)

    assert set(scene.models.versions(MODEL)) == set(versions[-3:])
    assert all(scene.models.manifest(MODEL, version) for version in versions)


def test_a_rollback_to_a_version_whose_files_are_gone_is_refused(scene: Scene) -> None:
    versions = []
    for number in range(2):
        versions.append(scene.trains(f"model {number}".encode()))
        scene.offer()
    scene.models.drop_files(MODEL, versions[0])
    scene.message("rollback")

    assert "are missing" in scene.told().reason
    assert len(scene.log()) == 2


def test_the_completion_and_the_report_say_was_is_why_and_the_way_back(scene: Scene) -> None:
    first = scene.trains(b"one", accuracy=0.9)
    scene.offer(promote=COMPARE)
    second = scene.trains(b"two", accuracy=0.95)
    build = scene.offer(promote=COMPARE)
    said = json.loads(scene.files.read(build.key, "result.json") or b"")["promotion"]

    assert said == {
        "model": MODEL,
        "outcome": "promoted",
        "reason": said["reason"],
        "id": second,
        "number": 2,
        "replaces": first,
        "digest": manifest(b"two").digest,
        "comparison": [
            {
                "run": "train",
                "metric": "accuracy",
                "candidate": 0.95,
                "current": 0.9,
                "measured": False,
                "verdict": "better",
            }
        ],
        "verified": None,
    }
    page = (scene.files.read(build.key, "report.html") or b"").decode()
    for words in (f"{MODEL}@{first}", f"{MODEL}@{second}", f"mlgate rollback {MODEL}", "accuracy"):
        assert words in page
        assert words in scene.pipeline.published[-1].summary
    assert f"model {MODEL}" in [each.name for each in scene.pipeline.published[-1].runs]
