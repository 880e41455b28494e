"""The run that `promote` adds, what is found wrong, and what of a plan counts that run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgate.orchestration.planning.plan import Plan, plan
from mlgate.orchestration.planning.preflight import Added, added, preflight
from mlgate.orchestration.promotions import Comparison, PromotionRequest
from mlgate.orchestration.runs import Environment, Resources, RunKind, RunSpec, RunStatus
from tests.unit.orchestration.wire.samples import (
    Files,
    findings_of,
    names,
    notebook_run,
    places,
    start,
    training_run,
    tree,
)

TRAIN = training_run(name="train")


def check_of(planned: Plan) -> RunSpec:
    return planned.runs[-1].spec


def with_plan(content: object, *paths: str) -> Files:
    return tree(*paths, contents={"plan.json": json.dumps(content).encode()})


def test_one_run_is_added_that_tries_what_another_keeps() -> None:
    run = training_run(
        name="train",
        environment={"azureml": "a:1"},
        compute="cpu",
        resources={"shm_size": "2g"},
        directory="ml",
        timeout_minutes=300,
        retries=3,
        environment_variables={"A": "1"},
        outputs=["*.bin"],
    )
    promote = {"model": "churn", "path": "outputs/m.onnx", "example": "outputs/x.json"}
    planned = plan(start(run, promote=promote), tree("ml/a.ipynb"))
    assert names(planned) == ["train", "check-churn"]
    assert check_of(planned) == RunSpec(
        name="check-churn",
        kind=RunKind.SERVING,
        model="train",
        path="outputs/m.onnx",
        example="outputs/x.json",
        needs=("train",),
        environment=Environment(azureml="a:1"),
        compute="cpu",
        resources=Resources(shm_size="2g"),
    )
    assert planned.runs[-1].status is RunStatus.QUEUED
    assert planned.sources["check-churn"] == "/promote"
    assert planned.gate.added == ("check-churn",)


def test_the_added_run_has_the_environment_and_the_limits_of_the_defaults() -> None:
    defaults = {
        "environment": {"azureml": "a:1"},
        "compute": "cpu",
        "timeout_minutes": 5,
        "retries": 2,
        "tags": {"team": "sales"},
        "environment_variables": {"A": "1"},
        "outputs": ["*.bin"],
        "directory": "ml",
    }
    check = check_of(plan(start(TRAIN, defaults=defaults, promote={"model": "churn"}), None))
    assert check.environment == Environment(azureml="a:1")
    assert (check.compute, check.timeout_minutes, check.retries) == ("cpu", 5, 2)
    assert check.tags == {"team": "sales"}
    assert (check.environment_variables, check.outputs, check.directory) == ({}, (), ".")


def test_the_request_is_planned_with_the_contracts_defaults() -> None:
    promote: dict[str, Any] = {
        "model": "churn",
        "compare": [
            {"run": "train", "metric": "auc"},
            {"run": "nb", "metric": "rmse", "better": "lower", "tolerance": 2, "current": "was"},
            {"run": "check-churn", "metric": "load_seconds", "relative_tolerance": 0.5},
        ],
    }
    message = start(TRAIN, notebook_run("nb.ipynb"), promote=promote)
    assert plan(message, tree("nb.ipynb")).promote == PromotionRequest(
        model="churn",
        run="train",
        compare=(
            Comparison("train", "auc"),
            Comparison("nb", "rmse", better="lower", tolerance=2.0, current="was"),
            Comparison("check-churn", "load_seconds", relative_tolerance=0.5),
        ),
    )
    chosen = promote | {"run": "nb", "when": "not_worse", "worse": "keep", "first": False}
    found = plan(start(TRAIN, notebook_run("nb.ipynb"), promote=chosen), tree("nb.ipynb")).promote
    assert found is not None
    assert (found.run, found.when, found.worse, found.first) == ("nb", "not_worse", "keep", False)


def test_a_message_that_offers_nothing_adds_nothing() -> None:
    planned = plan(start(TRAIN), None)
    assert planned.promote is None
    assert planned.gate.added == ()
    assert names(planned) == ["train"]


@pytest.mark.parametrize("model", ["m" * 57, "m" * 58, "m" * 63, "m" * 62 + "n", "a-" * 31])
def test_the_added_run_has_a_legal_name_of_its_own(model: str) -> None:
    name = check_of(plan(start(TRAIN, promote={"model": model}), None)).name
    assert len(name) <= 63
    assert name.startswith("check-")
    assert findings_of(plan, start(training_run(name=name)), None) == ()
    assert (name == f"check-{model}") == (len(model) <= 57)


def test_long_models_that_differ_at_their_end_have_runs_of_different_names() -> None:
    ends = ("n", "o")
    made = {
        check_of(plan(start(TRAIN, promote={"model": "m" * 62 + end}), None)).name for end in ends
    }
    assert len(made) == 2


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([notebook_run("a.ipynb")], ("no training", "`a`")),
        (
            [training_run(name="s"), training_run(name="t"), notebook_run()],
            ("2 trainings", "`s`, "),
        ),
        ([notebook_run("n/*.ipynb", name="n")], ("no training", "`n-")),
    ],
)
def test_which_run_keeps_the_model_must_be_said_unless_there_is_one_training(
    runs: list[dict[str, Any]], words: tuple[str, str]
) -> None:
    files = tree("a.ipynb", "n/a.ipynb", "n/b.ipynb")
    [found] = findings_of(plan, start(*runs, promote={"model": "churn"}), files)
    assert (found.code, found.pointer) == ("missing-field", "/promote/run")
    assert words[0] in found.message
    assert words[1] in found.remedy


def test_a_run_that_is_not_there_is_a_finding_with_the_nearest_one() -> None:
    promote = {
        "model": "churn",
        "run": "trian",
        "compare": [{"run": "train", "metric": "m"}, {"run": "tran", "metric": "m"}],
    }
    found = findings_of(plan, start(TRAIN, promote=promote), None)
    assert places(found) == {
        ("unknown-run", "/promote/run"),
        ("unknown-run", "/promote/compare/1/run"),
    }
    assert all("`train`" in each.remedy for each in found)


def test_a_run_that_a_glob_found_may_keep_the_model_and_the_glob_itself_may_not() -> None:
    files = tree("n/a.ipynb", "n/b.ipynb")
    glob = notebook_run("n/*.ipynb", name="nb", environment={"azureml": "e:1"})
    compare = [{"run": "nb-b", "metric": "m"}]
    message = start(glob, promote={"model": "churn", "run": "nb-a", "compare": compare})
    planned = plan(message, files)
    assert check_of(planned).needs == ("nb-a",)
    assert check_of(planned).environment == Environment(azureml="e:1")

    wrong = start(glob, promote={"model": "churn", "run": "nb"})
    assert places(findings_of(plan, wrong, files)) == {("unknown-run", "/promote/run")}


def test_a_metric_of_a_run_is_compared_once() -> None:
    once = [{"run": "train", "metric": "a"}, {"run": "train", "metric": "b"}]
    again = {"run": "train", "metric": "a", "better": "lower"}
    assert findings_of(plan, start(TRAIN, promote={"model": "m", "compare": once}), None) == ()
    message = start(TRAIN, promote={"model": "m", "compare": [*once, again]})
    found = findings_of(plan, message, None)
    assert places(found) == {("duplicate-comparison", "/promote/compare/2")}


@pytest.mark.parametrize(
    ("run", "files"),
    [
        (training_run(name="check-churn"), tree()),
        (training_run(name="check_churn"), tree()),
        (training_run("python check-churn.py"), tree()),
        (notebook_run("check-churn.ipynb"), tree("check-churn.ipynb")),
        (notebook_run("n/*.ipynb", name="check-churn"), tree("n/a.ipynb")),
        (notebook_run("n/*.ipynb", name="check"), tree("n/a.ipynb", "n/churn.ipynb")),
    ],
)
def test_no_run_may_be_named_as_the_one_that_is_added(run: dict[str, Any], files: Files) -> None:
    promote = {"model": "churn", "run": "train"}
    [found] = findings_of(plan, start(TRAIN, run, promote=promote), files)
    assert (found.code, found.pointer) == ("duplicate-name", "/runs/1")
    assert "the run that `promote` adds" in found.message
    assert findings_of(plan, start(TRAIN, run), files) == ()
    assert findings_of(plan, start(TRAIN, run, promote=promote | {"model": "sales"}), files) == ()


def test_what_the_gate_counts_is_what_was_asked_for() -> None:
    promote = {"model": "churn"}
    bound = {"run": "check-churn", "metric": "load_seconds", "at_most": 5}
    fine = start(TRAIN, promote=promote, gate={"condition": {"at_least": 1}, "metrics": [bound]})
    assert plan(fine, None).gate.condition == 1
    too_much = start(TRAIN, promote=promote, gate={"condition": {"at_least": 2}})
    assert places(findings_of(plan, too_much, None)) == {
        ("unreachable-gate", "/gate/condition/at_least")
    }
    unclear = start(notebook_run(), promote=promote, gate={"metrics": [bound]})
    assert places(findings_of(plan, unclear, tree("a.ipynb"))) == {
        ("missing-field", "/promote/run")
    }
    without = start(TRAIN, gate={"metrics": [bound]})
    assert places(findings_of(plan, without, None)) == {("unknown-run", "/gate/metrics/0/run")}


def test_the_added_run_counts_towards_the_most_that_a_build_may_have() -> None:
    runs = [training_run(name=f"t{number}") for number in range(500)]
    assert len(plan(start(*runs), None).runs) == 500
    promote = {"model": "churn", "run": "t0"}
    found = findings_of(plan, start(*runs, promote=promote), None)
    assert places(found) == {("too-many-runs", "/runs")}
    assert "`promote` adds one" in found[0].message
    assert len(plan(start(*runs[1:], promote=promote | {"run": "t1"}), None).runs) == 500


def test_what_the_added_run_holds_counts_as_well() -> None:
    large = {f"p{number}": "x" * 90 for number in range(500)}
    runs = [
        training_run(f"python {number}.py", environment_variables={"n": str(number)})
        for number in range(300)
    ]
    defaults = {"environment_variables": large}
    for promote, count in ({}, 300), ({"promote": {"model": "churn", "run": "0"}}, 301):
        [found] = findings_of(plan, start(*runs, defaults=defaults, **promote), None)
        assert found.code == "plan-too-large"
        assert f"The {count} runs hold" in found.message


def test_promote_may_stand_in_the_file_of_the_runs() -> None:
    content = {"runs": [TRAIN], "promote": {"model": "churn"}}
    planned = plan(start(runs_from="plan.json"), with_plan(content))
    assert names(planned) == ["train", "check-churn"]
    assert planned.sources["check-churn"] == "plan.json#/promote"
    assert planned.promote == PromotionRequest("churn", "train")


def test_what_the_message_says_of_it_replaces_the_file_with_a_warning() -> None:
    content = {"runs": [TRAIN], "promote": {"model": "file", "first": False}}
    planned = plan(start(runs_from="plan.json", promote={"model": "own"}), with_plan(content))
    assert planned.promote == PromotionRequest("own", "train")
    assert names(planned) == ["train", "check-own"]
    [warning] = planned.warnings
    assert warning == "The message's own `promote` replaces that of plan.json."


@pytest.mark.parametrize(
    ("promote", "code", "pointer"),
    [
        ({"model": "M"}, "bad-format", "plan.json#/promote/model"),
        ({"model": "m", "verify": {}}, "missing-field", "plan.json#/promote/verify/url"),
        ({"model": "m", "run": "x"}, "unknown-run", "plan.json#/promote/run"),
        (
            {"model": "m", "compare": [{"run": "x", "metric": "m"}]},
            "unknown-run",
            "plan.json#/promote/compare/0/run",
        ),
    ],
)
def test_what_is_wrong_with_it_there_is_found_there(
    promote: dict[str, Any], code: str, pointer: str
) -> None:
    files = with_plan({"runs": [TRAIN], "promote": promote})
    found = findings_of(plan, start(runs_from="plan.json"), files)
    assert places(found) == {(code, pointer)}


def test_without_a_tree_nothing_is_said_of_runs_that_are_not_known_yet() -> None:
    promote = {"model": "churn", "run": "nb-a", "compare": [{"run": "nb-b", "metric": "m"}]}
    by_glob = start(notebook_run("n/*.ipynb", name="nb"), promote=promote)
    in_a_file = start(runs_from="plan.json", promote={"model": "churn"})
    for message in (by_glob, in_a_file):
        planned = plan(message, None)
        assert planned.promote is None
        assert planned.gate.added == ()
        says = "`promote` adds the run `check-churn`, unless a serving run tries the same model."
        assert added(message, planned) == [Added("check-churn", RunKind.SERVING, says)]
    # A glob finds no trainings, so which one is the only one is known.
    alone = start(notebook_run("n/*.ipynb"), TRAIN, promote={"model": "churn"})
    assert plan(alone, None).promote == PromotionRequest("churn", "train")


def test_what_is_added_is_said() -> None:
    message = start(TRAIN, promote={"model": "churn"})
    [said] = added(message, plan(message, None))
    assert said.name == "check-churn"
    assert "the model that `train` keeps" in said.says
    assert added(start(TRAIN), plan(start(TRAIN), None)) == []


def test_a_run_that_cannot_start_is_found_once() -> None:
    """The added run has its environment, and nothing in the tree that could be missing."""
    run = training_run("python gone.py", name="train", environment={"requirements": "r.txt"})
    message = start(run, promote={"model": "churn", "path": "outputs/m", "example": "x.json"})
    planned = plan(message, tree())
    assert [state.status for state in planned.runs] == [RunStatus.FAILED, RunStatus.QUEUED]
    assert {(each.code, each.pointer) for each in preflight(planned, tree())} == {
        ("missing-environment", "/runs/0/environment/requirements"),
        ("missing-script", "/runs/0/command"),
    }
