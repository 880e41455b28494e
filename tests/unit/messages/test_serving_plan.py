"""Serving runs: what they have of the run whose model they serve, and what promotes by them."""

from __future__ import annotations

from typing import Any

import pytest

from mlgate.orchestration.planning.plan import Plan, plan
from mlgate.orchestration.planning.preflight import added, preflight
from mlgate.orchestration.runs import Environment, RunKind, RunSpec
from tests.unit.messages.samples import (
    findings_of,
    names,
    notebook_run,
    places,
    serving_run,
    start,
    training_run,
    tree,
)

TRAIN = training_run(name="train", environment={"requirements": "r.txt"})
PROMOTE = {"model": "churn"}


def last(planned: Plan) -> RunSpec:
    return planned.runs[-1].spec


def test_a_serving_run_needs_its_models_run_and_has_its_environment() -> None:
    run = serving_run(name="serve", path="outputs/m.onnx", requests="r.json", retries=2)
    planned = plan(start(TRAIN, run), None)
    assert last(planned) == RunSpec(
        name="serve",
        kind=RunKind.SERVING,
        model="train",
        path="outputs/m.onnx",
        requests="r.json",
        must_answer=True,
        needs=("train",),
        environment=Environment(requirements="r.txt"),
        retries=2,
    )
    assert planned.sources["serve"] == "/runs/1"
    assert planned.gate.added == ()


@pytest.mark.parametrize(
    ("own", "defaults", "requirements"),
    [
        ({}, {}, "r.txt"),
        ({}, {"environment": {"requirements": "d.txt"}}, "r.txt"),
        ({"environment": {"requirements": "s.txt"}}, {}, "s.txt"),
        ({"environment": {"requirements": "s.txt"}}, {"retries": 1}, "s.txt"),
    ],
)
def test_its_environment_is_its_own_before_that_of_the_model_before_the_defaults(
    own: dict[str, Any], defaults: dict[str, Any], requirements: str
) -> None:
    planned = plan(start(TRAIN, serving_run(**own), defaults=defaults), None)
    assert last(planned).environment == Environment(requirements=requirements)


def test_where_the_models_run_has_none_it_has_the_defaults_as_that_run_does() -> None:
    defaults = {"environment": {"azureml": "a:1"}, "timeout_minutes": 5, "parameters": {"a": 1}}
    run = training_run(name="train")
    check = last(plan(start(run, serving_run(), defaults=defaults), None))
    assert check.environment == Environment(azureml="a:1")
    assert (check.timeout_minutes, check.parameters) == (5, {})
    assert last(plan(start(run, serving_run()), None)).environment is None


def test_what_else_it_needs_comes_after_the_model() -> None:
    runs = [TRAIN, training_run(name="other"), serving_run(needs=["other", "train"])]
    assert last(plan(start(*runs), None)).needs == ("train", "other")


def test_a_notebook_may_keep_the_model_and_so_may_one_of_a_glob() -> None:
    files = tree("n/a.ipynb", "n/b.ipynb")
    glob = notebook_run("n/*.ipynb", name="nb")
    planned = plan(start(glob, serving_run("nb-b")), files)
    assert names(planned) == ["nb-a", "nb-b", "serve-nb-b"]
    assert last(planned).needs == ("nb-b",)

    [found] = findings_of(plan, start(glob, serving_run("nb")), files)
    assert (found.code, found.pointer) == ("unknown-run", "/runs/1/model")
    assert findings_of(plan, start(glob, serving_run("nb-b")), None) == ()  # not known yet


def test_a_run_without_a_name_is_named_after_its_model() -> None:
    planned = plan(start(serving_run(), TRAIN), None)
    assert names(planned) == ["serve-train", "train"]
    found = findings_of(plan, start(TRAIN, serving_run(), serving_run(path="x")), None)
    assert places(found) == {("duplicate-name", "/runs/2")}


