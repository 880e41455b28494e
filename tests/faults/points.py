"""Every point at which a fault may strike, and what must hold then."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.findings import Code
from mlgate.orchestration.models import Entry, EntryKind
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Completion
from tests.faults import renderers
from tests.faults.faulty import PORTS, Fault, Point, methods_of
from tests.faults.models import MODEL, VERIFYING, Models
from tests.faults.world import MINUTE, Story, World, record_bytes, verdict_of
from tests.unit.orchestration.engine.builders import NOON

FIVE = timedelta(minutes=5)
NONE = timedelta(0)
CLOCKS = ((NONE, NONE), (FIVE, -FIVE), (-FIVE, FIVE), (FIVE, FIVE), (-FIVE, -FIVE))
DEADLINE = timedelta(hours=24)

PLAIN = Story("plain")
CANCELED = Story("pipeline canceled", endless=("c",), canceled_at=1.5)
ASKED = Story("mlgate cancel", endless=("c",), cancel_at=1.5)
LATE = Story("deadline", endless=("c",))
GONE = Story("host gone", host="local", gone_at=1.0)
INVALID = Story("invalid message", invalid=True)
AGAIN = Story("judged before", again=True)
PROMOTES = Story("promotes", models=Models.FIRST)
REPLACES = Story("promotes over others", models=Models.NEXT)
STUCK = Story("canceled while it promotes", models=Models.STUCK, cancel_at=5.0)
BACK = Story("rolls back", models=Models.BACK)
VERIFIED = Story("verifies", models=Models.VERIFIED)
UNDONE = Story("undoes", models=Models.UNDONE)
UNSERVED = Story("canceled while it verifies", models=Models.UNSERVED, canceled_at=4.0)
OF_MODELS = (PROMOTES, REPLACES, STUCK, BACK, VERIFIED, UNDONE, UNSERVED)
MANY = replace(PLAIN, others=60)
STORIES = (PLAIN, CANCELED, ASKED, LATE, GONE, INVALID, AGAIN, *OF_MODELS)

KILLS = (Fault.KILLED, Fault.KILLED_AFTER)
FAILING = (Fault.TEMPORARY, Fault.PERMANENT, Fault.UNFIT, Fault.BUG)
PASSING = (Fault.TEMPORARY, Fault.LOST)
# Without these, for ever, nobody can act on a build at all.
INDISPENSABLE = {("state", name) for name in ("create", "load", "save", "lease", "token")}
BEST_EFFORT = {
    ("pipeline", "show"),
    ("pipeline", "is_waiting"),
    ("pipeline", "name"),
    ("pipeline", "publish"),
    ("backend", "release"),
    ("backend", "register"),
    ("state", "release"),
    ("state", "due"),
    ("state", "set_due"),
    ("state", "forget_token"),
    ("queue", "send"),
}
# Calls that take long to fail: the SDKs' own tries, and their limits.
_ALL_BUT_THE_VERDICT = (("pipeline", "show"), ("pipeline", "is_waiting"), ("pipeline", "publish"))
SLOW: Sequence[tuple[str, str, tuple[tuple[str, str], ...]]] = (
    ("files", "*", ()),
    ("files", "copy", ()),
    ("files", "write", ()),
    ("files", "*", _ALL_BUT_THE_VERDICT),
    ("pipeline", "publish", ()),
    ("pipeline", "publish", _ALL_BUT_THE_VERDICT),
)
SLOW_SECONDS = (20.0, 67.0)
MOST_AN_HOUR = 600  # deliveries
MOST_CALLS = 12  # of one method, at each of which a single fault is tried
MOST_RECORD = 64 << 10  # bytes, of a build of three runs


@dataclass(frozen=True)
class Trial:
    story: Story
    ahead: tuple[timedelta, timedelta]
    point: Point | None
    seed: int = 0

    def __str__(self) -> str:
        clocks = "/".join(f"{each / MINUTE:+.0f}" for each in self.ahead)
        return f"[{self.story.name}, clocks {clocks}] {self.point}"


@dataclass(frozen=True)
class Result:
    trial: Trial
    struck: bool
    row: str  # of the contract's table
    late: timedelta | None  # told so long after what the row counts from
    violations: tuple[str, ...]


def methods() -> list[tuple[str, str]]:
    """Everything that can be struck: each method of each port, each renderer."""
    found = [(port, method) for port in PORTS for method in methods_of(port)]
    return found + [("renderer", renderers.label(place)) for place in renderers.places()]


def trials() -> Iterator[Trial]:
    """All of them, in an order that does not change."""
    for story in STORIES:
        for ahead in CLOCKS:
            yield Trial(story, ahead, None)
    for number, (port, method) in enumerate(methods()):
        for fault in Fault:
            if fault is Fault.UNDONE and port != "queue":
                continue
            for story in STORIES:
                if story == LATE:
                    continue
                known = _calls(story, CLOCKS[0]).get((port, method), 0)
                most = MOST_CALLS if story == PLAIN or port in ("models", "service") else 2
                clocks: Sequence[tuple[timedelta, timedelta]] = CLOCKS[1:2]
                if story == PLAIN:
                    clocks = CLOCKS[:3]
                if _lasts(port, method, fault):
                    clocks = CLOCKS[1:2] if story == PLAIN or port == "models" else CLOCKS[:0]
                for call in range(1, min(known, most) + 1):
                    ahead = CLOCKS[(number + call) % len(CLOCKS)]
                    yield Trial(story, ahead, Point(port, method, fault, call), number + call)
                for ahead in clocks if known else ():
                    half = _calls(story, ahead).get((port, method), 0) // 2
                    for call in sorted({1, max(1, half)}):
                        point = Point(port, method, fault, call, for_ever=True)
                        yield Trial(story, ahead, point, number)
            if (port, method) in _OF_THE_DEADLINE:
                for for_ever in (False, True):
                    point = Point(port, method, fault, 1, for_ever=for_ever)
                    yield Trial(LATE, CLOCKS[number % len(CLOCKS)], point, number)
    yield from slow_trials((PLAIN, MANY, CANCELED, ASKED, LATE))


def slow_trials(stories: Sequence[Story]) -> Iterator[Trial]:
    """Calls that take long to fail, each time."""
    for port, method, others in SLOW:
        for fault, story, seconds in itertools.product(FAILING, stories, SLOW_SECONDS):
            point = Point(port, method, fault, for_ever=True, seconds=seconds, others=others)
            yield Trial(story, CLOCKS[0], point)


_OF_THE_DEADLINE = {
    ("backend", "look"),
    ("backend", "cancel"),
    ("backend", "collect"),
    ("pipeline", "complete"),
    ("files", "write"),
}


def _lasts(port: str, method: str, fault: Fault) -> bool:
    """Whether it lasts a day or longer, for ever: few of these show what all of them do."""
    waits = port in ("backend", "models") or (port, method) == ("pipeline", "complete")
    return (waits and fault in PASSING) or _indispensable(Point(port, method, fault))


@cache
def _calls(story: Story, ahead: tuple[timedelta, timedelta]) -> dict[tuple[str, str], int]:
    """How often each method is called where nothing fails."""
    world = World(story, ahead)
    world.run(NOON + timedelta(hours=1))
    return world.strikes.calls


def attempt(trial: Trial) -> Result:
    """One build, from its message to its end, and what did not hold."""
    world = World(trial.story, trial.ahead, trial.point, trial.seed)
    build = world.run(NOON + _longest(trial))
    row, since, limit = _row(world, trial)
    told = world.step.told[1:] if trial.story == AGAIN else world.step.told
    told_at = told[0][0] if told else None
    late = None if told_at is None or since is None else told_at - since
    violations = list(_violations(world, trial, build))
    if late is not None and limit is not None and late > limit:
        violations.append(f"told {late} after what counts, instead of {limit}")
    return Result(
        trial, bool(world.strikes.struck) or trial.point is None, row, late, tuple(violations)
    )


def _longest(trial: Trial) -> timedelta:
    point = trial.point
    if point is None or not point.for_ever:
        return timedelta(hours=26) if trial.story == LATE else timedelta(hours=3)
    if trial.story != LATE and (_indispensable(point) or point.fault in KILLS):
        return timedelta(hours=1)
    return timedelta(hours=50)


def _indispensable(point: Point | None) -> bool:
    """Whether nobody can act on a build at all while this lasts."""
    if point is None:
        return False
    place = (point.port, point.method)
    no_messages = place == ("queue", "send") and point.fault in (*KILLS, Fault.UNDONE)
    stored = place != ("state", "create") or point.fault in KILLS
    return no_messages or (place in INDISPENSABLE and stored)


def _row(world: World, trial: Trial) -> tuple[str, datetime | None, timedelta | None]:
    """The row of the contract that applies, since when it counts, and its limit."""
    story, point = trial.story, trial.point
    skew = max(NONE, *trial.ahead) - min(NONE, *trial.ahead)  # of each host, once
    ends = [world.compute.ends(each) for each in world.compute.began]
    ended = max((each for each in ends if each is not None), default=NOON)
    if story in (INVALID, AGAIN):
        more = 10 * MINUTE + 2 * MINUTE * len(world.kills) if point is not None else NONE
        return story.name, world.again_at or NOON, MINUTE + skew + more
    blind = point is not None and point.for_ever and point.strikes("pipeline", "is_waiting")
    if story.canceled_at is not None and blind:
        return "deadline", NOON + DEADLINE, 10 * MINUTE + skew  # nobody can see it before
    if world.kills:
        # Two minutes for each process that died, and what another row may take besides.
        since = {LATE: NOON + DEADLINE, GONE: NOON + 15 * MINUTE}
        if story.cancel_at is not None:
            since[story] = NOON + story.cancel_at * MINUTE
        most = 2 * MINUTE * len(world.kills) + 10 * MINUTE + skew
        return "a handler is killed", since.get(story, ended), most
    if story == GONE:
        more = NONE if point is None else 10 * MINUTE  # another row's, after that
        return "the host of local runs is gone", NOON + MINUTE, 15 * MINUTE + skew + more
    if story == LATE:
        return "deadline", NOON + DEADLINE, 10 * MINUTE + skew
    if story.cancel_at is not None:
        return "cancel", NOON + story.cancel_at * MINUTE, 10 * MINUTE + skew
    if point is None:
        return "nothing fails", ended, MINUTE + skew
    shown = _place(point) in {("pipeline", "publish"), ("pipeline", "show")}
    if shown or (point.port in ("files", "renderer") and point.method != "acts:plan"):
        return "files or rendering fail", ended, 10 * MINUTE + skew
    if not point.for_ever:
        return "a fault, once", ended, 10 * MINUTE + skew
    if point.port == "models" and point.fault in PASSING:
        return "a model store that never answers", NOON + DEADLINE, 10 * MINUTE + skew
    if point.port == "backend" and point.fault in PASSING:
        return "a backend that never answers", NOON + DEADLINE, 10 * MINUTE + skew
    return "a fault, for ever", NOON, 40 * MINUTE + skew


def _place(point: Point | None) -> tuple[str, str] | None:
    return None if point is None else (point.port, point.method)


def _violations(world: World, trial: Trial, build: Build | None) -> Iterator[str]:
    point, story = trial.point, trial.story
    if point is not None and not world.strikes.struck:
        yield "the call to strike never came"
        return
    if story == GONE and world.kills and point is not None and point.for_ever:
        yield from _never_twice(world)
        return  # nobody lives long enough to see that the other host is gone
    for_ever = point is not None and point.for_ever
    place = _place(point)
    if for_ever and _indispensable(point):
        yield from _never_twice(world)
        return
    refused = (
        place == ("pipeline", "complete")
        and point is not None
        and (point.fault is Fault.PERMANENT or (for_ever and point.fault is not Fault.LOST))
    )
    silent = story.canceled_at is not None or refused
    if len(world.step.told) < 1 + (world.again_at is not None) and not silent:
        yield "the step was never told"
    blind = for_ever and point is not None and point.strikes("pipeline", "is_waiting")
    if story.canceled_at is not None and not blind and world.step.told_in_vain:
        yield "a canceled pipeline was told"
    yield from _never_twice(world)
    if story == INVALID:
        return
    verdict = verdict_of(world)
    copy = refused and bool(world.step.told) and _answers_a_copy(world.step.told[0][1])
    if verdict is not None and verdict not in _expected(trial) and not copy:
        yield f"the verdict is {verdict}: {world.step.told[0][1].reason}"
    if (place == ("state", "create") and for_ever) or (refused and world.kills):
        return
    if blind and story.canceled_at is not None and world.kills:
        return  # until the deadline, nobody lives long enough to see that it was canceled
    if build is None or build.open:
        yield "the build is still open"
        return
    kept = for_ever and place == ("state", "forget_token")
    if world.state.tokens and not kept:
        yield "the token is still there"
    cannot = story == GONE or (for_ever and place == ("backend", "cancel"))
    for each in world.compute.began if not cannot else ():
        if world.compute.status(each) is RunStatus.RUNNING and each not in world.compute.canceled:
            yield f"{each.run} goes on, and was not asked to end"
    hours = 1 + (world.clock.time - NOON) / timedelta(hours=1)
    if world.deliveries > MOST_AN_HOUR * hours or not world.is_busy_with_something:
        yield f"{world.deliveries} deliveries in {hours:.0f} hours"
    if not copy:
        yield from _of_model(world, build)
    yield from _registered(world, build)
    if record_bytes(build) > MOST_RECORD:
        yield f"a record of {record_bytes(build)} bytes"


def _answers_a_copy(said: Completion) -> bool:
    """A step whose completion was refused still waits, so another copy of its message is answered
    with the verdict as a finding."""
    return [each.code for each in said.findings] == [Code.ALREADY_JUDGED]


def _of_model(world: World, build: Build) -> Iterator[str]:
    """The completion says what the log says."""
    log = list(world.models.log(MODEL))
    own = [entry for entry in log if _is_of(entry, build)]
    kinds = [entry.kind for entry in own]
    if len(set(kinds)) < len(kinds):
        yield f"the model was entered as {kinds}"
    if gone := [entry.id for entry in (*own, *log[:1]) if world.models.missing(MODEL, entry.id)]:
        yield f"entries without a version: {gone}"
    unverified = build.promotion is not None and build.promotion.verified is False
    if unverified and kinds and kinds[0] is EntryKind.PROMOTED and " stays: " not in build.reason:
        yield f"what was not verified is the current version: {build.reason}"
    if (
        world.story.models in VERIFYING
        and kinds
        and not unverified
        and build.verdict != "succeeded"
    ):
        yield f"nobody verified it: {build.reason}"
    for _, told in world.step.told:
        outcome = told.variables.get("promotion.outcome")
        in_doubt = "It is not known whether" in told.reason
        entered = outcome in ("promoted", "rolled_back")
        if not told.variables:  # they could not be made
            entered = ", by entry " in told.reason
        elif entered and kinds:
            entered = outcome == kinds[0]
        if entered is not bool(own) and not in_doubt:
            yield f"the step was told {outcome}, and the log has {kinds}: {told.reason}"


def _registered(world: World, build: Build) -> Iterator[str]:
    """What was entered is registered as well, or a warning says why not."""
    if build.promotion is None or not build.promotion.passed:
        return
    entered = [entry.id for entry in world.models.log(MODEL) if _is_of(entry, build)]
    warned = any("could not be registered" in warning for warning in build.warnings)
    missing = set(entered) - world.compute.registered.keys()
    if missing and not warned:
        yield f"entered, and neither registered nor warned of: {missing}"


def _is_of(entry: Entry, build: Build) -> bool:
    return entry.build is not None and entry.build.key == build.key


def _never_twice(world: World) -> Iterator[str]:
    if len(world.step.told) > 1 + world.story.again:
        yield f"the step was told {len(world.step.told)} times"
    if extra := [
        each for each in world.compute.began if each.number > (2 if each.run == "a" else 1)
    ]:
        yield f"attempts that nobody asked for: {extra}"


def _expected(trial: Trial) -> set[Verdict]:
    """The verdicts that may be told."""
    point, story = trial.point, replace(trial.story, others=0)
    if story == GONE and point is not None:
        return {Verdict.FAILED, Verdict.SUCCEEDED}  # where the other host began with it
    if story not in (PLAIN, AGAIN, PROMOTES, REPLACES, BACK, VERIFIED):
        return {Verdict.FAILED}
    if point is None:
        return {Verdict.SUCCEEDED}
    place = _place(point)
    if story.models is not None and point.port in ("files", "models"):
        return {Verdict.SUCCEEDED, Verdict.FAILED}  # as the log has it
    if place == ("backend", "stage_model") and point.fault is Fault.PERMANENT:
        return {Verdict.SUCCEEDED}  # its runs go without it, with a warning
    if story == AGAIN and place == ("pipeline", "complete"):
        return {Verdict.SUCCEEDED, Verdict.FAILED}  # the first one may have been refused
    decides = (
        point.port in ("backend", "repository", "tree", "models", "service")
        or place in INDISPENSABLE
        or point.method in ("acts:plan", "acts:judge")
    )
    if not decides or place in BEST_EFFORT:
        return {Verdict.SUCCEEDED}
    if point.for_ever:
        return {Verdict.FAILED} if place not in INDISPENSABLE else set(Verdict)
    if point.fault is Fault.PERMANENT:
        return {Verdict.SUCCEEDED, Verdict.FAILED}
    return {Verdict.SUCCEEDED}
