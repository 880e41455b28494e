"""`publish --wait` ends, whatever becomes of build, hosts and state; on simulated time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mlgate.hosts.following import OVERTIME, PATIENCE, Followed, Follower, is_withdrawn
from mlgate.orchestration.admission.new_build import new_build
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.durable import Envelope, Rejection, Stored
from mlgate.orchestration.engine import saved
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.wire.messages import LookMessage, read
from tests.support.memory import MemoryState
from tests.unit.orchestration.engine.twins import HandClock, World

MINUTES = 20.0  # until the deadline


class Asked:
    """Who asks this process to end."""

    def __init__(self) -> None:
        self.times = 0

    def __bool__(self) -> bool:
        return self.times > 0

    @property
    def again(self) -> bool:
        return self.times > 1


class SilentState(MemoryState):
    """Does not answer who reads while it is `silent`."""

    silent = False

    def fall_silent(self) -> None:
        self.silent = True

    def answer(self) -> None:
        self.silent = False

    def load(self, key: str) -> Stored | None:
        self._answer()
        return super().load(key)

    def rejection(self, key: str) -> Rejection | None:
        self._answer()
        return super().rejection(key)

    def _answer(self) -> None:
        if self.silent:
            raise Temporary("The state does not answer.")


@dataclass
class Shown:
    lines: list[str] = field(default_factory=list)

    def update(self, build: Build | None) -> None:
        pass

    def line(self, text: str) -> None:
        self.lines.append(text)


class Site:
    """A message that was sent, its follower, and what happens meanwhile, by minutes since then."""

    def __init__(self, folder: Path) -> None:
        self.clock = Moments()
        self.world = World(folder, self.clock)
        self.state = self.world.state = SilentState(self.clock)
        self.envelope = self.world.envelope(
            {"name": "train"}, pipeline=False, deadline_minutes=MINUTES
        )
        found = read(self.envelope.body)
        message = found.message()
        assert not isinstance(message, LookMessage)
        sent = Envelope(b"", {}, self.envelope.message_id)
        self.build = new_build(message, found, self.world.policy, None, sent, self.clock.now())
        self.shown, self.asked = Shown(), Asked()

    def at(self, minutes: float, act: Callable[[], object]) -> None:
        self.clock.moments.append((self.clock.time + timedelta(minutes=minutes), act))

    def handle(self) -> None:
        """A host handles the message, and from now on all that follows from it."""
        self.clock.each = self.look
        self.world.conductor.handle(self.envelope)

    def look(self) -> None:
        held, self.world.queue.messages = self.world.queue.messages, []
        for message in held:
            if message[0] <= self.clock.time:
                self.world.conductor.handle(Envelope(message[2], {}, "look"))
            else:
                self.world.queue.messages.append(message)

    def leave(self) -> None:
        """The host is gone for good."""
        self.clock.each = lambda: None

    def begin_endless(self) -> None:
        """A host handles the message, and the run goes on for ever."""
        self.world.backend.endless = True
        self.handle()

    def ask(self) -> None:
        """A signal asks this process to end."""
        self.asked.times += 1

    def follow(self) -> Followed:
        follower = Follower(
            self.state,
            self.build,
            self.shown,
            asked=self.asked,
            withdraw=lambda: saved.withdraw(self.state, self.build),
            cancel=lambda: is_withdrawn(self.state, self.build),
            clock=self.clock,
        )
        return follower.follow()

    @property
    def waited(self) -> timedelta:
        return self.clock.time - self.build.received_at

    def said(self, what: str) -> int:
        return sum(what in line for line in self.shown.lines)


class Moments(HandClock):
    """What is to happen at a moment happens while somebody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[tuple[datetime, Callable[[], object]]] = []
        self.each: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        due = [moment for moment in self.moments if moment[0] <= self.time]
        self.moments = [moment for moment in self.moments if moment not in due]
        for _, act in due:
            act()
        self.each()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_build_is_shown_as_a_run_on_this_machine_is(site: Site) -> None:
    site.at(3.5, site.handle)
    found = site.follow()

    assert found.build is not None
    assert found.build.verdict is Verdict.SUCCEEDED
    assert [re.sub(" at [0-9a-f]{12}", " at COMMIT", line) for line in site.shown.lines] == [
        "##[warning]no worker has started the build in 1 min; is one running with this queue and "
        "this MLGATE_STATE?",
        "##[warning]no worker has started the build in 2 min; is one running with this queue and "
        "this MLGATE_STATE?",
        "a worker has started the build",
        "##[section]https://dev.azure.com/contoso/p/_git/r at COMMIT: 1 run on local",
        "train: passed",
        "##[section]succeeded: 1 of 1 run passed.",
    ]


def test_without_a_worker_it_ends_with_the_deadline(site: Site) -> None:
    with pytest.raises(Permanent, match="No worker started build"):
        site.follow()

    assert site.waited == timedelta(minutes=MINUTES)
    assert site.said("no worker has started the build") == 5, "after 1, 2, 4, 8, 16 minutes"


