"""One look at one build, by the handler that holds its lease: facts, steps, and who is told."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from mlgate.orchestration import acts, attempts, faults, requests, steps
from mlgate.orchestration.acts import Ports
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.messages import encode_look
from mlgate.orchestration.narration import narrate, operation
from mlgate.orchestration.ports import Stored
from mlgate.orchestration.told import Progress

log = logging.getLogger("mlgate")

TURN_SECONDS = 60.0  # a look hands over to the next one after that
PIPELINE_CHECK = timedelta(seconds=15)  # how often the pipeline is asked whether it still waits
MOST_PUBLISH_ERRORS = 5  # then the verdict is posted without the rest of the results


class SupersededError(Exception):
    """The build was saved by somebody else meanwhile: what this handler knows is old."""


def schedule(ports: Ports, build: Build) -> None:
    """Send the build's next look; the id is the same whoever sends it."""
    body = encode_look(build.key, build.generation, build.look)
    ports.queue.send(body, f"{build.key}-{build.generation}-{build.look}", build.next_look_at)


class Turn:
    """Every save is a compare-and-swap; `SupersededError` when another handler was faster."""

    def __init__(self, ports: Ports, stored: Stored) -> None:
        self._ports = ports
        self._stored = stored
        self._lines: list[str] = []
        self._ended = {run.spec.name for run in self._build.runs if run.status.ended}

    def take(self) -> None:
        """Act until there is nothing to do but wait, then schedule the next look.

        A fault, foreseen or not, is remembered and the next look scheduled: raising would have
        the message delivered again at once, until its deliveries are used up.
        """
        errors, kind = 0, None
        try:
            self._absorb()
            until = self._act()
        except SupersededError:
            raise
        except Exception as error:  # noqa: BLE001 -- sorted right here, nothing is swallowed
            kind = faults.kind_of(error)
            before = self._build.errors if self._build.error_kind == kind else 0
            errors = before + 1
            until = self._sort(error, errors)
        self._show()
        self._publish_new()
        if self._build.open:
            self._hand_over(until, errors, kind)

    def give_up(self, why: str) -> None:
        """End a build whose backend cannot be asked any more, and tell the pipeline."""
        self._surrender(why)
        self._hand_over(self._ports.clock.now())

    @property
    def _build(self) -> Build:
        return self._stored.build

    def _save(self, build: Build) -> None:
        if build == self._build:
            return
        lines = narrate(self._build, build)
        build = replace(build, percent=steps.percent(build))
        version = self._stored.version
        while (stored := self._ports.state.save(build, version)) is None:
            found = self._ports.state.load(build.key)
            # Anything else is another handler's, or this one's own, saved with an answer that was
            # lost; whoever looks next goes on from there.
            if found is None or requests.taken_in(self._build, found.build) != found.build:
                raise SupersededError
            # Somebody asked for the end meanwhile. What was done here must not be forgotten.
            build = requests.taken_in(build, found.build)
            version = found.version
        self._lines += lines
        self._stored = stored

    def _absorb(self) -> None:
        # What ends the build is taken in first: it must not depend on a backend that answers.
        self._save(steps.absorb(self._ask_pipeline(), {}, self._ports.clock.now()))
        build = self._build
        active = [build.attempt_of(run) for run in build.runs if run.active]
        if build.phase is Phase.WATCHING and active:
            try:
                seen = self._ports.backend(build).look(active)
            except OrchestrationError:
                if build.ending_since is not None:
                    attempts.cancel(self._ports, build)
                raise
            self._save(steps.absorb(build, seen, self._ports.clock.now()))

    def _ask_pipeline(self, *, again: bool = False) -> Build:
        """The build with what its pipeline says; `again`: however lately it was asked."""
        build, now = self._build, self._ports.clock.now()
        if build.pipeline is None or build.pipeline_ended:
            return build
        asked = build.pipeline_asked_at
        lately = asked is not None and now < asked + PIPELINE_CHECK
        if not again and (lately or build.phase is Phase.COMPLETING):
            return build
        token = self._ports.state.token(build.key)
        if token is None:
            return build
        try:
            waiting = self._ports.pipeline.is_waiting(build.pipeline, token)
        except OrchestrationError as error:
            # Not knowing is no reason to stop: the runs go on, a later look asks again.
            log.warning("build %s: the pipeline did not answer: %s", build.build_id, error)
            waiting = True
        return replace(build, pipeline_asked_at=now, pipeline_ended=not waiting)

    def _act(self) -> datetime:
        """Do step after step; returns when to look again, or raises what was in the way of some."""
        ports, began = self._ports, self._ports.clock.now()
        exhausted: frozenset[type[steps.Step]] = frozenset()
        left_there: frozenset[str] = frozenset()
        obstacle: attempts.Obstacle | None = None
        while True:
            now = ports.clock.now()
            step = steps.next_step(self._build, now, exhausted, left_there)
            over = isinstance(step, steps.Watch) or (now - began).total_seconds() > TURN_SECONDS
            if over and obstacle is not None:
                raise obstacle
            match step:
                case steps.Watch(until):
                    return until
                case _ if over or isinstance(step, steps.Stop):
                    return now
                case steps.Prepare():
                    self._show()
                    self._prepare()
                case steps.Submit(names):
                    submitted, had_places, kept_out = attempts.submit(ports, self._build, names)
                    self._save(submitted)
                    # Whoever asked for the end meanwhile does not want the rest submitted.
                    self._save(steps.absorb(self._build, {}, ports.clock.now()))
                    obstacle = kept_out or obstacle
                    if not had_places:
                        exhausted |= {steps.Submit}
                case steps.Collect(names):
                    collected, left = attempts.collect(ports, self._build, names)
                    self._save(collected)
                    if left and not left_there:
                        began = ports.clock.now()  # however long that took, others wait for more
                    left_there |= left.keys()
                    obstacle = max(left.values(), key=attempts.delay, default=obstacle)
                case steps.Cancel():
                    self._save(attempts.cancel(ports, self._build))
                    exhausted |= {steps.Cancel}
                case steps.Decide():
                    # A step that ended since it was last asked must not get a verdict.
                    self._save(steps.absorb(self._ask_pipeline(again=True), {}, now))
                    self._save(acts.decide(ports, self._build))
                case steps.Publish():
                    self._show()
                    self._publish()
                case steps.Post():
                    self._show()
                    self._post()

    def _prepare(self) -> None:
        """Stage the commit, unless that was begun too often without coming to any end.

        A host that ends what takes longer than it allows, or that runs out of memory, leaves no
        fault behind, and the same look would come again until the deadline.
        """
        begun = self._build.preparations
        if begun >= faults.MOST_PREPARATIONS:
            raise faults.never_prepared(begun)
        self._save(replace(self._build, preparations=begun + 1))
        try:
            prepared = acts.prepare(self._ports, self._build)
        except Exception:
            self._save(replace(self._build, preparations=0))
            raise
        self._save(replace(prepared, preparations=0))

    def _publish_new(self) -> None:
        """Let people see the results of runs that ended in this look, while the build goes on.

        Also when there are none, since some of an earlier look may still wait to be sent.
        """
        build = self._build
        new = [run for run in build.runs if run.status.ended and run.spec.name not in self._ended]
        if build.pipeline is None or build.phase is not Phase.WATCHING or build.ending_since:
            return
        try:
            acts.publish_so_far(self._ports, build, new)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the build must not wait for it
            log.warning("build %s: results were not shown: %s", build.build_id, error)

    def _publish(self) -> None:
        try:
            self._save(acts.publish(self._ports, self._build))
        except SupersededError:
            raise
        except Exception as error:
            # Whatever it is, the verdict does not wait for it longer than this.
            if self._build.errors + 1 < MOST_PUBLISH_ERRORS:
                raise
            self._save(acts.unpublished(self._build, str(error)))

    def _post(self) -> None:
        doubt = self._build.completion_posted
        if self._build.pipeline is not None and not doubt:
            # The step may have ended while results were published, which can take minutes.
            asked = self._ask_pipeline(again=True)
            # Intended before it is done: a handler that dies in between leaves doubt, not a lie.
            self._save(replace(asked, completion_posted=not asked.pipeline_ended))
        # What is saved may know more than what was asked: the pipeline was given up meanwhile.
        self._save(acts.post(self._ports, self._build, doubt=doubt))
        # Once more: a late copy of the start message may have brought it back meanwhile.
        self._ports.state.forget_token(self._build.key)

    def _sort(self, error: Exception, errors: int) -> datetime:
        """Do what a fault means for the build; returns when to look again."""
        build, now = self._build, self._ports.clock.now()
        what = faults.sentence(error)
        if isinstance(error, OrchestrationError):
            log.warning("build %s: %s", build.build_id, what)
        else:
            log.error("build %s: %s", build.build_id, what, exc_info=error)
        match faults.fate(build, error, errors, now):
            case faults.LeaveUntold():
                self._ports.state.forget_token(build.key)
                acts.release(self._ports, build)
                self._save(replace(acts.untold(build, what), phase=Phase.COMPLETED))
            case faults.Surrender():
                self._surrender(what)
            case faults.Fail(reason, infrastructure, findings):
                failed = replace(build, infrastructure=infrastructure, findings=findings)
                self._conclude(failed, Verdict.FAILED, reason)
            case faults.CancelRuns(infrastructure):
                self._save(replace(build, cancel_requested=what, infrastructure=infrastructure))
            case faults.Retry(at):
                self._save(replace(build, last_error=what))
                return at
        return now

    def _surrender(self, why: str) -> None:
        """Judge with every unfinished run given up."""
        build = steps.abandon(self._build, why)
        judgment = acts.judged(build)
        self._conclude(judgment.build, judgment.verdict, judgment.reason)

    def _conclude(self, build: Build, verdict: Verdict, reason: str) -> None:
        """Decide with the build's files if they can be written, else without them."""
        try:
            concluded = acts.conclude(self._ports, build, verdict, reason)
        except OrchestrationError as error:
            warning = f"The build's files could not be written: {error}"
            build = replace(build, warnings=(*build.warnings, warning))
            concluded = acts.concluded(self._ports, build, verdict, reason)
        self._save(concluded)

    def _show(self) -> None:
        """Let people see how far the build is; the port knows what of it is new."""
        build = self._build
        lines, self._lines = tuple(self._lines), []
        if build.pipeline is None or build.pipeline_ended or build.completion_posted:
            return
        progress = Progress(build.percent, operation(build), lines, build.log_lines + 1)
        try:
            token = self._ports.state.token(build.key)
            if token is None:
                return
            self._ports.pipeline.show(build.pipeline, token, progress)
        except OrchestrationError as error:
            log.warning("build %s: progress was not shown: %s", build.build_id, error)
        if lines:
            self._save(replace(build, log_lines=build.log_lines + len(lines)))

    def _hand_over(self, until: datetime, errors: int = 0, kind: str | None = None) -> None:
        """Number the next look, save, and only then send it: a crash leaves a delay, no fork."""
        build = replace(self._build, errors=errors, error_kind=kind)
        self._save(replace(build, look=build.look + 1, next_look_at=until))
        schedule(self._ports, self._build)
