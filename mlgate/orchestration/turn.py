"""One look at one build, by the handler that holds its lease: facts, steps, and who is told."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from mlgate.orchestration import acts, steps
from mlgate.orchestration.acts import Ports
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.errors import BadMessage, OrchestrationError, Permanent, Temporary
from mlgate.orchestration.messages import encode_look
from mlgate.orchestration.narration import narrate, operation
from mlgate.orchestration.ports import Progress, Stored

log = logging.getLogger("mlgate")

TURN_SECONDS = 60.0  # a look hands over to the next one after that
PIPELINE_CHECK = timedelta(seconds=15)  # how often the pipeline is asked whether it still waits
MOST_PREPARE_ERRORS = 5  # then a build that cannot even begin fails
MOST_UNKNOWN_ERRORS = 5  # then a build that trips over a bug of ours fails
MOST_PUBLISH_ERRORS = 5  # then the verdict is posted without the rest of the results
POSTING_LIMIT = timedelta(hours=24)  # after the deadline, a completion is given up
LONGEST_BACKOFF = 60.0  # seconds


class SupersededError(Exception):
    """Another handler saved the build meanwhile: stop, it goes on there."""


def schedule(ports: Ports, build: Build) -> None:
    """Send the build's next look; the id is the same whoever sends it."""
    body = encode_look(build.key, build.generation, build.look)
    ports.queue.send(body, f"{build.key}-{build.generation}-{build.look}", build.next_look_at)


