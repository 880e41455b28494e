"""After the commit: what serves the model answers with the new version, or the entry is undone."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.engine.looks import LEASE_SECONDS
from mlgate.orchestration.engine.trouble import DEATHS
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.models import Entry, EntryKind
from mlgate.orchestration.verdict.models import promotion_json, story
from tests.support.memory import MemoryModels
from tests.unit.orchestration.engine.scene import MODEL, Scene
from tests.unit.orchestration.engine.test_promoting_meanwhile import back_to
from tests.unit.orchestration.engine.twins import COLLECTION, Killed

URL = "https://churn.contoso.com"
VERIFY: dict[str, Any] = {"verify": {"url": URL, "answers": 3, "timeout_minutes": 5}}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """One whose server serves the first version."""
    scene = Scene(tmp_path)
    scene.example = [[1.0]]
    rules = tuple(AllowedModel.parse(f"{name}={COLLECTION}") for name in (MODEL, "production"))
    scene.policy = replace(scene.policy, models=ModelPolicy(rules, services=(URL,)))
    scene.trains(b"one")
    scene.offer()
    scene.service.health(URL)
    return scene


def begun(scene: Scene, **fields: Any) -> Build:
    """A build whose entry was appended, and whose server is still waited for."""
    key = scene.begin(promote=VERIFY, **fields)
    for _ in range(30):
        promotion = scene.build(key).promotion
        if promotion is not None and promotion.verification is not None:
            return scene.build(key)
        scene.deliver()
    raise AssertionError(scene.build(key))


def kinds(scene: Scene) -> list[EntryKind]:
    return [entry.kind for entry in reversed(scene.log())]


@pytest.mark.parametrize("behind", [0, 3])
def test_a_version_that_answers_as_recorded_is_verified(scene: Scene, behind: int) -> None:
    second = scene.trains(b"two")
    scene.service.behind = behind
    build = scene.offer(promote=VERIFY)

    assert build.verdict is Verdict.SUCCEEDED
    assert f"{URL} serves it: 3 answers in a row as recorded." in build.reason
    said = promotion_json(build)
    assert said is not None
    assert (said["outcome"], said["verified"], said["number"]) == ("promoted", True, 2)
    assert scene.service.served is not None
    assert (scene.service.served.id, scene.service.answers) == (second, 3)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            "held back: scikit-learn 1.5.2 is needed.",
            "The server holds entry 2 back: held back: sc",
        ),
        ("The server answers the example with 500: error 1.", "with 500: error 1. churn@"),
    ],
)
def test_a_version_that_does_not_answer_well_is_undone(scene: Scene, wrong: str, told: str) -> None:
    first = scene.log()[0].id
    second = scene.trains(b"two")
    scene.service.bad[second] = wrong
    before = scene.clock.time
    build = scene.offer(promote=VERIFY)

    assert kinds(scene) == [EntryKind.PROMOTED, EntryKind.PROMOTED, EntryKind.ROLLED_BACK]
    head = scene.log()[0]
    assert (head.id, head.replaces) == (first, second)
    assert wrong in head.reason
    assert told in build.reason
    assert (
        f"churn@{first} is current again, by entry 3. The server answers with it." in build.reason
    )
    assert scene.told().verdict is Verdict.FAILED
    assert scene.told().variables["promotion.outcome"] == "rolled_back"
    said, shown = promotion_json(build), story(build)
    assert said is not None
    assert shown is not None
    assert (said["outcome"], said["verified"]) == ("rolled_back", False)
    assert (shown.now, shown.back) == (f"churn@{first}", None)
    assert (scene.clock.time - before).total_seconds() < 120
    assert scene.service.served is not None
    assert scene.service.served.id == first

    scene.offer(promote=VERIFY)  # whose log says now that it was rolled back
    assert scene.told().variables["promotion.outcome"] == "refused"


def test_a_server_that_does_not_answer_in_time_undoes_it(scene: Scene) -> None:
    scene.trains(b"two")
    scene.service.down = True
    before = scene.clock.time
    build = scene.offer(promote=VERIFY)

    assert kinds(scene)[-1] is EntryKind.ROLLED_BACK
    assert "did not answer with churn@" in build.reason
    assert "within 5 minutes. The server does not answer." in build.reason
    assert "The server does not answer with it yet" in build.reason
    assert 300 <= (scene.clock.time - before).total_seconds() < 600


def test_an_answer_of_another_version_begins_the_row_again(scene: Scene) -> None:
    scene.trains(b"two")
    scene.service.behind = 1
    build, real = begun(scene), scene.service.answer
    given = [2, 2, 1]

    def answer(url: str, version: Any) -> Any:
        found = real(url, version)
        return replace(found, number=given.pop(0)) if given else found

    scene.service.answer = answer  # type: ignore[method-assign]  # one method of a twin, for this test
    scene.run_to_end()
    assert scene.build(build.key).verdict is Verdict.SUCCEEDED
    assert scene.service.answers == 6


def test_without_an_example_what_the_server_says_is_enough(scene: Scene) -> None:
    scene.example = None
    scene.trains(b"two")
    build = scene.offer(promote=VERIFY)
    assert build.verdict is Verdict.SUCCEEDED
    assert scene.service.answers == 0
    assert "no example is kept" in " ".join(scene.told().warnings)


def test_a_first_version_stays_as_there_is_nothing_to_return_to(scene: Scene) -> None:
    scene.models = MemoryModels()
    version = scene.trains(b"two")
    scene.service.served = None
    scene.service.bad[version] = "held back: it is wrong."
    build = scene.offer(promote=VERIFY)
    assert "Entry 1 of churn stays: there is no version before it." in build.reason
    assert (build.verdict, len(scene.log())) == (Verdict.FAILED, 1)
    assert scene.told().variables["promotion.outcome"] == "promoted"


def test_what_somebody_else_made_current_meanwhile_is_not_undone(scene: Scene) -> None:
    first = scene.log()[0].id
    scene.trains(b"two")
    scene.service.behind = 1
    build = begun(scene)
    scene.models.append(back_to(scene, first))
    scene.run_to_end()

    assert len(scene.log()) == 3
    build = scene.build(build.key)
    assert build.verdict is Verdict.FAILED
    assert "It was replaced before it was verified" in build.reason
    assert "Entry 2 of churn stays: a later one is the current one." in build.reason
    shown = story(build)
    assert shown is not None
    assert (shown.now, shown.back) == (f"churn@{first}", None)


def test_the_time_counts_also_where_a_look_comes_without_a_message(scene: Scene) -> None:
    """Then the host's own clock says when it began."""
    scene.trains(b"two")
    scene.service.down = True
    build = begun(scene)
    scene.clock.sleep(60)
    assert scene.conductor.hint(build.key)

    build = scene.build(build.key)
    assert build.promotion is not None
    assert build.promotion.verification is not None
    assert 60 <= build.promotion.verification.waited < 90
    assert build.troubles == ()


