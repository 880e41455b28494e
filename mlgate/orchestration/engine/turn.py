"""One look at one build, by the handler that holds its lease: facts, steps, and the next look."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from threading import BoundedSemaphore

from mlgate.orchestration.admission.allowed_models import ModelPolicy
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import NOW, Due, Stored
from mlgate.orchestration.engine import (
    acts,
    aftermath,
    dispatch,
    pace,
    progress,
    steps,
    trouble,
)
from mlgate.orchestration.engine.looks import wake
from mlgate.orchestration.engine.news import News
from mlgate.orchestration.engine.promoting import turn as promoting
from mlgate.orchestration.engine.promoting.registering import register
from mlgate.orchestration.engine.saved import SupersededError
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.engine.work import Work, deaths
from mlgate.orchestration.errors import Busy
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.runs import Failure, FailureKind

log = logging.getLogger("mlgate")

WAIT_FOR_PLACE = 10.0  # seconds, for every build alike, so that none is overtaken for long
TURN_SECONDS = 60.0  # a look hands over to the next one after that
_SLOW_CHECKOUT = (
    "It needs more time or memory than the host allows. Point the message at a smaller "
    "repository, or give the host more; in a function app `functionTimeout` is the limit."
)


class Turn:
    """`checkouts` are this host's places for slow steps; `policy` is its policy for models; `at` is
    when the look became due by the broker's clock, if known."""

    def __init__(
        self,
        ports: Ports,
        stored: Stored,
        checkouts: BoundedSemaphore,
        policy: ModelPolicy,
        at: datetime | None = None,
    ) -> None:
        self._ports, self._policy = ports, policy
        self._checkouts = checkouts
        self._work = Work(ports, stored, at)
        self._news = News(self._work)

    def steps(self) -> int:
        """How many steps were begun."""
        return self._work.steps

    def take(self) -> None:
        """Act until there is nothing to do but wait, then have the next look come.

        An error, foreseen or not, is remembered and the next look comes: raising would have the
        message delivered again at once, until its deliveries are used up. Raises what keeps the
        build from being saved, and `SupersededError`.
        """
        self._work.begin()
        try:
            self._absorb()
            until = self._act()
        except SupersededError:
            raise
        except Exception as error:  # noqa: BLE001 -- sorted, nothing is swallowed
            until = aftermath.sort(self._work, error)
        if self._build.open:
            self._news.show("at the end")
            self._news.show_results()
            self._hand_over(until)

    def give_up(self, why: str) -> None:
        """End a build whose runs can no longer be looked at."""
        aftermath.end_unseen(self._work, why)
        self._hand_over(self._work.now())

    @property
    def _build(self) -> Build:
        return self._work.build

    def _absorb(self) -> None:
        # Check first what ends the build: that must not depend on a backend that answers.
        self._news.ask("now and then")
        build = self._build
        active = [build.attempt_of(run) for run in build.runs if run.active]
        if build.phase is not Phase.WATCHING or not active:
            return
        ending = build.ending_since is not None
        if ending and self._work.deadly(Doing.LOOK):
            return
        self._work.refuse_deadly(Doing.LOOK, "looked at its runs")
        try:
            with self._work.on(Doing.LOOK):
                seen = self._ports.backend(build).look(active)
        except Exception:
            if ending:
                self._work.well_done(Doing.CANCEL, self._cancel)
                self._work.failed(Doing.LOOK)
            raise
        self._work.saved.keep(progress.absorb(self._build, seen, self._work.now()))

    def _act(self) -> datetime:
        """Do step after step; returns when to look again, or raises what some failed with."""
        began = self._work.now()
        exhausted: frozenset[type[steps.Step]] = frozenset()
        left: frozenset[str] = frozenset()
        obstacle: Exception | None = None
        step: steps.Step | None = None
        while True:
            now = self._work.now()
            after = None if step is None else type(step)
            step = steps.next_step(self._build, now, exhausted, left, after)
            over = isinstance(step, steps.Watch) or (now - began).total_seconds() > TURN_SECONDS
            if over and obstacle is not None:
                self._work.failed(Doing.SUBMIT)
                raise obstacle
            match step:
                case steps.Watch(until):
                    return until
                case _ if over or isinstance(step, steps.Stop):
                    return now
                case steps.Prepare():
                    self._prepare()
                case steps.Submit(names):
                    submitted = self._submit(names)
                    obstacle = submitted.obstacle or obstacle
                    if submitted.full:
                        exhausted |= {steps.Submit}
                case steps.Collect(names):
                    left |= self._collect(names)
                case steps.Cancel():
                    if not self._work.deadly(Doing.CANCEL):
                        with self._work.on(Doing.CANCEL):
                            self._cancel()
                    exhausted |= {steps.Cancel}
                case steps.Judge():
                    self._judge()
                case steps.Promote():
                    promoting.take(self._work, self._news, step, self._policy)
                case steps.Verify():
                    promoting.verify(self._work)
                    exhausted |= {steps.Verify}
                case steps.Register():
                    register(self._work, always=self._policy.register)
                case steps.Write():
                    if not self._write():
                        exhausted |= {steps.Write}
                case steps.Publish():
                    self._publish()
                case steps.Post():
                    self._post()

    def _prepare(self) -> None:
        """Only this needs a place: what ends the build is seen without one."""
        if not self._checkouts.acquire(blocking=False):
            self._work.failed(Doing.PREPARE)
            raise Busy("Other checkouts are under way on this host.", WAIT_FOR_PLACE)
        try:
            self._check_out()
        finally:
            self._checkouts.release()

    def _check_out(self) -> None:
        if self._build.is_check:
            self._work.refuse_deadly(Doing.PREPARE, "made its checks")
        else:
            self._work.refuse_deadly(Doing.PREPARE, "checked out its repository", _SLOW_CHECKOUT)
        self._news.show("before the checkout")
        self._news.ask_name()
        with self._work.on(Doing.PREPARE):
            prepared = acts.prepare(self._ports, self._build, self._policy)
        self._work.save(prepared)
        if prepared.runs:
            count = len(prepared.runs)
            noun = "run" if count == 1 else "runs"
            log.info(
                "build %s: %d %s of commit %s", prepared.build_id, count, noun, prepared.commit
            )
        # A checkout may be long: if the end was asked for meanwhile, submit nothing.
        self._news.ask("after the checkout", again=True)

    def _submit(self, names: tuple[str, ...]) -> dispatch.Submitted:
        step: str = Doing.SUBMIT
        if self._work.careful:
            names = names[:1]
            step = f"{Doing.SUBMIT}:{names[0]}"
            if self._work.deadly(step):
                attempt = self._build.attempt_of(self._build.run(names[0]))
                # It may have been submitted before its host died.
                self._work.well_done(
                    f"{Doing.CANCEL}:{names[0]}",
                    lambda: self._ports.backend(self._build).cancel([attempt]),
                )
                self._refuse(names[0], deaths("submitted it"))
                return dispatch.Submitted(self._build)
        with self._work.on(step):
            submitted = dispatch.submit(self._ports, self._build, names)
        if submitted.obstacle is None:
            submitted = replace(
                submitted, build=replace(submitted.build, troubles=self._build.troubles)
            )
        try:
            self._work.save(submitted.build)
        except SupersededError:
            self._take_back(names)
            raise
        # If the end was asked for meanwhile, do not submit the rest.
        self._work.take_in_ending()
        return submitted

    def _take_back(self, names: tuple[str, ...]) -> None:
        """Cancel what was submitted while another handler ended the build, unable to cancel it."""
        stored = self._ports.state.load(self._build.key)
        if stored is None or not stored.build.open or stored.build.ending_since is not None:
            attempts = [self._build.attempt_of(self._build.run(name)) for name in names]
            self._ports.backend(self._build).cancel(attempts)

    def _collect(self, names: tuple[str, ...]) -> frozenset[str]:
        """Collect some of these, each saved by itself; returns those that are left."""
        step: str = Doing.COLLECT
        outcome_alone: tuple[str, ...] = ()
        if self._work.careful:
            names = names[:1]
            step, without_files = f"{Doing.COLLECT}:{names[0]}", f"{Doing.KEEP}:{names[0]}"
            if self._work.deadly(without_files):
                self._refuse(names[0], deaths("collected it"))
                return frozenset()
            if self._work.deadly(step):
                step, outcome_alone = without_files, names
        names = names[: max(1, self._ports.backend(self._build).at_once)]
        with self._work.on(step):
            if why := self._not_kept():
                outcome_alone = names
            found = dispatch.collect(self._ports, self._build, names, outcome_alone, why or "")
            left = frozenset(self._take_over(found))
        self._work.take_in_ending()
        return left

    def _not_kept(self) -> str | None:
        """Why no files are kept now."""
        build, now = self._build, self._work.now()
        if trouble.over_limit(build, Doing.KEEP) or pace.must_be_told(build, now):
            return "It took too long."
        return trouble.given_up(build.troubles, Doing.KEEP, now)

    def _take_over(self, found: Iterator[dispatch.Collected]) -> Iterator[str]:
        for each in found:
            self._work.save(each.change(self._build))
            if each.left:
                yield each.name

    def _refuse(self, name: str, why: str) -> None:
        failure = Failure(FailureKind.INFRASTRUCTURE, why)
        self._work.save(progress.refuse(self._build, name, failure, self._work.now()))

    def _cancel(self) -> None:
        self._work.save(dispatch.cancel(self._ports, self._build))

    def _judge(self) -> None:
        # A step that ended since it was last asked must not get a verdict.
        self._news.ask("before the verdict", again=True)
        self._work.refuse_deadly(Doing.JUDGE, "judged it")
        with self._work.on(Doing.JUDGE):
            judged = acts.judged(self._ports, self._build)
        self._work.save(judged)

    def _write(self) -> bool:
        """Write the next part of the build's files; whether there was one."""
        if acts.PARTS in self._build.written:
            return False
        if self._work.deadly(Doing.WRITE):
            self._work.save(acts.unwritten(self._build, acts.PARTS, deaths("looked for them")))
            return True
        with self._work.on(Doing.WRITE, whole=False):
            part = acts.next_part(self._build)
        if part is None:
            return False
        step = acts.writing(self._build, part.name)
        if self._work.deadly(step):
            self._work.save(acts.unwritten(self._build, part.name, deaths("wrote it")))
            return True
        # What was given up for one part need not be waited for again with the next one.
        with self._work.on(step, whole=not acts.is_plain(self._build, part.name)):
            written = acts.write(self._ports, self._build, part)
        self._work.save(replace(written, troubles=self._build.troubles))
        return True

    def _publish(self) -> None:
        self._news.show("before publishing")
        if self._work.deadly(Doing.PUBLISH):
            self._work.save(acts.unpublished(self._build, deaths("published its results")))
            return
        with self._work.on(Doing.PUBLISH):
            published = acts.publish(self._ports, self._build)
        self._work.save(replace(published, troubles=self._build.troubles))

    def _post(self) -> None:
        self._news.show("before the completion")
        build = self._build
        doubt = build.completion_posted
        if build.pipeline is not None and not doubt:
            # The step may have ended while results were published, which can take minutes.
            self._news.ask("before the completion", again=True)
            # Saved before it is posted: if a handler dies in between, the next one checks first.
            ended = self._build.pipeline_ended
            self._work.save(replace(self._build, completion_posted=not ended))
        if not (build.published or doubt) and build.pipeline is not None:
            why = build.troubles[-1].what if build.troubles else "It took too long."
            self._work.saved.keep(acts.unpublished(self._build, why))
        if self._work.deadly(Doing.POST):
            if self._work.now() > pace.last_post(build):
                aftermath.leave_untold(self._work, deaths("posted its completion"))
                return
            self._work.saved.keep(acts.plainly(self._build, acts.COMPLETION))
        with self._work.on(Doing.POST):
            # The saved build may be newer: the pipeline may have been given up meanwhile.
            posted = acts.post(self._ports, self._build, doubt=doubt)
        aftermath.complete(self._work, posted)

    def _hand_over(self, until: datetime) -> None:
        """Number the next look, save, and only then send for it: a crash only causes a delay."""
        self._work.end()
        build = self._build
        self._work.save(replace(build, look=build.look + 1, next_look_at=until))
        build = self._build
        try:
            self._ports.state.set_due(Due(build.key, until))
        except Exception as error:  # noqa: BLE001 -- a host that finds it overdue reads the build
            log.info("build %s: its due time was not stored: %s", build.build_id, error)
        pause = max(NOW, min(until - self._work.now(), pace.LONGEST_PAUSE))
        wake(self._ports.queue, build.key, build.look, pause)
