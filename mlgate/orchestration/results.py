"""What a pipeline keeps of a build, from the build and its files' contents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlgate.orchestration import notebook_view
from mlgate.orchestration.builds import Build, RunState, Verdict
from mlgate.orchestration.problems import failing_cell, problem_of, short_trace
from mlgate.orchestration.report import run_seconds, summary_markdown, why_not_succeeded
from mlgate.orchestration.runs import RunKind, RunStatus
from mlgate.orchestration.told import Results, RunResult
from mlgate.orchestration.wording import one_line

KEPT_FILES = ("result.json", "report.html", "junit.xml")
_MESSAGE = 1000  # characters


def results_so_far(
    build: Build, runs: Iterable[RunState], notebooks: Mapping[str, bytes]
) -> Results:
    """The results of those of its runs, which have ended, of a build that goes on.

    `notebooks` maps names of failed runs to their `executed.ipynb`.
    """
    return Results(
        build=build.key,
        build_id=_pipelines_build_id(build),
        title=f"mlgate {build.key[:8]}",
        runs=tuple(_run_result(build, run, notebooks) for run in runs),
    )


def final_results(build: Build, notebooks: Mapping[str, bytes]) -> Results:
    """All the results of a build with its verdict; for one that was canceled, just that."""
    known = build.verdict is not Verdict.CANCELED
    # In the order in which they ended, which is also the one they were told in.
    runs = sorted(build.runs, key=lambda run: run.finished_at or build.received_at)
    return Results(
        build=build.key,
        build_id=_pipelines_build_id(build),
        title=f"mlgate {build.key[:8]}",
        runs=tuple(_run_result(build, run, notebooks) for run in runs) if known else (),
        verdict=build.verdict,
        summary=summary_markdown(build) if known else "",
        files=KEPT_FILES if known else (),
    )


def _pipelines_build_id(build: Build) -> str | None:
    said = build.request.get("build_id")
    return said if isinstance(said, str) and said else None


def _run_result(build: Build, run: RunState, notebooks: Mapping[str, bytes]) -> RunResult:
    spec = run.spec
    message, stack = "", ""
    if run.status is not RunStatus.SUCCEEDED:
        message, stack = _why(build, run, notebooks.get(spec.name, b""))
    names = ("executed.html", "executed.ipynb") if spec.kind is RunKind.NOTEBOOK else ()
    return RunResult(
        name=spec.name,
        what=spec.path or spec.command or spec.name,
        status=run.status,
        started_at=run.started_at,
        seconds=run_seconds(run),
        message=message,
        stack=stack,
        files=tuple(f"runs/{spec.name}/{name}" for name in (*names, "log.txt") if run.collected),
    )


def _why(build: Build, run: RunState, ipynb: bytes) -> tuple[str, str]:
    """The sentence, which names the failing cell, and the stack trace."""
    why = why_not_succeeded(build, run)
    problem = problem_of(build, run)
    if problem is None or run.failure is None:
        return one_line(why, _MESSAGE), ""
    cell = failing_cell(run, notebook_view.cells(ipynb)) if ipynb else None
    number = run.failure.cell if run.failure.cell is not None else cell.number if cell else None
    message = why if number is None else f"cell {number}: {why}"
    source = cell.source if cell is not None else ""
    traceback = problem.text or (cell.error if cell is not None else None) or why
    return one_line(message, _MESSAGE), short_trace(source, traceback)
