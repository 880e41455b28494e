"""After the commit: the server has to answer with the new version, or the entry is undone.

The entry that undoes it is one more in the log, which makes the version before current again. As
with the commit, what is to be appended is remembered before it is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from mlgate.orchestration.builds import Build
from mlgate.orchestration.engine.promoting import endings
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.models import Entry
from mlgate.orchestration.ports import Health, Ports
from mlgate.orchestration.promotion import history, offers
from mlgate.orchestration.promotion.weighing import Weighed
from mlgate.orchestration.promotions import Promotion, PromotionOutcome, Verification
from mlgate.orchestration.text import minutes

HELD_BACK = "held_back"  # the status of a server that does not try again
AT_ONCE = timedelta(seconds=20)  # in which one look asks for answers


def looking(build: Build, now: datetime) -> Build:
    """The build before a look at the server; `now` is by the broker's clock."""
    _, verification = _open(build)
    since = verification.since or now
    return _changed(build, since=since, waited=(now - since).total_seconds())


def looked(ports: Ports, build: Build) -> Build:
    """The build after one look at the server."""
    promotion, verification = _open(build)
    try:
        health = ports.service.health(verification.request.url)
        seen = _seen(promotion, health)
        if health.model not in (None, promotion.model):
            return _changed(build, answered=0, seen=seen)
        if verification.undone is not None:
            return _after_undo(ports, build, health, seen)
        if _holds_back(promotion, health):
            return _changed(build, failed=seen)
        if (health.number, health.id) != (promotion.number, promotion.id):
            if _replaced(ports, promotion, health):
                return _changed(build, failed=f"It was replaced before it was verified. {seen}")
            return _changed(build, answered=0, seen=seen)
        return _answered(ports, build, seen)
    except OrchestrationError as error:
        return _changed(build, answered=0, seen=str(error))


def undone(ports: Ports, build: Build) -> Build:
    """The build with the entry that undoes its own, first as it is to be appended; or its end,
    where there is nothing to return to."""
    promotion, verification = _open(build)
    if verification.failed is None:
        build = _changed(build, failed=_overdue(build, verification))
        promotion, verification = _open(build)
    models, undo = ports.models(), verification.undo
    if undo is None:
        head = models.head(promotion.model)
        if head.entry is None or head.entry.number != promotion.number:
            build = _changed(build, current=head.entry.id if head.entry else None)
            return _stays(ports, build, "a later one is the current one.")
        if promotion.was is None:
            return _stays(ports, build, "there is no version before it.")
        before = history.named(promotion.was, models.log(promotion.model))
        if before is None or models.missing(promotion.model, promotion.was):
            return _stays(ports, build, f"the files of {promotion.was} were removed.")
        why = verification.failed or ""
        entry = offers.rolled_back(before, head, why, ports.clock.now(), build=build, person=None)
        return _changed(build, undo=entry)
    found: Entry | None = undo
    if not models.append(undo):
        number_before = promotion.number or 0
        found = history.of_build(build.key, models.log(promotion.model), number_before)
    if found is None:  # somebody else's came first
        return _changed(build, undo=None)
    return _changed(build, undo=None, undone=found.number, since=None, waited=0.0, seen="")


def closed(ports: Ports, build: Build) -> Build:
    """The end of a build whose entry is undone, and whose server has not returned yet."""
    if build.ending_since is not None:
        return _undone(ports, build)
    _, verification = _open(build)
    return _undone(ports, build, f"The server does not answer with it yet. {verification.seen}")


def stuck(ports: Ports, build: Build, why: str) -> Build:
    """The end of a build whose entry cannot be undone."""
    _, verification = _open(build)
    if verification.undone is not None:
        return closed(ports, build)
    doubt = f" {endings.in_doubt(verification.undo)}" if verification.undo else ""
    if verification.failed is None:
        build = _changed(build, failed=_overdue(build, verification))
    return _stays(ports, build, f"it could not be undone. {why}{doubt}")


def unasked(ports: Ports, build: Build, why: str) -> Build:
    """The build whose server cannot be asked: its entry is to be undone, if it is not yet."""
    _, verification = _open(build)
    if verification.undone is not None:
        return closed(ports, _changed(build, seen=why))
    return _changed(build, failed=why)


