"""The Tests tab brought up to what is known, from wherever an earlier call left it.

A test run is found by its name, a result by its run, an attachment by its file: so a handler that
died between any two requests leaves nothing that would be made again. A result stays in progress
until its files are attached, which spares asking for the files of those that are complete.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar

from handlers.devops_handler import testbodies
from handlers.devops_handler.attachments import content_of
from handlers.devops_handler.pacing import Kind
from handlers.devops_handler.testcalls import TabCalls
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles, Clock
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Results, RunResult

log = logging.getLogger("mlgate")

PAUSES = (1.0, 2.0)  # seconds before what may not have arrived is looked for

T = TypeVar("T")


@dataclass(slots=True)
class KnownRun:
    """A test run as far as this process knows it; `fresh` results were added by it, so that no
    files can be there yet."""

    id: int
    results: dict[str, testbodies.FoundResult] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Tab:
    """One call's work. `until` is when it should rather leave the rest to the next call.

    `files_until` is when a build that is over should rather do without the files that are not
    attached yet; while it goes on, None, no file is waited for. Those of runs that passed are never
    waited for, as the verdict would be.
    """

    calls: TabCalls
    results: Results
    files: BuildFiles
    clock: Clock
    until: datetime
    files_until: datetime | None

    def bring_up(self, known: KnownRun | None) -> tuple[KnownRun | None, bool]:
        """What is known now, and whether everything is there; None for a run that is over."""
        if known is None:
            found = self._find_or_add_run()
            if found.over:
                return None, True
            known = KnownRun(found.id, self.calls.find_results(found.id))
        added = self._add_results(known)
        if not self._complete_results(known) or not added:
            return known, False
        if self.results.verdict is not None:
            self.calls.end_run(known.id, "Completed")
            return None, True
        return known, True

    def abort(self) -> None:
        """End the test run if one was begun."""
        found = self.calls.find_run(self.results)
        if found is not None and not found.over:
            self.calls.end_run(found.id, "Aborted")

    def _find_or_add_run(self) -> testbodies.FoundRun:
        def find() -> testbodies.FoundRun | None:
            return self.calls.find_run(self.results)

        return find() or self._once(lambda: self.calls.add_run(self.results), find)

    def _add_results(self, known: KnownRun) -> bool:
        """Whether every result is there now; those that take a closer look take their time."""
        missing = [run for run in self.results.runs if run.name not in known.results]
        if not missing:
            return True
        new: list[RunResult] = []
        for run in missing:
            if new and self.clock.now() >= self.until and not self._late():
                break
            new.append(self._told(run))

        def add() -> dict[str, testbodies.FoundResult]:
            return self.calls.add_results(known.id, new)

        def find() -> dict[str, testbodies.FoundResult] | None:
            found = self.calls.find_results(known.id)
            return found if all(run.name in found for run in new) else None

        known.results = {**known.results, **self._once(add, find)}
        known.fresh |= {run.name for run in new}
        return len(new) == len(missing)

    def _told(self, run: RunResult) -> RunResult:
        """The result as it is sent: with what its files tell, if they can be read in time."""
        if run.detail is None or self._late():
            return run
        try:
            message, stack = run.detail()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the result matters more
            log.warning("the result of %s lacks what its notebook says: %s", run.name, error)
            return run
        return replace(run, message=message, stack=stack)

    def _late(self) -> bool:
        return self.files_until is not None and self.clock.now() >= self.files_until

    def _complete_results(self, known: KnownRun) -> bool:
        """Whether every result that is there is complete now; of those that failed, the files come
        first."""
        changes: list[dict[str, Any]] = []
        in_time = True
        for run in sorted(self.results.runs, key=lambda run: run.status is RunStatus.SUCCEEDED):
            found = known.results.get(run.name)
            if found is None or found.complete:
                continue
            if not self._has_time(run, begun=bool(changes)):
                in_time = False
                break
            changes.append(testbodies.completed_result(found.id, self._attach(known, run)))
            known.results[run.name] = replace(found, complete=True)
        if changes:
            self.calls.change_results(known.id, changes)
        return in_time

    def _has_time(self, run: RunResult, *, begun: bool) -> bool:
        now = self.clock.now()
        if self.files_until is None:
            wait = self.calls.access.pace.wait(Kind.RESULT_FILE, now, len(run.files))
            return not wait and now < self.until
        return not begun or now < self.until or now >= self.files_until

    def _attach(self, known: KnownRun, run: RunResult) -> list[str]:
        """Attach the run's files; returns notes on what was left out."""
        if not run.files:
            return []
        now, pace = self.clock.now(), self.calls.access.pace
        passed = run.status is RunStatus.SUCCEEDED
        if self._late() or (passed and pace.wait(Kind.RESULT_FILE, now, len(run.files))):
            return ["Attaching its files would take too long; they are with the build's files."]
        result_id = known.results[run.name].id
        there = set() if run.name in known.fresh else self.calls.find_files(known.id, result_id)
        notes = (
            self._attach_file(known.id, result_id, path)
            for path in run.files
            if PurePosixPath(path).name not in there
        )
        return [note for note in notes if note]

    def _attach_file(self, run_id: int, result_id: int, path: str) -> str | None:
        """Returns a note when the file is left out."""
        name = PurePosixPath(path).name
        try:
            content = content_of(self.files, self.results.build, path)
        except Permanent as error:
            return f"{name} is not attached: {error}"
        if content is None:
            return f"{name} is too large to attach; it is with the build's files."
        try:
            if content:
                self._attach_once(run_id, result_id, name, content)
        except Permanent as error:
            return f"{name} is not attached: {error}"
        except Temporary as error:
            # A service that answers this but not that will not take this file tomorrow either.
            if name not in self.calls.find_files(run_id, result_id):
                return f"{name} is not attached: {error}"
        return None

    def _attach_once(self, run_id: int, result_id: int, name: str, content: bytes) -> None:
        def add() -> bool:
            self.calls.attach(run_id, result_id, name, content)
            return True

        def find() -> bool | None:
            return name in self.calls.find_files(run_id, result_id) or None

        self._once(add, find)

    def _once(self, add: Callable[[], T], find: Callable[[], T | None]) -> T:
        """Add what must not be there twice: when it is not known to have arrived, look first."""
        for pause in PAUSES:
            try:
                return add()
            except Temporary:
                self.clock.sleep(pause)
            found = find()
            if found is not None:
                return found
        return add()
