"""The pipeline port on Azure DevOps' REST callbacks.

Progress is best effort, but completion is not: it is posted once and read back, and posted again
only after the step's own record has been read. The answer to the event is not trusted: a 204 has
been seen without effect, and an effect without an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from pydantic import SecretStr

from handlers.devops_handler import bodies
from handlers.devops_handler.answers import PlanOverError
from handlers.devops_handler.callbacks import Callbacks
from handlers.devops_handler.client import Access, Client
from handlers.devops_handler.display import Display, Displays, drop_sent
from handlers.devops_handler.endpoints import endpoints_of
from handlers.devops_handler.pacing import AT_THE_END, FILES_AT_ONCE, Kind
from handlers.devops_handler.publishing import fill_tab, has_tests_tab, publish_all
from handlers.devops_handler.testcalls import TabCalls
from handlers.devops_handler.testtab import Tab
from mlgate.orchestration.builds import PipelineAddress, Verdict
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.telling import Completion, Progress, Results

log = logging.getLogger("mlgate")

# All in seconds. How long a call waits at most when the service throttles it:
LOOK_PATIENCE = 2.0  # reading and showing
PUBLISH_PATIENCE = 10.0  # publishing at the end; the next call can continue it
COMPLETION_PATIENCE = 30.0  # completing; the longest delay that the service documents

# The time after which a call begins no more requests:
LOOK_LIMIT = 30.0  # reading and showing
PUBLISH_LIMIT = 60.0  # publishing at the end
FLUSH_LIMIT = 10.0  # sending the last lines
DESCRIPTION_LIMIT = 50.0  # giving the reasons; leaves time to post the verdict
COMPLETION_LIMIT = 100.0  # completing

# The time after which the rest is left out, or left to the next call:
PUBLISH_SECONDS = 2.0  # publishing results while the build goes on, which delays its lines
FINAL_PUBLISH_SECONDS = 20.0  # publishing results at the end, in one call
LONGEST_PUBLISH = 180.0  # attaching files of results at the end, in all calls together
FLUSH_SECONDS = 5.0  # sending the last live lines; the log has them by then

CONFIRMATION_PAUSES = (0.0, 1.0, 2.0, 3.0)  # before each look for the event's effect


class DevOpsHandler:
    """Thread-safe as long as no two threads act on the same build.

    `allowed` are the URL prefixes of collections that may be called and sent tokens. `identity`
    returns the host's own bearer token, used when the job's is no longer accepted; it may raise
    Temporary and Permanent. `timeout_seconds` limits the wait for one answer. `files_at_once` are
    sent in a burst, and then one a second.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[str],
        identity: Callable[[], SecretStr] | None = None,
        clock: Clock,
        timeout_seconds: float = 30,
        files_at_once: int = FILES_AT_ONCE,
    ) -> None:
        self._allowed = tuple(allowed)
        self._clock = clock
        self._client = Client(identity, clock, timeout_seconds)
        self._displays = Displays(files_at_once)

    def is_waiting(self, address: PipelineAddress, token: SecretStr) -> bool:
        """Whether neither the step nor its job nor its plan has ended.

        If the timeline has no record of the step, it is expected to appear: going on with a build
        costs less than ending it on a guess.
        """
        callbacks = self._callbacks(address, token, LOOK_PATIENCE, LOOK_LIMIT)
        try:
            if not callbacks.row().ended:
                return True
        except PlanOverError as over:
            log.info("plan %s has ended: %s", address.plan_id, over)
        self._displays.forget(address)
        return False

    def name(self, address: PipelineAddress, token: SecretStr) -> str | None:
        callbacks = self._callbacks(address, token, LOOK_PATIENCE, LOOK_LIMIT)
        try:
            return callbacks.pipeline_name()
        except PlanOverError:
            return None

    def show(self, address: PipelineAddress, token: SecretStr, progress: Progress) -> None:
        """Send what is new and may be sent now; the rest is sent by the next call.

        If the step or plan has ended, nothing is sent and nothing is raised.
        """
        callbacks = self._callbacks(address, token, LOOK_PATIENCE, LOOK_LIMIT)
        display = self._displays.of(address)
        display.take(progress, self._clock.now())
        if display.closed or self._client.throttled(callbacks.plan):
            return
        try:
            self._open(callbacks, display)
            if not display.closed:
                self._show(callbacks, display)
        except PlanOverError:
            display.closed = True

    def publish(
        self, address: PipelineAddress, token: SecretStr, results: Results, files: BuildFiles
    ) -> bool:
        """Bring the Tests tab and, at the end, the step's summary and files up to `results`.

        Without a numeric `build_id` the Tests tab stays empty, which is reported at the end. If the
        step or plan has ended, nothing is published and nothing is raised.
        """
        final = results.verdict is not None
        patience = PUBLISH_PATIENCE if final else LOOK_PATIENCE
        limit = PUBLISH_LIMIT if final else LOOK_LIMIT
        callbacks = self._callbacks(address, token, patience, limit)
        display, now = self._displays.of(address), self._clock.now()
        if not final:
            display.ended.update((run.name, run) for run in results.runs)
            if display.tab_begun and not display.ended:
                return True
            tests = (Kind.RESULTS_ADDED, Kind.RESULTS_CHANGED)
            due = not any(display.pace.wait(kind, now) for kind in tests)
            if display.closed or not due or self._client.throttled(callbacks.plan):
                return False
            results = replace(results, runs=tuple(display.ended.values()))
        else:
            latest = now + timedelta(seconds=LONGEST_PUBLISH)  # less after a clock was set back
            display.files_until = min(display.files_until or latest, latest)
        until = now + timedelta(seconds=FINAL_PUBLISH_SECONDS if final else PUBLISH_SECONDS)
        calls = TabCalls(self._client, callbacks.access)
        tab = Tab(calls, results, files, self._clock, until, display.files_until)
        try:
            if not final:
                return fill_tab(tab, display)
            if results.verdict is not Verdict.CANCELED and not callbacks.row().ended:
                return publish_all(callbacks, tab, display, results, files)
        except PlanOverError as over:
            log.info("plan %s ended before its results were published: %s", address.plan_id, over)
        if has_tests_tab(results):
            with suppress(PlanOverError):
                tab.abort()
        self._displays.forget(address)
        return True

    def complete(
        self,
        address: PipelineAddress,
        token: SecretStr,
        completion: Completion,
        *,
        doubt: bool = False,
    ) -> None:
        """Post the verdict and check that the step has ended.

        Also returns if the step or its plan ended some other way: nothing can be posted then. A
        canceled build posts nothing, because a canceled step accepts nothing.
        """
        if completion.verdict is Verdict.CANCELED:
            self._displays.forget(address)
            return
        display = self._displays.of(address)
        display.closed = True
        # If describing the end failed before, it may always fail, and must not delay the verdict.
        excused = (Permanent, Temporary) if doubt else (Permanent,)
        callbacks = self._callbacks(address, token, COMPLETION_PATIENCE, COMPLETION_LIMIT)
        describing = self._callbacks(address, token, COMPLETION_PATIENCE, DESCRIPTION_LIMIT)
        try:
            row = callbacks.row() if doubt else None
            # Where no timeline can be read, nothing more can be confirmed.
            ended = row is not None and (row.ended or (display.posted and not row.readable))
            if not ended:
                self._flush(self._callbacks(address, token, LOOK_PATIENCE, FLUSH_LIMIT), display)
                _describe_end(describing, completion, excused)
                callbacks.post_completed(completion.verdict)
                display.posted = True
                self._confirm(callbacks)
        except PlanOverError as over:
            log.info("plan %s ended without our verdict: %s", address.plan_id, over)
        self._displays.forget(address)

    def _callbacks(
        self, address: PipelineAddress, token: SecretStr, patience: float, limit: float
    ) -> Callbacks:
        """Callbacks that wait up to `patience` seconds when throttled, and begin no request after
        `limit` seconds."""
        plan = endpoints_of(address, self._allowed)
        display, until = self._displays.of(address), self._clock.now() + timedelta(seconds=limit)
        access = Access(plan, token, display.caller, display.pace, patience, until)
        return Callbacks(self._client, access, address)

    def _open(self, callbacks: Callbacks, display: Display) -> None:
        """Read what any process has shown of the step so far, and find or create its log."""
        if not display.row_read:
            row = callbacks.row()
            display.row_read, display.closed = True, row.ended
            display.in_progress, display.log_id = row.in_progress, row.log_id
            display.percent = max(display.percent, row.percent)
            if not (row.ended or row.in_progress):
                _post_started(callbacks)
        if display.closed or display.log_id is not None or display.log_refused:
            return
        try:
            display.log_id = callbacks.create_log()
        except Permanent as error:
            log.warning("the pipeline's step has no persistent log: %s", error)
        display.log_refused = display.log_id is None

    def _show(self, callbacks: Callbacks, display: Display) -> None:
        def due(kind: Kind) -> bool:
            return not display.pace.wait(kind, self._clock.now(), 1 + AT_THE_END)

        showing = (display.percent, display.operation)
        if showing != display.shown and due(Kind.RECORD):
            callbacks.patch_record(bodies.progress_record(callbacks.address, display))
            display.shown, display.in_progress = showing, True
        if display.feed and due(Kind.FEED):
            _send_feed(callbacks, display)
        if display.log and due(Kind.LOG):
            _append_log(callbacks, display)

    def _flush(self, callbacks: Callbacks, display: Display) -> None:
        """Send the lines that still wait. Only log a failure: the verdict matters more.

        The log goes first. The feed gets what can be sent in a few seconds, because nobody sees it
        after the step has ended.
        """
        until = self._clock.now() + timedelta(seconds=FLUSH_SECONDS)
        try:
            while display.log:
                _append_log(callbacks, display)
            while display.feed and self._clock.now() < until:
                _send_feed(callbacks, display)
        except OrchestrationError as error:
            log.warning("the last lines are missing from the pipeline's log: %s", error)
        else:
            if display.feed:
                log.warning("the last %d lines are missing from the live log", len(display.feed))

    def _confirm(self, callbacks: Callbacks) -> None:
        """Return once the record says that the step has ended, or if there is no record."""
        for pause in CONFIRMATION_PAUSES:
            self._clock.sleep(pause)
            row = callbacks.row()
            if row.ended or (row.readable and not row.present):
                return
        raise Temporary(
            "Azure DevOps accepted the completion, but the step still waits. mlgate will check "
            "again and, if needed, post it again.",
            delay=10,
        )


