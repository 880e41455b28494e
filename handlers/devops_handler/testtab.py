"""The Tests tab brought up to what is known, from wherever an earlier call left it.

A test run is found by its name, a result by its run, an attachment by its file: so a handler that
died between any two requests leaves nothing that would be made again. A result stays in progress
until its files are attached, which spares asking for the files of those that are complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar

from handlers.devops_handler import testbodies
from handlers.devops_handler.pacing import Kind
from handlers.devops_handler.testcalls import TabCalls
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles, Clock
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.told import Results, RunResult

FILE_SIZE = 32 * 1024 * 1024  # bytes; twice that is in memory to send it, and a Function has little
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
        self._add_results(known)
        if not self._complete_results(known):
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

    def _add_results(self, known: KnownRun) -> None:
        new = [run for run in self.results.runs if run.name not in known.results]
        if not new:
            return

        def add() -> dict[str, testbodies.FoundResult]:
            return self.calls.add_results(known.id, new)

        def find() -> dict[str, testbodies.FoundResult] | None:
            found = self.calls.find_results(known.id)
            return found if all(run.name in found for run in new) else None

        known.results = {**known.results, **self._once(add, find)}
        known.fresh |= {run.name for run in new}

    def _complete_results(self, known: KnownRun) -> bool:
        """Whether every result is complete now; of those that failed, the files come first."""
        changes: list[dict[str, Any]] = []
        in_time = True
        for run in sorted(self.results.runs, key=lambda run: run.status is RunStatus.SUCCEEDED):
            found = known.results[run.name]
            if found.complete:
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
        now = self.clock.now()
        late = self.files_until is not None and now >= self.files_until
        pace = self.calls.access.pace
        if run.status is RunStatus.SUCCEEDED and pace.wait(Kind.RESULT_FILE, now, len(run.files)):
            late = True
        if late:
            return ["Attaching its files would take too long; they are with the build's files."]
        result_id = known.results[run.name].id
        there = set() if run.name in known.fresh else self.calls.find_files(known.id, result_id)
        notes: list[str] = []
        for path in run.files:
            name = PurePosixPath(path).name
            content = self.files.read(self.results.build, path) if name not in there else None
            if not content:
                continue
            if len(content) > FILE_SIZE and not name.endswith(".txt"):
                notes.append(f"{name} is too large to attach; it is with the build's files.")
                continue
            try:
                self._attach_once(known.id, result_id, name, content[-FILE_SIZE:])
            except Permanent as error:
                notes.append(f"{name} is not attached: {error}")
            except Temporary as error:
                # A service that answers this but not that will not take this file tomorrow either.
                if name not in self.calls.find_files(known.id, result_id):
                    notes.append(f"{name} is not attached: {error}")
        return notes

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