def test_what_the_server_tries_again_is_waited_for(scene: Scene) -> None:
    version = scene.trains(b"two")
    scene.service.bad[version], scene.service.passing = "held back: no blob answers.", True
    build = begun(scene)
    for _ in range(3):
        scene.deliver()
    promotion = scene.build(build.key).promotion
    assert promotion is not None
    assert promotion.verification is not None
    assert "It tries again." in promotion.verification.seen
    scene.service.bad.clear()
    scene.run_to_end()
    assert scene.build(build.key).verdict is Verdict.SUCCEEDED


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_of_another_model_verifies_nothing(scene: Scene, when: str) -> None:
    scene.trains(b"two")
    real = scene.service.health
    scene.service.health = lambda url: replace(  # type: ignore[method-assign]  # one method of a twin, for this test
        real(url), model="other" if len(scene.log()) > (when == "after") else MODEL
    )
    build = scene.offer(promote=VERIFY)
    assert build.verdict is Verdict.FAILED
    if when == "before":  # nothing was changed for it
        assert f"{URL} serves other, not churn: check the URL of `verify`." in build.reason
        assert len(scene.log()) == 1
    else:
        assert "The server serves other, not churn." in build.reason
        assert kinds(scene)[-1] is EntryKind.ROLLED_BACK


def test_a_server_that_refuses_this_host_is_said_before_anything_is_changed(scene: Scene) -> None:
    def refuse(_: str) -> Any:
        raise Permanent("It needs a key.")

    scene.trains(b"two")
    scene.service.health = refuse  # type: ignore[assignment,method-assign]  # one method of a twin, for this test
    build = scene.offer(promote=VERIFY)
    assert (build.verdict, len(scene.log())) == (Verdict.FAILED, 1)
    assert scene.told().variables["promotion.outcome"] == "refused"
    assert "It needs a key." in build.reason