class Turn:
    """Every save is a compare-and-swap; `SupersededError` when another handler was faster."""

    def __init__(self, ports: Ports, stored: Stored) -> None:
        self._ports = ports
        self._stored = stored
        self._began = ports.clock.now()
        self._lines: list[str] = []
        self._shown = (self._build.percent, operation(self._build))
        self._published = _ended(self._build)

    def take(self) -> None:
        """Act until there is nothing to do but wait, then schedule the next look."""
        errors = 0
        try:
            self._absorb()
            until = self._act()
        except Temporary as error:
            errors = self._build.errors + 1
            until = self._stumble(error, errors)
        except (Permanent, BadMessage) as error:
            until = self._fail(str(error))
        except SupersededError:
            raise
        except Exception as error:
            self._record(error)
            raise
        self._show()
        self._publish_new()
        if self._build.open:
            self._hand_over(until, errors)

    @property
    def _build(self) -> Build:
        return self._stored.build

    def _save(self, build: Build) -> None:
        if build == self._build:
            return
        lines = narrate(self._build, build)
        build = replace(build, percent=steps.percent(build))
        stored = self._ports.state.save(build, self._stored.version)
        if stored is None:
            raise SupersededError
        self._lines += lines
        self._stored = stored

    def _absorb(self) -> None:
        build = self._ask_pipeline()
        active = [build.attempt_of(run) for run in build.runs if run.active]
        seen = self._ports.backend(build).look(active) if active else {}
        self._save(steps.absorb(build, seen, self._ports.clock.now()))

    def _ask_pipeline(self) -> Build:
        build, now = self._build, self._ports.clock.now()
        if build.pipeline is None or build.pipeline_ended or build.phase is Phase.COMPLETING:
            return build
        if build.pipeline_asked_at is not None and now < build.pipeline_asked_at + PIPELINE_CHECK:
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
        """Do step after step; returns when to look again."""
        ports = self._ports
        exhausted: frozenset[type[steps.Step]] = frozenset()
        while True:
            now = ports.clock.now()
            step = steps.next_step(self._build, now, exhausted)
            match step:
                case steps.Stop():
                    return now
                case steps.Watch(until):
                    return until
                case _ if (now - self._began).total_seconds() > TURN_SECONDS:
                    return now
                case steps.Prepare():
                    self._show(always=True)
                    self._save(acts.prepare(ports, self._build))
                case steps.Submit(names):
                    if not self._submit(names):
                        exhausted |= {steps.Submit}
                case steps.Collect(names):
                    build = self._build
                    for name in names:
                        build = acts.collect(ports, build, name)
                    self._save(build)
                case steps.Cancel():
                    self._save(acts.cancel(ports, self._build))
                    exhausted |= {steps.Cancel}
                case steps.Decide():
                    self._save(acts.decide(ports, self._build))
                case steps.Publish():
                    self._show()
                    self._publish()
                case steps.Post():
                    self._show()
                    self._post()

    def _submit(self, names: tuple[str, ...]) -> bool:
        """Whether the backend took all of them."""
        build = self._build
        for name in names:
            submitted = acts.submit(self._ports, build, name)
            if submitted is None:
                break
            build = submitted
        self._save(build)
        return submitted is not None

    def _publish_new(self) -> None:
        """Let people see the results of runs that ended in this look, while the build goes on."""
        build, before = self._build, self._published
        ended = _ended(build)
        self._published = ended
        goes_on = build.phase is Phase.WATCHING and build.ending_since is None
        if build.pipeline is None or not goes_on or ended == before:
            return
        try:
            new = [
                run for run in build.runs if run.spec.name in (ended or set()) - (before or set())
            ]
            acts.publish_so_far(self._ports, build, new)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the build must not wait for it
            log.warning("build %s: results were not shown: %s", build.build_id, error)

    def _publish(self) -> None:
        try:
            self._save(acts.publish(self._ports, self._build))
        except Temporary as error:
            if self._build.errors + 1 < MOST_PUBLISH_ERRORS:
                raise
            self._save(acts.unpublished(self._build, str(error)))

    def _post(self) -> None:
        build = self._build
        if build.pipeline is not None and not build.completion_posted:
            # Intended before it is done: a handler that dies in between leaves doubt, not a lie.
            self._save(replace(build, completion_posted=True))
        try:
            done = acts.post(self._ports, build)
        except Permanent as error:
            done = self._give_up_posting(str(error))
        self._save(replace(done, completion_posted=self._build.completion_posted))

    def _give_up_posting(self, why: str) -> Build:
        build = self._build
        log.warning("build %s: the pipeline cannot be told: %s", build.build_id, why)
        self._ports.state.forget_token(build.key)
        acts.release(self._ports, build)
        warning = f"The pipeline could not be told of the end: {why}"
        return replace(build, phase=Phase.COMPLETED, warnings=(*build.warnings, warning))

    def _stumble(self, error: Temporary, errors: int) -> datetime:
        """Remember a passing fault; returns when to look again."""
        build, now = self._build, self._ports.clock.now()
        log.warning("build %s: %s", build.build_id, error)
        if build.phase is Phase.RECEIVED and errors >= MOST_PREPARE_ERRORS:
            return self._fail(f"{error} Tried {errors} times.", infrastructure=True)
        if build.phase is Phase.COMPLETING and now > build.deadline + POSTING_LIMIT:
            self._save(self._give_up_posting(str(error)))
            return now
        self._save(replace(build, last_error=str(error)))
        return now + timedelta(seconds=max(error.delay, min(LONGEST_BACKOFF, 2.0**errors)))

    def _record(self, error: Exception) -> None:
        """Remember what nobody foresaw; after a few of them the build is given up."""
        build = self._build
        log.exception("build %s: an unexpected error", build.build_id)
        what = f"{type(error).__name__}: {error}"
        if build.errors + 1 < MOST_UNKNOWN_ERRORS:
            self._save(replace(build, errors=build.errors + 1, last_error=what))
        elif build.phase is Phase.COMPLETING and not build.published:
            self._save(acts.unpublished(build, what))
        elif build.phase is Phase.COMPLETING:
            self._save(self._give_up_posting(what))
        else:
            self._fail(f"mlgate met an unexpected error, {what}", infrastructure=True)

    def _fail(self, reason: str, *, infrastructure: bool = False) -> datetime:
        """End the build with this reason; runs that are under way are canceled first."""
        build = replace(self._build, infrastructure=infrastructure)
        if build.phase is Phase.WATCHING and build.ending_since is None:
            self._save(replace(build, cancel_requested=reason))
        else:
            build = steps.abandon(build, reason)
            self._save(acts.conclude(self._ports, build, Verdict.FAILED, reason))
        return self._ports.clock.now()

    def _show(self, *, always: bool = False) -> None:
        build = self._build
        lines, self._lines = tuple(self._lines), []
        showing = (build.percent, operation(build))
        if build.pipeline is None or build.pipeline_ended or build.completion_posted:
            return
        token = self._ports.state.token(build.key)
        if token is None or not (always or lines or showing != self._shown):
            return
        progress = Progress(*showing, lines, build.log_lines + 1)
        try:
            self._ports.pipeline.show(build.pipeline, token, progress)
        except OrchestrationError as error:
            log.warning("build %s: progress was not shown: %s", build.build_id, error)
        self._shown = showing
        if lines:
            self._save(replace(build, log_lines=build.log_lines + len(lines)))

    def _hand_over(self, until: datetime, errors: int) -> None:
        """Number the next look, save, and only then send it: a crash leaves a delay, no fork."""
        build = self._build
        self._save(replace(build, look=build.look + 1, next_look_at=until, errors=errors))
        schedule(self._ports, self._build)


def _ended(build: Build) -> set[str] | None:
    """The runs that have ended; None before it is known which runs there are."""
    if build.phase is Phase.RECEIVED:
        return None
    return {run.spec.name for run in build.runs if run.status.ended}
