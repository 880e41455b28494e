"""The files that mlgate writes for a build: what is in each, in the order to write them.

The verdict is saved before any of them is written. A file that cannot be written does not stop the
others, and none is in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mlgate.orchestration.builds import Build
from mlgate.orchestration.verdict.evidence import LOG, Read, left, path_of
from mlgate.orchestration.verdict.gates import describe_failure
from mlgate.orchestration.verdict.junit import junit_xml
from mlgate.orchestration.verdict.page.page import page_html
from mlgate.orchestration.verdict.result import result_json

__all__ = ["Part", "Read", "parts_of"]

LOGS, JUNIT, PAGE, RESULT = "logs", "junit.xml", "report.html", "result.json"


@dataclass(frozen=True, slots=True)
class Part:
    """One step of writing, with the name that `Build.written` remembers it by.

    `files` gives each file's path and its content in parts, made as they are asked for; it can be
    called again, with another way to read notebooks.
    """

    name: str
    files: Callable[[Read], Iterable[tuple[str, Iterable[bytes]]]]


def parts_of(build: Build) -> tuple[Part, ...]:
    """A log for each run that left none, then the reports, `result.json` last."""
    logs = [Part(LOGS, lambda _: _logs(build))] if _logless(build) else []
    return (
        *logs,
        Part(JUNIT, lambda read: [(JUNIT, junit_xml(build, read))]),
        Part(PAGE, lambda read: [(PAGE, page_html(build, read))]),
        Part(RESULT, lambda _: [(RESULT, [result_json(build)])]),
    )


def _logless(build: Build) -> bool:
    return any(left(run, LOG) is None for run in build.runs)


def _logs(build: Build) -> Iterator[tuple[str, Iterable[bytes]]]:
    for run in build.runs:
        if left(run, LOG) is None:
            yield path_of(run, LOG), [f"{describe_failure(run)}\n".encode(errors="replace")]