@pytest.mark.parametrize("down", [True, False])
def test_of_two_that_are_verified_one_waits_for_the_other(scene: Scene, down: bool) -> None:
    """Else one could return to the other's, which is as bad."""
    good, complete = scene.log()[0].id, scene.pipeline.complete
    bad, scene.service.down = [scene.trains(b"two")], True
    first = begun(scene)
    bad.append(scene.trains(b"three"))
    second = scene.begin(promote=VERIFY)
    for _ in range(30):
        scene.deliver()
    assert len(scene.log()) == 2
    waits = [each.what for each in scene.build(second).troubles]
    assert waits == [f"The build {first.build_id} verifies the current version."]

    def one_of_two(*told: Any, **more: Any) -> None:
        complete(*told, **more)
        scene.pipeline.waiting = True

    scene.pipeline.complete = one_of_two  # type: ignore[method-assign]  # one method of a twin, for this test
    scene.service.bad = {each: f"held back: {each} is bad." for each in bad}
    scene.service.down = down
    scene.run_to_end()
    assert [each.id for each in reversed(scene.log())] == [good, bad[0], good, bad[1], good]


def test_what_failed_before_the_entry_keeps_nobody_from_canceling(scene: Scene) -> None:
    scene.trains(b"two")
    scene.service.down = True
    real, faults = scene.files.parts, [1, 1]

    def parts(key: str, path: str) -> Any:
        if faults and path.endswith("model.pkl"):
            faults.pop()
            raise Temporary("The files do not answer.")
        return real(key, path)

    scene.files.parts = parts  # type: ignore[assignment,method-assign]  # one method of a twin, for this test
    begun(scene)
    before = scene.clock.time
    scene.pipeline.waiting = False
    scene.run_to_end()
    assert (scene.clock.time - before).total_seconds() < 60
    assert kinds(scene)[-1] is EntryKind.ROLLED_BACK


@pytest.mark.parametrize(("seconds", "ahead"), [(61, (0, 0)), (14, (2.5, -2.5)), (1, (-5, 5))])
def test_the_timeout_is_kept_however_slow_looks_are_and_whatever_clocks_say(
    scene: Scene, seconds: int, ahead: tuple[float, float]
) -> None:
    def health(_: str) -> Any:
        scene.clock.time += timedelta(seconds=seconds)
        raise Temporary("The server does not answer.")

    scene.trains(b"two")
    scene.service.health = health  # type: ignore[assignment,method-assign]  # one method of a twin, for this test
    hosts = itertools.cycle(scene.host(timedelta(minutes=each)) for each in ahead)
    scene.begin(promote=VERIFY)
    committed = undone = None
    while scene.queue.messages:
        scene.deliver(host=next(hosts))
        committed = committed or (scene.clock.time if len(scene.log()) == 2 else None)
        undone = undone or (scene.clock.time if len(scene.log()) == 3 else None)
    assert committed is not None
    assert undone is not None
    assert 4 <= (undone - committed).total_seconds() / 60 <= 7


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("pipeline", "Canceled before churn@{} was verified."),
        ("cancel", "churn@{} was not verified. Enough."),
        ("deadline", "churn@{} was not verified. The deadline passed."),
    ],
)
def test_a_build_that_must_end_before_it_is_verified_undoes_its_entry(
    scene: Scene, how: str, why: str
) -> None:
    first = scene.log()[0].id
    second = scene.trains(b"two")
    scene.service.down = True
    build = begun(scene, **({"deadline_minutes": 3} if how == "deadline" else {}))
    told = len(scene.pipeline.completions)
    if how == "pipeline":
        scene.pipeline.waiting = False
    elif how == "cancel":
        scene.conductor.cancel(build.key, "Enough.")
    scene.run_to_end()

    build = scene.build(build.key)
    assert (scene.log()[0].id, kinds(scene)[-1]) == (first, EntryKind.ROLLED_BACK)
    assert build.verdict is (Verdict.CANCELED if how == "pipeline" else Verdict.FAILED)
    assert build.reason.startswith(why.format(second))
    assert len(scene.pipeline.completions) - told == (how != "pipeline")