@pytest.mark.parametrize(
    ("runs", "code", "pointer", "remedy"),
    [
        ([TRAIN, serving_run("trian")], "unknown-run", "/runs/1/model", "`train`"),
        (
            [TRAIN, serving_run(name="s"), serving_run("s", name="z")],
            "nothing-to-serve",
            "/runs/2/model",
            "`train`",
        ),
        ([TRAIN, serving_run("s", name="s")], "nothing-to-serve", "/runs/1/model", "`train`"),
        ([TRAIN, serving_run(needs=["x"])], "unknown-need", "/runs/1/needs/0", ""),
        (
            [{**TRAIN, "needs": ["s"]}, serving_run(name="s")],
            "cycle",
            "/runs/0/needs",
            "Remove one",
        ),
    ],
)
def test_what_it_serves_wrongly_is_one_finding(
    runs: list[dict[str, Any]], code: str, pointer: str, remedy: str
) -> None:
    [found] = findings_of(plan, start(*runs), None)
    assert (found.code, found.pointer) == (code, pointer)
    assert remedy in found.remedy


@pytest.mark.parametrize("path", [None, "outputs/m.onnx"])
def test_a_serving_run_of_what_is_promoted_is_its_check(path: str | None) -> None:
    where = {} if path is None else {"path": path}
    run = serving_run(name="check-churn", requests="r.json", **where)
    promote = {**PROMOTE, **where, "example": "outputs/e.json"}
    message = start(TRAIN, run, promote=promote)
    planned = plan(message, None)
    assert names(planned) == ["train", "check-churn"]
    assert (last(planned).example, last(planned).requests) == ("outputs/e.json", "r.json")
    assert planned.gate.added == ()
    assert planned.promote is not None
    assert planned.promote.path == path
    assert added(message, planned) == []


@pytest.mark.parametrize(
    "run",
    [serving_run(path="outputs/other.onnx", name="s"), serving_run("other", name="s")],
    ids=["another path", "another run"],
)
def test_a_serving_run_of_another_model_is_not(run: dict[str, Any]) -> None:
    message = start(TRAIN, training_run(name="other"), run, promote=PROMOTE | {"run": "train"})
    planned = plan(message, None)
    assert names(planned) == ["train", "other", "s", "check-churn"]
    assert planned.gate.added == ("check-churn",)
    assert [each.name for each in added(message, planned)] == ["check-churn"]
    assert [run.spec.must_answer for run in planned.runs[2:]] == [True, False]


def test_the_first_of_several_is_the_check() -> None:
    runs = [TRAIN, serving_run(name="z"), serving_run(name="a", requests="r.json")]
    planned = plan(start(*runs, promote=PROMOTE | {"example": "outputs/e.json"}), None)
    assert [run.spec.example for run in planned.runs] == [None, "outputs/e.json", None]


def test_the_gate_counts_it_and_reads_its_metrics() -> None:
    bound = {"run": "serve-train", "metric": "p95_ms", "at_most": 50}
    gate = {"condition": {"at_least": 2}, "metrics": [bound]}
    planned = plan(start(TRAIN, serving_run(), gate=gate, promote=PROMOTE), None)
    assert planned.gate.condition == 2
    compare = [{"run": "serve-train", "metric": "p95_ms", "better": "lower"}]
    assert plan(start(TRAIN, serving_run(), promote=PROMOTE | {"compare": compare}), None).promote

    never = {"metrics": [bound | {"run": "check-churn"}]}
    found = findings_of(plan, start(TRAIN, serving_run(), gate=never, promote=PROMOTE), None)
    assert places(found) == {("unknown-run", "/gate/metrics/0/run")}


def test_a_serving_run_keeps_no_model_to_promote() -> None:
    promote = PROMOTE | {"run": "serve-train"}
    [found] = findings_of(plan, start(TRAIN, serving_run(), promote=promote), None)
    assert (found.code, found.pointer) == ("nothing-to-serve", "/promote/run")


def test_it_may_stand_in_the_file_of_the_runs() -> None:
    content = b'{"runs": [{"kind": "training", "name": "t", "command": "true"}, '
    content += b'{"kind": "serving", "model": "t", "requests": "gone.json"}]}'
    files = tree(contents={"plan.json": content})
    planned = plan(start(runs_from="plan.json"), files)
    assert names(planned) == ["t", "serve-t"]
    assert places(preflight(planned, files)) == {("missing-requests", "plan.json#/runs/1/requests")}
