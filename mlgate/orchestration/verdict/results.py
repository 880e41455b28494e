"""What a pipeline keeps of a build. Pure: the sender of a result reads its notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from mlgate.orchestration.builds import Build, RunState, Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Results, RunResult
from mlgate.orchestration.text import one_line
from mlgate.orchestration.verdict.evidence import LOG, NOTEBOOK, PAGE, Read, left
from mlgate.orchestration.verdict.facts import run_seconds, why_not_succeeded
from mlgate.orchestration.verdict.models import story
from mlgate.orchestration.verdict.notebook_view import CellRecord, Notebook
from mlgate.orchestration.verdict.problems import Problem, failing_cell, problem_of, short_trace
from mlgate.orchestration.verdict.summary import summary_markdown

KEPT_FILES = ("result.json", "report.html", "junit.xml")
_MESSAGE = 1000  # characters


def results_so_far(build: Build, runs: Iterable[RunState], read: Read) -> Results:
    """The results of these runs, which have ended, while the build goes on."""
    return Results(
        build=build.key,
        build_id=_pipelines_build_id(build),
        title=f"mlgate {build.key[:8]}",
        runs=tuple(_run_result(build, run, read) for run in runs),
    )


def final_results(build: Build, read: Read) -> Results:
    """All the results of a build that has a verdict; of a canceled one, the verdict alone."""
    known = build.verdict is not Verdict.CANCELED
    # In the order in which they ended, which is also the order they were reported in.
    runs = sorted(build.runs, key=lambda run: run.finished_at or build.received_at)
    return Results(
        build=build.key,
        build_id=_pipelines_build_id(build),
        title=f"mlgate {build.key[:8]}",
        runs=(*(_run_result(build, run, read) for run in runs), *_model(build)) if known else (),
        verdict=build.verdict,
        summary=summary_markdown(build) if known else "",
        files=KEPT_FILES if known else (),
    )


def _model(build: Build) -> Iterator[RunResult]:
    told = story(build)
    if told is not None:
        passed = told.status is RunStatus.SUCCEEDED
        yield RunResult(
            name=f"model {told.name}",
            what=f"{told.was} -> {told.now}",
            status=told.status,
            started_at=build.finished_at,
            seconds=0.0,
            message="" if passed else one_line(told.why, _MESSAGE),
        )


def _pipelines_build_id(build: Build) -> str | None:
    said = build.request.get("build_id")
    return said if isinstance(said, str) and said else None


def _run_result(build: Build, run: RunState, read: Read) -> RunResult:
    spec = run.spec
    message, stack, detail = _why(build, run, read)
    return RunResult(
        name=spec.name,
        what=spec.path or spec.command or spec.name,
        status=run.status,
        started_at=run.started_at,
        seconds=run_seconds(run),
        message=message,
        stack=stack,
        files=tuple(path for name in (PAGE, NOTEBOOK, LOG) if (path := left(run, name))),
        detail=detail,
    )


def _why(
    build: Build, run: RunState, read: Read
) -> tuple[str, str, Callable[[], tuple[str, str]] | None]:
    """The sentence, the stack trace, and how to get better ones.

    The last refers to the run alone: it may be kept for longer than this state of the build.
    """
    if run.status is RunStatus.SUCCEEDED:
        return "", "", None
    why = why_not_succeeded(build, run)
    problem = problem_of(build, run)
    if problem is None or run.failure is None:
        return one_line(why, _MESSAGE), "", None
    detail = partial(_detail, run, problem, read) if left(run, NOTEBOOK) else None
    return *_told(run, problem, None), detail


def _detail(run: RunState, problem: Problem, read: Read) -> tuple[str, str]:
    return _told(run, problem, failing_cell(run, Notebook.of(run, read).cells()))


def _told(run: RunState, problem: Problem, cell: CellRecord | None) -> tuple[str, str]:
    """The sentence, which names the failing cell, and the stack trace."""
    named = run.failure.cell if run.failure is not None else None
    number = named if named is not None else cell.number if cell else None
    message = problem.message if number is None else f"cell {number}: {problem.message}"
    source = cell.source if cell is not None else ""
    traceback = problem.text or (cell.error if cell is not None else None) or problem.message
    return one_line(message, _MESSAGE), short_trace(source, traceback)
