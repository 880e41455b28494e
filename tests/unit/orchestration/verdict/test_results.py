"""A build as the values that a pipeline keeps of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from mlgate.orchestration.builds import Build, RunState, Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Results
from mlgate.orchestration.verdict.evidence import no_notebooks
from mlgate.orchestration.verdict.results import final_results, results_so_far
from mlgate.orchestration.verdict.variables import MOST_METRICS, output_variables
from tests.unit.orchestration.verdict.samples import (
    BEGIN,
    HOSTILE,
    TRACEBACK,
    a_build,
    a_run,
    code_cell,
    executed,
    failed_run,
    hostile_build,
    hostile_notebooks,
    leaving,
    notebook,
    skipped_run,
    with_notebooks,
)


def told(build: Build, notebooks: Mapping[str, bytes]) -> tuple[str, str]:
    """The sentence and the stack of the only run, as they are sent."""
    [run] = final_results(*with_notebooks(build, notebooks)).runs
    assert run.detail is not None
    return run.detail()


def bare(build: Build) -> Results:
    return final_results(build, no_notebooks)


def test_a_failed_notebook_names_its_cell_and_shows_its_source_first() -> None:
    message, stack = told(a_build(failed_run(cell=None)), {"explore": executed(5, failing=3)})
    assert message == "cell 3: KeyError: 'demand'"
    assert stack.startswith("step(3)\n\nKeyError")
    assert stack.endswith("KeyError: 'demand'")


def test_no_notebook_is_read_before_its_result_is_sent() -> None:
    """Results are made again for each slice of publishing, of five hundred runs."""
    read: list[str] = []
    build, reading = with_notebooks(a_build(failed_run()), {"explore": executed(5, failing=3)})

    def noting(run: RunState) -> bytes | None:
        read.append(run.spec.name)
        return reading(run)

    [run] = final_results(build, noting).runs
    [earlier] = results_so_far(build, build.runs, noting).runs
    assert read == []
    assert run == earlier
    assert run.message == "cell 3: KeyError: 'demand'"
    assert run.stack == TRACEBACK
    assert run.detail is not None
    assert run.detail()[1].startswith("step(3)")
    assert read == ["explore"]


def test_a_run_whose_notebook_is_not_there_is_told_without() -> None:
    build, _ = with_notebooks(a_build(failed_run()), {"explore": b""})
    [run] = final_results(build, no_notebooks).runs
    assert run.detail is not None
    assert run.detail() == (run.message, run.stack)


def test_a_long_trace_keeps_the_source_and_the_last_lines() -> None:
    """Both ends are within the thousand characters that a result takes."""
    source = "\n".join(f"line_{number}()" for number in range(500))
    trace = "\n".join(f"frame {number}" for number in range(500)) + "\nKeyError: 'demand'"
    ipynb = notebook(code_cell(3, "failed", source))
    _, stack = told(a_build(failed_run(traceback=trace)), {"explore": ipynb})
    assert len(stack) <= 1000
    assert stack.startswith("line_0()")
    assert stack.endswith("frame 499\nKeyError: 'demand'")


def test_a_failure_without_a_notebook_is_its_own_trace() -> None:
    [run] = bare(a_build(failed_run(cell=None, traceback=None))).runs
    assert run.detail is None
    assert (run.message, run.stack) == ("KeyError: 'demand'", "KeyError: 'demand'")


def test_a_run_that_did_not_fail_says_why_it_has_no_result() -> None:
    canceled = a_run("b", status=RunStatus.CANCELED)
    build = a_build(failed_run("a"), canceled, skipped_run("c", ("a",)), verdict=Verdict.FAILED)
    why = {run.name: (run.message, run.stack) for run in bare(build).runs}
    assert why["b"] == ("canceled while it ran", "")
    assert why["c"] == ("needs a, which did not succeed", "")


def test_a_run_brings_the_files_that_its_last_attempt_left() -> None:
    """What else lies there is another attempt's, or another build's."""
    runs = (a_run("a"), a_run("b"), a_run("c", outputs=("runs/c/log.txt",)))
    left = {"a": ["log.txt", "executed.ipynb", "executed.html"], "b": ["log.txt"]}
    files = {run.name: run.files for run in bare(leaving(a_build(*runs), left)).runs}
    assert files["a"] == tuple(
        f"runs/a/{name}" for name in ("executed.html", "executed.ipynb", "log.txt")
    )
    assert files["b"] == ("runs/b/log.txt",)
    assert files["c"] == ()


def test_runs_are_told_in_the_order_they_ended() -> None:
    late = a_run("a", finished_at=BEGIN + timedelta(hours=1))
    build = a_build(late, a_run("b"), request={"build_id": "7"})
    assert [run.name for run in bare(build).runs] == ["b", "a"]


def test_a_canceled_build_is_nothing_but_canceled() -> None:
    results = bare(a_build(a_run(), verdict=Verdict.CANCELED))
    assert (results.runs, results.summary, results.files) == ((), "", ())


def test_results_on_the_way_have_no_end() -> None:
    build = a_build(a_run("a"), a_run("b"), verdict=None)
    results = results_so_far(build, build.runs[:1], no_notebooks)
    assert ([run.name for run in results.runs], results.verdict) == (["a"], None)
    assert results.title == bare(build).title


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_of_others_does_no_harm(text: str) -> None:
    build = hostile_build(text)
    build = replace(build, request={"build_id": "7"})
    results = final_results(*with_notebooks(build, hostile_notebooks(text)))
    for run in results.runs:
        detail = [run.detail()] if run.detail else []
        for message, stack in [(run.message, run.stack), *detail]:
            assert "\n" not in message
            assert len(message) <= 1000
            assert len(stack) <= 1000
    for name in output_variables(build):
        assert re.fullmatch(r"[A-Za-z0-9_.]+", name)


def test_variables_are_named_as_a_pipeline_can_read_them() -> None:
    metrics = {"val/f1 score": 0.5, "loss": float("nan"), "n": 3.0}
    build = a_build(a_run("train-all", metrics=metrics), failed_run("b"), verdict=Verdict.FAILED)
    assert output_variables(build) == {
        "verdict": "failed",
        "runs.total": "2",
        "runs.succeeded": "1",
        "runs.failed": "1",
        "runs.canceled": "0",
        "runs.skipped": "0",
        "metric.train_all.n": "3.0",
        "metric.train_all.val_f1_score": "0.5",
    }


def test_names_that_come_out_the_same_are_told_apart() -> None:
    build = a_build(a_run("t", metrics={"a b": 1.0, "a/b": 2.0, "A_B": 3.0}))
    found = {name: value for name, value in output_variables(build).items() if "metric" in name}
    assert found == {"metric.t.A_B": "3.0", "metric.t.a_b_2": "1.0", "metric.t.a_b_3": "2.0"}


def test_variables_are_not_without_end() -> None:
    metrics = {f"m{number}": 1.0 for number in range(2 * MOST_METRICS)}
    found = output_variables(a_build(a_run(metrics=metrics)))
    assert len([name for name in found if name.startswith("metric.")]) == MOST_METRICS