def _answered(ports: Ports, build: Build, seen: str) -> Build:
    """The build after as many answers as are still wanted, or as one look asks for."""
    promotion, verification = _open(build)
    assert promotion.id is not None
    wanted, answered = verification.request.answers, verification.answered
    manifest = ports.models().manifest(promotion.model, promotion.id)
    if manifest is None or manifest.example is None:
        warning = (
            f"No answer of {promotion.model}@{promotion.id} was verified, as no example is kept "
            "with it: the server says that it serves it."
        )
        return _verified(ports, replace(build, warnings=(*build.warnings, warning)), 0)
    until = ports.clock.now() + AT_ONCE
    while answered < wanted and ports.clock.now() < until:
        answer = ports.service.answer(verification.request.url, manifest)
        names = ("", f"{promotion.model}@{promotion.id}")
        if answer.number != promotion.number or answer.name not in names:
            by = "does not say which version gave it"
            if answer.number is not None:
                by = f"is by {answer.name or 'another version'}, entry {answer.number}"
            said = f"{seen} An answer to the example {by}. {answer.wrong or ''}".strip()
            return _changed(build, answered=0, seen=said)
        if answer.wrong is not None:
            return _changed(build, answered=answered, failed=answer.wrong)
        answered += 1
    if answered < wanted:
        return _changed(build, answered=answered, seen=f"{answered} of {wanted} answers are right.")
    return _verified(ports, build, answered)


def _after_undo(ports: Ports, build: Build, health: Health, seen: str) -> Build:
    """The end of a build whose server has returned to the version before."""
    promotion, verification = _open(build)
    assert verification.undone is not None
    if health.number is None or health.number < verification.undone or health.id != promotion.was:
        return _changed(build, seen=seen)
    return _undone(ports, build, "The server answers with it.")


def _verified(ports: Ports, build: Build, answers: int) -> Build:
    promotion, verification = _open(build)
    said = f"{verification.request.url} serves it"
    if answers:
        noun = "answer" if answers == 1 else "answers in a row"
        said = f"{said}: {answers} {noun} as recorded"
    found = Weighed(endings.entered(build), True, f"{promotion.reason} {said}.")
    return _concluded(ports, build, found, verified=True)


def _undone(ports: Ports, build: Build, said: str = "") -> Build:
    promotion, verification = _open(build)
    again = f"{promotion.model}@{promotion.was} is current again, by entry {verification.undone}."
    reason = f"{verification.failed} {again} {said}".strip()
    return _concluded(ports, build, Weighed(PromotionOutcome.ROLLED_BACK, False, reason))


def _stays(ports: Ports, build: Build, why: str) -> Build:
    promotion, verification = _open(build)
    reason = f"{verification.failed} Entry {promotion.number} of {promotion.model} stays: {why}"
    return _concluded(ports, build, Weighed(endings.entered(build), False, reason))


def _concluded(ports: Ports, build: Build, found: Weighed, *, verified: bool = False) -> Build:
    assert build.promotion is not None
    promotion = replace(build.promotion, verified=verified)
    # What was waited for ended now: nothing that follows is late by what the server took.
    build = replace(build, promotion=promotion, ended_at=ports.clock.now())
    return endings.concluded(ports, build, found)


def _overdue(build: Build, verification: Verification) -> str:
    """Why the server is not waited for any longer."""
    assert build.promotion is not None
    version = f"{build.promotion.model}@{build.promotion.id}"
    if build.pipeline_ended:
        return f"Canceled before {version} was verified."
    if build.ending_since is not None:
        why = build.cancel_requested or "The deadline passed."
        return f"{version} was not verified. {why}"
    limit = minutes(verification.request.timeout_minutes)
    seen = verification.seen or "It was not asked."
    return f"{verification.request.url} did not answer with {version} within {limit}. {seen}"


def _seen(promotion: Promotion, health: Health) -> str:
    """What the server says, for people."""
    if health.model not in (None, promotion.model):
        return f"The server serves {health.model}, not {promotion.model}."
    if health.held_back is not None:
        number, reason = health.held_back
        again = "" if health.status == HELD_BACK else " It tries again."
        return f"The server holds entry {number} back: {reason}{again}"
    if health.number is None:
        return f"The server serves no version; its status is {health.status}."
    return f"The server serves {promotion.model}@{health.id}, entry {health.number}."


def _holds_back(promotion: Promotion, health: Health) -> bool:
    """Whether the server holds the entry back for good: what may pass, it tries again."""
    held = health.held_back is not None and health.held_back[0] == promotion.number
    return held and health.status == HELD_BACK


def _replaced(ports: Ports, promotion: Promotion, health: Health) -> bool:
    """Whether a later entry is the current one; a server of another store may count otherwise."""
    if health.number is None or promotion.number is None or health.number < promotion.number:
        return False
    head = ports.models().head(promotion.model).entry
    return head is not None and head.number > promotion.number


def _open(build: Build) -> tuple[Promotion, Verification]:
    assert build.promotion is not None
    assert build.promotion.verification is not None
    return build.promotion, build.promotion.verification


def _changed(build: Build, **changes: object) -> Build:
    promotion, verification = _open(build)
    changed = replace(verification, **changes)  # type: ignore[arg-type] # the fields' own types
    return replace(build, promotion=replace(promotion, verification=changed))
