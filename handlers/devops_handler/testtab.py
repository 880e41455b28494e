"""Brings the Tests tab up to date, from wherever an earlier call left it.

A test run is found by its name, a result by its run, and an attachment by its file. So nothing is
created twice, even if a handler dies between two requests. A result stays in progress until its
files are attached, so the files of complete results need not be listed.
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
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Results, RunResult

log = logging.getLogger("mlgate")

PAUSES = (1.0, 2.0)  # seconds before checking whether a failed request arrived

T = TypeVar("T")


@dataclass(slots=True)
class KnownRun:
    """What this process knows of a test run. It added the `fresh` results itself, so they have no
    files yet."""

    id: int
    results: dict[str, testbodies.FoundResult] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Tab:
    """The work of one call. At `until` it leaves the rest to the next call.

    At `files_until` a finished build goes on without the files that are not attached yet. It is
    None while the build goes on: then no file is waited for. Files of runs that passed are never
    waited for, because they would delay the verdict.
    """

    calls: TabCalls
    results: Results
    files: BuildFiles
    clock: Clock
    until: datetime
    files_until: datetime | None

    def bring_up(self, known: KnownRun | None) -> tuple[KnownRun | None, bool]:
        """What is known now, None if the test run has ended; and whether everything is there."""
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
        """Add the missing results; returns whether all are there now.

        Some results read files first, so this stops at `until`.
        """
        missing = [run for run in self.results.runs if run.name not in known.results]
        if not missing:
            return True
        new: list[RunResult] = []
        for run in missing:
            if new and self.clock.now() >= self.until and not self._late():
                break
            new.append(self._with_detail(run))

        def add() -> dict[str, testbodies.FoundResult]:
            return self.calls.add_results(known.id, new)

        def find() -> dict[str, testbodies.FoundResult] | None:
            found = self.calls.find_results(known.id)
            return found if all(run.name in found for run in new) else None

        known.results = {**known.results, **self._once(add, find)}
        known.fresh |= {run.name for run in new}
        return len(new) == len(missing)

    def _with_detail(self, run: RunResult) -> RunResult:
        """The result with what its files say, if they can be read in time."""
        if run.detail is None or self._late():
            return run
        try:
            message, stack = run.detail()
        except Exception as error:  # noqa: BLE001 -- the result matters more than its detail
            log.warning("the result of %s has no details of its notebook: %s", run.name, error)
            return run
        return replace(run, message=message, stack=stack)

    def _late(self) -> bool:
        return self.files_until is not None and self.clock.now() >= self.files_until

    def _complete_results(self, known: KnownRun) -> bool:
        """Attach files and complete the results that are there, those of failed runs first.

        Returns whether all of them are complete now.
        """
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
        """Attach the run's files; returns a note for each that was left out."""
        if not run.files:
            return []
        now, pace = self.clock.now(), self.calls.access.pace
        passed = run.status is RunStatus.SUCCEEDED
        if self._late() or (passed and pace.wait(Kind.RESULT_FILE, now, len(run.files))):
            return ["Its files were not attached to save time; find them with the build's files."]
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
            return f"{name} is too large to attach; find it with the build's files."
        try:
            if content:
                self._attach_once(run_id, result_id, name, content)
        except Permanent as error:
            return f"{name} is not attached: {error}"
        except Temporary as error:
            # The service answers this request but not that one, so a retry would not help.
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
        """Add what must not be there twice: after a failure, look for it before trying again."""
        for pause in PAUSES:
            try:
                return add()
            except Temporary:
                self.clock.sleep(pause)
            found = find()
            if found is not None:
                return found
        return add()