def _post_started(callbacks: Callbacks) -> None:
    """Post the event. Nothing depends on it: the record carries the same state and is read back."""
    try:
        callbacks.post_started()
    except OrchestrationError as error:
        log.info("the start could not be reported to the pipeline: %s", error)


def _describe_end(
    callbacks: Callbacks, completion: Completion, excused: tuple[type[OrchestrationError], ...]
) -> None:
    """Put the reasons and variables on the step, before the event that ends it.

    After an `excused` error the variables are left out, with a warning on the step, and after
    another one everything. A step without them is better than one that waits for its timeout.
    """
    try:
        callbacks.patch_record(bodies.final_record(callbacks.address, completion))
    except excused as error:
        if not completion.variables:
            log.warning("the pipeline's step did not accept its reasons: %s", error)
            return
        log.warning("the pipeline's step did not accept its variables: %s", error)
        lacking = f"The step has no output variables: {error}"
        warnings = (lacking, *completion.warnings)
        bare = replace(completion, variables={}, warnings=warnings)
        _describe_end(callbacks, bare, excused)


def _send_feed(callbacks: Callbacks, display: Display) -> None:
    batch = display.feed_batch()
    callbacks.send_feed(batch)
    drop_sent(display.feed, batch)


def _append_log(callbacks: Callbacks, display: Display) -> None:
    batch = display.log_batch()
    if display.log_id is not None:
        callbacks.append_log(display.log_id, batch)
    drop_sent(display.log, batch)