@pytest.mark.parametrize("good", [True, False])
def test_a_rollback_is_verified_as_a_promotion_is(scene: Scene, good: bool) -> None:
    first = scene.log()[0].id
    second = scene.trains(b"two")
    scene.offer()
    scene.service.health(URL)
    if not good:
        scene.service.bad[first] = "held back: it is wrong."
    build = scene.message("rollback", **VERIFY)

    assert build.verdict is (Verdict.SUCCEEDED if good else Verdict.FAILED)
    assert scene.log()[0].id == (first if good else second)
    assert scene.told().variables["promotion.outcome"] == "rolled_back"
    assert build.promotion is not None
    assert build.promotion.verified is good


def test_what_an_earlier_build_kept_is_verified(scene: Scene) -> None:
    scene.service.model = "production"
    scene.service.served = None
    build = scene.message(
        "promote", model="production", build=scene.state.builds()[0].key, **VERIFY
    )
    assert build.verdict is Verdict.SUCCEEDED, build.reason
    assert build.promotion is not None
    assert build.promotion.verified is True


def test_a_server_that_the_host_does_not_allow_is_a_finding(scene: Scene) -> None:
    other = {"verify": {"url": "https://elsewhere.contoso.com"}}
    scene.pipeline.waiting, scene.pipeline.said_ended = True, False
    assert scene.start({"name": "train"}, promote={"model": MODEL, **other}) is None
    [found] = scene.pipeline.completions[-1][0].findings
    assert (found.code, found.pointer) == ("service-not-allowed", "/promote/verify/url")
    assert "MLGATE_SERVICES" in found.remedy


@pytest.mark.parametrize("done", [True, False])
def test_an_undo_that_is_not_answered_for_is_appended_once(scene: Scene, done: bool) -> None:
    class Silent(MemoryModels):
        silent = 3

        def append(self, entry: Entry) -> bool:
            if entry.kind is not EntryKind.ROLLED_BACK or not self.silent:
                return super().append(entry)
            self.silent -= 1
            if done:
                super().append(entry)
            raise Temporary("It does not answer.")

    scene.models = Silent(logs=scene.models.logs, kept=scene.models.kept)
    scene.service.bad[scene.trains(b"two")] = "held back: it is wrong."
    build = scene.offer(promote=VERIFY)
    assert len(scene.log()) == 3
    assert scene.told().variables["promotion.outcome"] == "rolled_back"
    assert build.phase is Phase.COMPLETED


def test_a_server_that_kills_who_asks_it_has_the_entry_undone_and_is_asked_no_more(
    scene: Scene,
) -> None:
    scene.trains(b"two")
    scene.service.behind = 1
    build = begun(scene)
    died: list[int] = []

    def health(_: str) -> Any:
        died.append(len(scene.log()))
        raise Killed

    scene.service.health = health  # type: ignore[assignment,method-assign]  # one method of a twin, for this test
    while scene.queue.messages:
        lost = scene.queue.messages[0]
        try:
            scene.deliver()
        except Killed:
            scene.queue.messages.append(lost)
            scene.clock.sleep(LEASE_SECONDS + 1)

    reason = scene.build(build.key).reason
    assert died == [2] * DEATHS
    assert kinds(scene)[-1] is EntryKind.ROLLED_BACK
    assert reason.startswith("3 hosts died while they asked the server.")
    assert reason.endswith("not answer with it yet. 3 hosts died while they asked the server.")


def test_an_undo_that_a_store_refuses_is_what_the_step_is_told(scene: Scene) -> None:
    class Closed(MemoryModels):
        def append(self, entry: Entry) -> bool:
            if entry.kind is EntryKind.ROLLED_BACK:
                raise Temporary("It does not answer.")
            return super().append(entry)

    scene.models = Closed(logs=scene.models.logs, kept=scene.models.kept)
    scene.service.bad[scene.trains(b"two")] = "held back: it is wrong."
    build = begun(scene)
    scene.conductor.cancel(build.key, "Enough.")
    scene.run_to_end()
    reason = scene.build(build.key).reason
    assert "Entry 2 of churn stays: it could not be undone. It does not answer." in reason
    assert "It is not known whether entry 3 of churn was appended" in reason
