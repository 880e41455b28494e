"""Serving runs: what they have of the run whose model they serve, and what promotes by them."""

from __future__ import annotations

from typing import Any

import pytest

from mlgate.orchestration.planning.plan import Plan, plan
from mlgate.orchestration.planning.preflight import added, preflight
from mlgate.orchestration.runs import Environment, Load, RunKind, RunSpec
from tests.unit.orchestration.wire.samples import (
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


def test_a_load_has_defaults_and_a_locustfile_asks_instead_of_an_example() -> None:
    spec = last(plan(start(TRAIN, serving_run(load={})), None))
    assert (spec.load, spec.must_answer) == (Load(10, 10, 15, None, may_fail=False), True)
    load = {"users": 3, "spawn_rate": 0.5, "seconds": 60, "locustfile": "./ask.py"}
    spec = last(plan(start(TRAIN, serving_run(load=load)), None))
    assert (spec.load, spec.must_answer) == (Load(3, 0.5, 60, "ask.py"), False)
    assert last(plan(start(TRAIN, serving_run()), None)).load is None


@pytest.mark.parametrize(
    ("bound", "may_fail"),
    [
        ({"run": "serve-train", "metric": "failure_ratio", "at_most": 0.01}, True),
        ({"run": "serve-train", "metric": "failures", "at_most": 3}, True),
        ({"run": "serve-train", "metric": "p95_ms", "at_most": 3}, False),
        ({"run": "train", "metric": "failures", "at_most": 3}, False),
    ],
)
@pytest.mark.parametrize("more", [{}, {"promote": PROMOTE}])
def test_the_gate_judges_the_failures_that_it_bounds(
    bound: dict[str, Any], may_fail: bool, more: dict[str, Any]
) -> None:
    run = serving_run(load={})
    spec = last(plan(start(TRAIN, run, gate={"metrics": [bound]}, **more), None))
    assert spec.load is not None
    assert spec.load.may_fail is may_fail


@pytest.mark.parametrize(
    ("run", "code", "pointer", "remedy"),
    [
        (serving_run(load={"users": 0}), "out-of-range", "/users", "its default"),
        (serving_run(load={"users": 1001}), "out-of-range", "/users", "its default"),
        (serving_run(load={"users": 1.5}), "wrong-type", "/users", "an integer"),
        (serving_run(load={"spawn_rate": 0}), "out-of-range", "/spawn_rate", "its default"),
        (serving_run(load={"seconds": "15"}), "wrong-type", "/seconds", "Drop the quotes"),
        (serving_run(load={"seconds": 3601}), "out-of-range", "/seconds", "its default"),
        (serving_run(load={"user": 1}), "unknown-field", "/user", "`users`"),
        (serving_run(load={"locustfile": "../a.py"}), "unsafe-path", "/locustfile", "subdirectory"),
        (serving_run(load={"locustfile": ""}), "bad-format", "/locustfile", "name a path"),
        (serving_run(load=True), "wrong-type", "", "`{` and `}`"),
        (training_run(load={}), "unknown-field", "", "of kind `serving`"),
        (notebook_run("a.ipynb", load={}), "unknown-field", "", "of kind `serving`"),
        (
            serving_run(load={"seconds": 60}, timeout_minutes=1),
            "out-of-range",
            "/seconds",
            "`timeout_minutes`",
        ),
    ],
)
def test_a_load_that_cannot_be_is_one_finding(
    run: dict[str, Any], code: str, pointer: str, remedy: str
) -> None:
    [found] = findings_of(lambda: plan(start(TRAIN, run), None))
    assert (found.code, found.pointer) == (code, f"/runs/1/load{pointer}")
    assert remedy in found.remedy


@pytest.mark.parametrize("load", [{"users": 200}, {"seconds": 1}, {"users": 9, "spawn_rate": 0.1}])
def test_a_load_in_which_not_all_users_begin_is_one(load: dict[str, Any]) -> None:
    """The run warns of it."""
    assert findings_of(lambda: plan(start(TRAIN, serving_run(load=load)), None)) == ()


def test_a_load_is_no_default() -> None:
    [found] = findings_of(lambda: start(TRAIN, defaults={"load": {}}))
    assert (found.code, found.pointer) == ("unknown-field", "/defaults/load")


def test_a_locustfile_has_to_be_in_the_repository() -> None:
    files = tree(contents={"ask/callers.py": b"", "train.py": b"", "r.txt": b""})
    there, gone = ({"locustfile": f"ask/{name}.py"} for name in ("callers", "caller"))
    assert preflight(plan(start(TRAIN, serving_run(load=there)), files), files) == []
    planned = plan(start(TRAIN, serving_run(load=gone)), files)
    [found] = preflight(planned, files)
    assert (found.code, found.pointer) == ("missing-locustfile", "/runs/1/load/locustfile")
    assert found.remedy == "Did you mean `ask/callers.py`?"
    assert planned.runs[1].failure is not None
