"""Remembers what a pipeline has been shown of a build, and queues what comes next, in this process.

Lines that arrive faster than they may be sent are queued here. Another process may take the next
look, so showing them is best effort; the build's own files hold everything.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from handlers.devops_handler.client import Caller
from handlers.devops_handler.pacing import FILES_AT_ONCE, Pace
from handlers.devops_handler.testtab import KnownRun
from mlgate.orchestration.builds import PipelineAddress
from mlgate.orchestration.telling import Progress, RunResult
from mlgate.orchestration.text import plain

LINES_KEPT = 2000  # the oldest are dropped first
BUILDS_KEPT = 1000

# The limits of Microsoft's agent; the service's own are not documented.
LINE_LENGTH = 1024
LINES_PER_FEED = 100
LINES_PER_LOG = 1000  # far below the 8 MB that a page may have


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log; `number` counts from 1 over the whole build."""

    number: int
    text: str
    written_at: datetime


@dataclass(slots=True)
class Display:
    """The display of one build. `row_read`: this process has read the step's record once.

    `tests` is what is known of the test run, or None if that is nothing or in doubt. `ended` are
    the runs, by name, whose results are missing from it while the build goes on. `kept` are the
    parts of the results that need no more work; `refusals` says why some of them were refused.
    """

    feed: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    log: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    next_line: int = 1
    percent: int = 0
    operation: str = ""
    shown: tuple[int, str] | None = None  # the percent and operation that the record has
    row_read: bool = False
    in_progress: bool = False
    log_id: int | None = None
    log_refused: bool = False  # the step cannot have a persistent log
    tests: KnownRun | None = None
    tab_begun: bool = False  # this process has found or made the test run
    ended: dict[str, RunResult] = field(default_factory=dict)
    tab_refused: str = ""  # why the Tests tab gets nothing more
    kept: set[str] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)
    posted: bool = False  # the event that ends the step was accepted, but not confirmed
    closed: bool = False  # the step has ended or is being completed: nothing more is shown
    files_until: datetime | None = None  # after this, a finished build gets no more files
    pace: Pace = field(default_factory=Pace)
    caller: Caller = field(default_factory=Caller)

    def take(self, progress: Progress, now: datetime) -> None:
        """Queue what is to be shown, without the lines that were queued before."""
        self.percent = max(self.percent, min(progress.percent, 100))
        self.operation = progress.operation
        for number, text in enumerate(progress.lines, progress.first_line):
            if number >= self.next_line:
                line = Line(number, fitting(text), now)
                self.feed.append(line)
                if not self.log_refused:
                    self.log.append(line)
                self.next_line = number + 1

    def feed_batch(self) -> list[Line]:
        """The first queued lines with consecutive numbers, as many as fit in one request."""
        batch: list[Line] = []
        for line in islice(self.feed, LINES_PER_FEED):
            if batch and line.number != batch[-1].number + 1:
                break
            batch.append(line)
        return batch

    def log_batch(self) -> list[Line]:
        return list(islice(self.log, LINES_PER_LOG))


class Displays:
    """The displays of the builds seen last. If one is dropped, its record has to be read again."""

    def __init__(self, files_at_once: int = FILES_AT_ONCE) -> None:
        self._files_at_once = files_at_once
        self._known: OrderedDict[PipelineAddress, Display] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, address: PipelineAddress) -> Display:
        with self._lock:
            display = self._known.setdefault(address, Display(pace=Pace(self._files_at_once)))
            self._known.move_to_end(address)
            if len(self._known) > BUILDS_KEPT:
                self._known.popitem(last=False)
            return display

    def __len__(self) -> int:
        return len(self._known)

    def forget(self, address: PipelineAddress) -> None:
        with self._lock:
            self._known.pop(address, None)


def fitting(text: str) -> str:
    """`text` as one plain line, shortened to what a log accepts; indentation is kept."""
    line = plain(text).rstrip("\n").replace("\n", " ")
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"


def drop_sent(waiting: deque[Line], sent: Sequence[Line]) -> None:
    for _ in sent:
        waiting.popleft()
