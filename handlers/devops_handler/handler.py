"""The pipeline port on Azure DevOps' REST callbacks.

Progress is best effort, completion is not: it is posted once, read back, and never repeated
before the step's own record has been asked. No answer to the event itself is trusted, since 204
has been seen without effect, and an effect without an answer.
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
from handlers.devops_handler.pacing import AT_THE_END, Kind
from handlers.devops_handler.publishing import fill_tab, has_tests_tab, publish_all
from handlers.devops_handler.testcalls import TabCalls
from handlers.devops_handler.testtab import Tab
from mlgate.orchestration.builds import PipelineAddress, Verdict
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles, Clock
from mlgate.orchestration.telling import Completion, Progress, Results

log = logging.getLogger("mlgate")

LOOK_PATIENCE = 2.0  # seconds that asking and showing wait when throttled
PUBLISH_PATIENCE = 10.0  # ... and publishing at the end, which may be left to the next call
COMPLETION_PATIENCE = 30.0  # ... and completing: the longest delay the service documents
LOOK_LIMIT = 30.0  # seconds after which asking and showing begin no more requests
PUBLISH_LIMIT = 60.0  # ... and publishing at the end
FLUSH_LIMIT = 10.0  # ... and sending the last lines
DESCRIPTION_LIMIT = 50.0  # ... and giving the reasons, which leaves time to tell the verdict
COMPLETION_LIMIT = 100.0  # ... and completing
PUBLISH_SECONDS = 2.0  # that results may take while the build goes on, and lines are waited for
FINAL_PUBLISH_SECONDS = 20.0  # ... and at its end, before the next call goes on with them
LONGEST_PUBLISH = 180.0  # ... and that files of results may take in all of these calls
FLUSH_SECONDS = 5.0  # that the live lines may hold up the end; the log has them by then
CONFIRMATION_PAUSES = (0.0, 1.0, 2.0, 3.0)  # seconds before each look for the event's effect


class DevOpsHandler:
    """Safe for threads as long as no two act on the same build.

    `allowed` are the URL prefixes of collections that may be called, with tokens. `identity`
    gives the host's own bearer token where a job's is not taken any more; it may raise
    Temporary and Permanent. `timeout_seconds` is for one answer.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[str],
        identity: Callable[[], SecretStr] | None = None,
        clock: Clock,
        timeout_seconds: float = 30,
    ) -> None:
        self._allowed = tuple(allowed)
        self._clock = clock
        self._client = Client(identity, clock, timeout_seconds)
        self._displays = Displays()

    def is_waiting(self, address: PipelineAddress, token: SecretStr) -> bool:
        """Whether neither the step nor its job nor its plan has ended.

        A timeline without the step's record is taken for one where it is yet to appear: ending a
        build on a guess costs more than going on with it.
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
        """Send what is new and may be sent now; the rest goes with the next call.

        Nothing is sent to a step or plan that has ended, which is no error.
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
        """Bring the Tests tab and, at the end, what the record keeps up to `results`.

        Without a `build_id` that is a number there is no Tests tab to fill, which is told at the
        end. What is over and done with cannot be published, which is no error.
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
            log.info("plan %s has ended before its results were there: %s", address.plan_id, over)
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
        """Post the verdict and see that the step has ended.

        Returns also when the step or its plan has ended otherwise: nothing can be posted then.
        A canceled build posts nothing, as a canceled step takes nothing.
        """
        if completion.verdict is Verdict.CANCELED:
            self._displays.forget(address)
            return
        display = self._displays.of(address)
        display.closed = True
        # What failed before may always fail for this record, and the verdict would wait for it.
        excused = (Permanent, Temporary) if doubt else (Permanent,)
        callbacks = self._callbacks(address, token, COMPLETION_PATIENCE, COMPLETION_LIMIT)
        describing = self._callbacks(address, token, COMPLETION_PATIENCE, DESCRIPTION_LIMIT)
        try:
            if not (doubt and callbacks.row().ended):
                self._flush(self._callbacks(address, token, LOOK_PATIENCE, FLUSH_LIMIT), display)
                _describe_end(describing, completion, excused)
                callbacks.post_completed(completion.verdict)
                self._confirm(callbacks)
        except PlanOverError as over:
            log.info("plan %s has ended without our verdict: %s", address.plan_id, over)
        self._displays.forget(address)

    def _callbacks(
        self, address: PipelineAddress, token: SecretStr, patience: float, limit: float
    ) -> Callbacks:
        """Callbacks that wait `patience` seconds when throttled, and `limit` in all."""
        plan = endpoints_of(address, self._allowed)
        display, until = self._displays.of(address), self._clock.now() + timedelta(seconds=limit)
        access = Access(plan, token, display.caller, display.pace, patience, until)
        return Callbacks(self._client, access, address)

    def _open(self, callbacks: Callbacks, display: Display) -> None:
        """Find out how far the step was shown before, by whichever process, and its log."""
        if not display.row_read:
            row = callbacks.row()
            display.row_read, display.closed = True, row.ended
            display.in_progress, display.log_id = row.in_progress, row.log_id
            display.percent = max(display.percent, row.percent)
            if not (row.ended or row.in_progress):
                _tell_started(callbacks)
        if display.closed or display.log_id is not None or display.log_refused:
            return
        try:
            display.log_id = callbacks.create_log()
        except Permanent as error:
            log.warning("the pipeline's step keeps no log: %s", error)
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
        """Send the lines that still wait, unless that fails: no line is worth a verdict.

        The log goes first. The feed, which nobody sees any more once the step has ended, gets
        what it can take in a few seconds.
        """
        until = self._clock.now() + timedelta(seconds=FLUSH_SECONDS)
        try:
            while display.log:
                _append_log(callbacks, display)
            while display.feed and self._clock.now() < until:
                _send_feed(callbacks, display)
        except OrchestrationError as error:
            log.warning("the pipeline's log lacks its last lines: %s", error)
        else:
            if display.feed:
                log.warning("the live log lacks its last %d lines", len(display.feed))

    def _confirm(self, callbacks: Callbacks) -> None:
        """Return once the record says that the step has ended, or there is none to ask."""
        for pause in CONFIRMATION_PAUSES:
            self._clock.sleep(pause)
            row = callbacks.row()
            if row.ended or not row.present:
                return
        raise Temporary(
            "Azure DevOps took the completion, but the step still waits. It is asked again, and "
            "told again if need be.",
            delay=10,
        )


def _tell_started(callbacks: Callbacks) -> None:
    """Post the event, which nothing depends on: the record says it again, and is read."""
    try:
        callbacks.post_started()
    except OrchestrationError as error:
        log.info("the pipeline was not told of the start: %s", error)


def _describe_end(
    callbacks: Callbacks, completion: Completion, excused: tuple[type[OrchestrationError], ...]
) -> None:
    """Put the reasons and variables on the step, before the event that ends it.

    What fails with an `excused` error is left out: first the variables, which is a warning of the
    step, then all of it. A step without them is better than one that waits for its time-out.
    """
    try:
        callbacks.patch_record(bodies.final_record(callbacks.address, completion))
    except excused as error:
        if not completion.variables:
            log.warning("the pipeline's step does not take its reasons: %s", error)
            return
        log.warning("the pipeline's step does not take its variables: %s", error)
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