def test_what_no_worker_took_by_then_is_begun_by_none_later(site: Site) -> None:
    """However far behind the clock of one is that gets the message."""
    with pytest.raises(Permanent, match="No worker started build"):
        site.follow()
    host = site.world.host(timedelta(minutes=-4))
    site.clock.time += timedelta(minutes=1)
    host.handle(site.envelope)
    site.clock.time += timedelta(minutes=10)
    host.sweep()
    while site.world.queue.messages:
        site.world.deliver(host=host)
    assert site.world.build(site.build.key).verdict is Verdict.CANCELED
    assert site.world.backend.submitted == []


def test_a_worker_that_takes_it_with_the_deadline_is_followed(site: Site) -> None:
    site.at(MINUTES, site.handle)
    found = site.follow()
    assert found.build is not None
    assert found.build.verdict is not None


def test_a_signal_as_the_build_ends_needs_no_right_to_change_it(site: Site) -> None:
    def refuse(build: Build, token: object) -> bool:
        raise UnfitHost("The identity may not delete in state-secrets.")

    site.at(1, site.handle)
    site.at(1, lambda: setattr(site.state, "create", refuse))
    site.at(1.2, site.ask)
    found = site.follow()
    assert found.build is not None
    assert site.waited < timedelta(minutes=3)


def test_a_host_that_is_gone_for_good_ends_it_some_minutes_after_the_deadline(site: Site) -> None:
    site.at(1, site.begin_endless)
    site.at(2, site.leave)
    with pytest.raises(Permanent, match="no host is handling it now") as raised:
        site.follow()

    assert site.waited == timedelta(minutes=MINUTES) + OVERTIME
    assert f"mlgate cancel {site.build.key}" in str(raised.value)


def test_a_state_that_fails_for_a_while_is_borne(site: Site) -> None:
    site.at(1, site.state.fall_silent)
    site.at(9, site.state.answer)
    site.at(10, site.handle)
    found = site.follow()

    assert found.build is not None
    assert found.build.verdict is Verdict.SUCCEEDED
    assert site.said("The state does not answer. Trying again") == 1
    assert site.said("answers again") == 1


def test_a_state_that_does_not_answer_any_more_ends_it(site: Site) -> None:
    site.at(1, site.state.fall_silent)
    with pytest.raises(
        Permanent, match=r"unknown: The state does not answer.*may still be running"
    ):
        site.follow()

    assert timedelta(0) <= site.waited - timedelta(minutes=1) - PATIENCE < timedelta(seconds=5)


def test_a_rejected_message_ends_it(site: Site) -> None:
    site.world.policy = replace(site.world.policy, allowed_repositories=())
    site.at(1, site.handle)
    found = site.follow()

    assert found.rejection is not None
    assert "MLGATE_ALLOWED_REPOSITORIES" in str(found.rejection.findings[0])


def test_a_build_that_somebody_cancels_elsewhere_has_failed(site: Site) -> None:
    site.at(1, site.begin_endless)
    site.at(2, lambda: saved.cancel(site.state, site.build.key, "Somebody canceled it."))
    found = site.follow()

    assert found.build is not None
    assert (found.build.verdict, found.build.reason) == (Verdict.FAILED, "Somebody canceled it.")


def test_a_signal_cancels_the_build_as_a_canceled_pipeline_does(site: Site) -> None:
    site.at(1, site.begin_endless)
    site.at(2, site.ask)
    found = site.follow()

    assert found.build is not None
    assert found.build.verdict is Verdict.CANCELED
    assert site.world.backend.canceled
    assert site.said("##[warning]canceling") == 1


def test_a_build_that_no_worker_has_taken_is_withdrawn(site: Site) -> None:
    """A worker that comes later runs nothing of it."""
    site.at(1, site.ask)
    found = site.follow()
    site.handle()
    site.clock.time += timedelta(minutes=2)
    assert site.world.conductor.sweep() == [site.build.key]
    site.look()

    assert found == Followed()
    assert site.world.backend.submitted == []
    ended = site.world.build(site.build.key)
    assert (ended.phase, ended.verdict) == (Phase.COMPLETED, Verdict.CANCELED)


@pytest.mark.parametrize("silent", [True, False])
def test_canceling_has_an_end_although_nobody_answers(site: Site, *, silent: bool) -> None:
    """Neither a host that is gone nor a state that is silent holds it up for long."""
    site.at(1, site.begin_endless)
    site.at(2, site.leave)
    site.at(2, site.ask)
    if silent:
        site.at(2, site.state.fall_silent)
    found = site.follow()

    assert found.build is not None
    assert found.build.open
    assert site.waited < timedelta(minutes=9)


def test_a_second_signal_leaves_at_once(site: Site) -> None:
    site.at(1, site.begin_endless)
    site.at(2, site.leave)
    site.at(2, site.ask)
    site.at(2.1, site.ask)
    found = site.follow()

    assert found.build is not None
    assert found.build.open
    assert site.world.build(site.build.key).pipeline_ended
    assert site.waited < timedelta(minutes=2.2)
