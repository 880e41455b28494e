"""What a pipeline receives of a build: its progress, the results of its runs, and its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.runs import RunStatus


@dataclass(frozen=True, slots=True)
class Progress:
    """What a pipeline shows of a build that goes on."""

    percent: int  # 0 to 100, never less than before
    operation: str  # "3/7 runs, train: cell 12/40"
    lines: tuple[str, ...] = ()  # new lines of the live log
    first_line: int = 1  # number of the first of `lines`, counted over the whole build


@dataclass(frozen=True, slots=True)
class Completion:
    """The end: posted exactly once."""

    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...] = ()  # of a rejected message
    issues: tuple[str, ...] = ()  # one line for each failed run and wrong check
    warnings: tuple[str, ...] = ()  # one line each
    variables: Mapping[str, str] = field(default_factory=dict)  # for the pipeline's later jobs


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that has ended, as a test. `files` may be missing from the build's files.

    `detail` looks into them for a better `message` and `stack`. That takes time and memory, so
    only the sender of the result calls it, once, one after the other. It may raise what reading
    raises.
    """

    name: str
    what: str  # the notebook or the command
    status: RunStatus
    started_at: datetime | None = None
    seconds: float | None = None
    message: str = ""  # why it did not succeed, with the failing cell
    stack: str = ""  # what says most first
    files: tuple[str, ...] = ()  # to be attached
    detail: Callable[[], tuple[str, str]] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Results:
    """What a pipeline keeps of a build: of one that goes on, or, with `verdict`, of all of it.

    `build_id` is the pipeline's own number of it. `title` names the test run, and no other one
    of the same `build_id`. `files` are kept beside the log.
    """

    build: str  # whose files
    build_id: str | None
    title: str
    runs: tuple[RunResult, ...] = ()  # have ended; all of them once there is a verdict
    verdict: Verdict | None = None
    summary: str = ""  # markdown
    files: tuple[str, ...] = ()
