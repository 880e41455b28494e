"""Whatever a build holds, everything that is written about it can be written.

A run writes its own times, numbers and texts, and a verdict that cannot be written is a step that
waits for its time-out.
"""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.devops_handler.bodies import final_record
from handlers.devops_handler.testbodies import new_result
from mlgate.orchestration.builds import Build, PipelineAddress, RunState, Verdict
from mlgate.orchestration.verdict.completion import completion_of
from mlgate.orchestration.verdict.evidence import no_notebooks
from mlgate.orchestration.verdict.files import parts_of
from mlgate.orchestration.verdict.gates import judge
from mlgate.orchestration.verdict.narration import narrate, operation
from mlgate.orchestration.verdict.page.page import page_html
from mlgate.orchestration.verdict.results import final_results, results_so_far
from mlgate.orchestration.verdict.summary import summary_markdown
from mlgate.orchestration.verdict.variables import output_variables
from tests.unit.orchestration.verdict.any_builds import BUILDS, NOTEBOOKS
from tests.unit.orchestration.verdict.samples import a_build, failed_run

ANYTHING = settings(
    deadline=None,  # a busy machine is not a failure
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ADDRESS = PipelineAddress("https://x", *("0" * 8 for _ in range(6)))


@ANYTHING
@given(BUILDS, NOTEBOOKS)
def test_every_file_is_made_and_is_what_its_name_says(build: Build, ipynb: bytes | None) -> None:
    def read(_: RunState) -> bytes | None:
        return ipynb

    written = {
        path: b"".join(content) for part in parts_of(build) for path, content in part.files(read)
    }
    assert list(written)[-3:] == ["junit.xml", "report.html", "result.json"]
    ET.fromstring(written["junit.xml"])
    HTMLParser().feed(written["report.html"].decode())
    told = json.loads(written["result.json"], parse_constant=no_constant)
    assert len(told["runs"]) == len(build.runs)


def no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


@ANYTHING
@given(BUILDS, NOTEBOOKS)
def test_every_result_can_be_sent(build: Build, ipynb: bytes | None) -> None:
    def read(_: RunState) -> bytes | None:
        return ipynb

    for results in (final_results(build, read), results_so_far(build, build.runs, read)):
        results.summary.encode()
        for run in results.runs:
            json.dumps(new_result(run), allow_nan=False).encode()
            if run.detail is not None:
                message, stack = run.detail()
                (message + stack).encode()


def test_a_build_of_many_warnings_metrics_and_failures_is_told_of_a_few() -> None:
    metrics = {f"m{number}": 0.5 for number in range(10_000)}
    many = ("w" * 500,) * 10_000
    run = replace(failed_run(), warnings=many, metrics=metrics)
    runs = (renamed(run, f"run-{number}") for number in range(20))
    build = a_build(*runs, warnings=many, verdict=Verdict.FAILED)
    assert len(summary_markdown(build)) < 1_000_000
    assert len(narrate(a_build(), build)) < 20 * 60
    assert len(output_variables(build)) < 510
    assert sum(map(len, page_html(build, no_notebooks))) < 2_000_000
    assert len(final_record(ADDRESS, completion_of(build))["value"][0]["issues"]) == 20


def renamed(run: RunState, name: str) -> RunState:
    return replace(run, spec=replace(run.spec, name=name))


@ANYTHING
@given(BUILDS)
def test_every_end_can_be_told(build: Build) -> None:
    judgment = judge(build)
    assert judgment.reason
    completion = completion_of(build)
    assert completion.variables == output_variables(build)
    sent = final_record(ADDRESS, completion)
    assert json.dumps(sent, allow_nan=False).encode()
    assert len(summary_markdown(build).encode()) < 1_000_000


@ANYTHING
@given(BUILDS, BUILDS, st.booleans())
def test_every_change_can_be_narrated(before: Build, after: Build, same: bool) -> None:
    lines = narrate(after if same else before, after)
    assert len(lines) < 300
    assert operation(after) is not None
