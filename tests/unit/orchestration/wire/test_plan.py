"""The runs of a build: expanded, filled in, named and linked, or every finding at once."""

from __future__ import annotations

from typing import Any

import pytest

from mlgate.orchestration.builds import Gate, GateMetric
from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.findings import Findings
from mlgate.orchestration.planning.plan import Plan, plan
from mlgate.orchestration.planning.size import check_size
from mlgate.orchestration.runs import (
    Environment,
    FailureKind,
    Resources,
    RunKind,
    RunSpec,
    RunStatus,
)
from mlgate.orchestration.wire.messages import StartMessage
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


def needs(planned: Plan) -> dict[str, tuple[str, ...]]:
    return {run.spec.name: run.spec.needs for run in planned.runs}


def specs(message: StartMessage, files: Files) -> dict[str, RunSpec]:
    return {run.spec.name: run.spec for run in plan(message, files).runs}


def test_a_glob_becomes_one_run_for_each_notebook() -> None:
    files = tree("n/b.ipynb", "n/deep/a.ipynb", "n/.ipynb_checkpoints/b-checkpoint.ipynb", "n/x.py")
    planned = plan(start(notebook_run("n/**/*"), notebook_run("n/**/*.ipynb", name="nb")), files)
    assert names(planned) == ["b", "a", "nb-b", "nb-a"]
    assert [run.spec.path for run in planned.runs[:2]] == ["n/b.ipynb", "n/deep/a.ipynb"]
    assert [run.spec.directory for run in planned.runs[:2]] == ["n", "n/deep"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file() -> None:
    planned = plan(start(notebook_run("n/a[1].ipynb")), tree("n/a[1].ipynb", "n/a1.ipynb"))
    (spec,) = (run.spec for run in planned.runs)
    assert (spec.name, spec.path, spec.directory) == ("a-1", "n/a[1].ipynb", "n")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python src/train.py --alpha 0.5", "train"),
        ("python -m sales.model", "model"),
        ("bash run.sh", "run"),
        ("make all", "make"),
        ("echo 'unclosed", "echo"),
    ],
)
def test_a_training_without_a_name_is_named_after_what_it_runs(command: str, name: str) -> None:
    assert names(plan(start(training_run(command)), None)) == [name]


@pytest.mark.parametrize(
    ("runs", "pointers"),
    [
        ([training_run(name="a-b"), training_run(name="a_b")], {"/runs/1"}),
        ([notebook_run("a.ipynb"), notebook_run("a.ipynb")], {"/runs/1"}),
        ([notebook_run("*.ipynb", name="a"), training_run(name="a")], {"/runs/1"}),
        ([training_run(name="x")] * 3, {"/runs/1", "/runs/2"}),
    ],
)
def test_a_name_may_be_used_once(runs: list[dict[str, Any]], pointers: set[str]) -> None:
    found = findings_of(plan, start(*runs), tree("a.ipynb"))
    assert places(found) == {("duplicate-name", pointer) for pointer in pointers}


def test_more_runs_than_a_build_may_have_are_a_finding() -> None:
    files = tree(*(f"{number}.ipynb" for number in range(501)))
    found = findings_of(plan, start(notebook_run("*.ipynb")), files)
    assert places(found) == {("too-many-runs", "/runs")}


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (notebook_run("nb/*.ipynb", name="x"), "No notebook matches `nb/*.ipynb`"),
        (notebook_run("n/A.ipynb"), "There is no notebook `n/A.ipynb`. Did you mean `n/a.ipynb`?"),
        (notebook_run("n/a.ipynb", directory="data"), "There is no folder `data`"),
        (training_run(directory="data"), "There is no folder `data`"),
        (training_run(environment={"requirements": "r.txt"}), "There is no file `r.txt`"),
        (training_run(environment={"conda_file": "c.yml"}), "There is no file `c.yml`"),
    ],
)
def test_a_run_that_cannot_start_has_failed_already(run: dict[str, Any], words: str) -> None:
    planned = plan(start(run, training_run(name="other")), tree("n/a.ipynb"))
    first, other = planned.runs
    assert first.status is RunStatus.FAILED
    assert first.failure is not None
    assert first.failure.kind is FailureKind.INVALID
    assert words in first.failure.message
    assert other.status is RunStatus.QUEUED


def test_a_glob_without_a_match_can_still_be_needed() -> None:
    message = start(notebook_run("x/*.ipynb", name="nb"), training_run(name="t", needs=["nb"]))
    assert needs(plan(message, tree())) == {"nb": (), "t": ("nb",)}


def test_defaults_fill_in_what_a_run_leaves_out() -> None:
    message = start(
        notebook_run("a.ipynb", timeout_minutes=5),
        training_run(name="t"),
        defaults={"timeout_minutes": 10, "retries": 2, "kernel": "k", "cell_timeout_seconds": 9},
    )
    found = specs(message, tree("a.ipynb"))
    assert (found["a"].timeout_minutes, found["a"].retries, found["a"].kernel) == (5, 2, "k")
    assert (found["t"].timeout_minutes, found["t"].retries, found["t"].kernel) == (10, 2, None)


def test_a_run_says_the_contracts_default_again_and_wins() -> None:
    message = start(notebook_run("a.ipynb", retries=0), defaults={"retries": 3})
    assert specs(message, tree("a.ipynb"))["a"].retries == 0


def test_maps_are_merged_key_by_key_and_other_fields_replaced() -> None:
    message = start(
        notebook_run(
            "a.ipynb",
            environment={"requirements": "r.txt"},
            environment_variables={"B": "run"},
            parameters={"p": 1},
            outputs=["x"],
        ),
        defaults={
            "environment": {"azureml": "e:1"},
            "environment_variables": {"A": "default", "B": "default"},
            "tags": {"t": "default"},
            "outputs": ["y"],
            "resources": {"shm_size": "2g"},
        },
    )
    spec = specs(message, tree("a.ipynb", contents={"r.txt": b""}))["a"]
    assert spec.environment == Environment(requirements="r.txt")
    assert spec.environment_variables == {"A": "default", "B": "run"}
    assert spec.tags == {"t": "default"}
    assert spec.parameters == {"p": 1}
    assert spec.outputs == ("x",)
    assert spec.resources == Resources(shm_size="2g")


def test_tags_are_counted_with_those_of_the_defaults() -> None:
    def tagged(own: int, shared: int) -> StartMessage:
        tags = {f"own-{number}": "" for number in range(own)}
        defaults = {"tags": {f"shared-{number}": "" for number in range(shared)}}
        return start(notebook_run("a.ipynb", tags=tags), defaults=defaults)

    assert len(specs(tagged(40, 7), tree("a.ipynb"))["a"].tags) == 47
    [told] = findings_of(plan, tagged(40, 8), tree("a.ipynb"))
    assert (told.code, told.pointer) == ("out-of-range", "/runs/0/tags")
    assert told.message == "The run has 48 tags with those of `defaults`, more than 47."


def test_without_anything_said_the_contracts_defaults_hold() -> None:
    assert specs(start(notebook_run("n/a.ipynb")), tree("n/a.ipynb"))["a"] == RunSpec(
        name="a", kind=plan(start(notebook_run()), None).runs[0].spec.kind, path="n/a.ipynb",
        directory="n",
    )  # a row a line # fmt: skip
    assert specs(start(training_run(name="t")), tree())["t"].directory == "."


def test_the_name_of_a_glob_means_all_of_its_runs() -> None:
    message = start(
        notebook_run("n/*.ipynb", name="nb"),
        training_run(name="t", needs=["nb", "nb-a", "nb"]),
    )
    planned = plan(message, tree("n/a.ipynb", "n/b.ipynb"))
    assert needs(planned) == {"nb-a": (), "nb-b": (), "t": ("nb-a", "nb-b")}


def test_a_name_that_was_made_can_be_needed() -> None:
    message = start(notebook_run("n/a.ipynb"), training_run(name="t", needs=["a"]))
    assert needs(plan(message, tree("n/a.ipynb")))["t"] == ("a",)


def test_an_unknown_need_is_a_finding_with_the_nearest_name() -> None:
    message = start(training_run(name="train"), training_run(name="t", needs=["trian", "train"]))
    found = findings_of(plan, message, None)
    assert places(found) == {("unknown-need", "/runs/1/needs/0")}
    assert "`train`" in found[0].remedy


def test_every_circle_is_a_finding() -> None:
    message = start(
        training_run(name="a", needs=["b"]),
        training_run(name="b", needs=["a"]),
        training_run(name="c", needs=["c"]),
        training_run(name="d", needs=["a"]),
    )
    found = findings_of(plan, message, None)
    assert {finding.code for finding in found} == {"cycle"}
    assert len(found) == 2
    assert any("c needs c" in finding.message for finding in found)


def test_a_glob_that_needs_itself_is_one_finding() -> None:
    message = start(notebook_run("*.ipynb", name="nb", needs=["nb"]))
    found = findings_of(plan, message, tree("a.ipynb", "b.ipynb"))
    assert places(found) == {("cycle", "/runs/0/needs")}


def test_many_runs_that_all_need_one_another_are_told_in_a_few_findings() -> None:
    everybody = [f"r{number}" for number in range(300)]
    message = start(*(training_run(name=name, needs=everybody) for name in everybody))
    assert 1 <= len(findings_of(plan, message, None)) <= 10


def test_the_gate_is_taken_over() -> None:
    bound = {"run": "t", "metric": "auc", "at_least": 0.9}
    message = start(training_run(name="t"), gate={"condition": {"at_least": 1}, "metrics": [bound]})
    assert plan(message, None).gate == Gate(1, (GateMetric("t", "auc", at_least=0.9),))
    assert plan(start(), None).gate == Gate("all_pass")


def test_a_gate_that_asks_for_what_is_not_there_is_a_finding() -> None:
    bounds = [{"run": name, "metric": "m", "at_most": 1} for name in ("t", "u")]
    message = start(training_run(name="t"), gate={"condition": {"at_least": 2}, "metrics": bounds})
    assert places(findings_of(plan, message, None)) == {
        ("unknown-run", "/gate/metrics/1/run"),
        ("unreachable-gate", "/gate/condition/at_least"),
    }


def test_without_a_tree_a_glob_stays_one_run_and_nothing_is_said_about_its_names() -> None:
    message = start(
        notebook_run("n/*.ipynb", name="nb"),
        training_run(name="t", needs=["nb", "nb-a"]),
        gate={
            "condition": {"at_least": 5},
            "metrics": [{"run": "nb-a", "metric": "m", "at_most": 1}],
        },
    )
    planned = plan(message, None)
    assert [(run.spec.name, run.spec.path) for run in planned.runs] == [
        ("nb", "n/*.ipynb"),
        ("t", None),
    ]
    assert all(run.status is RunStatus.QUEUED for run in planned.runs)


LARGE = {f"p{number}": "x" * 90 for number in range(500)}  # some 50 kB


SHARED: dict[str, tuple[StartMessage, Files, str]] = {
    "a glob's parameters": (
        start(notebook_run("n/*.ipynb", name="g", parameters=LARGE)),
        tree(*(f"n/{number}.ipynb" for number in range(300))),
        "parameters",
    ),
    "defaults": (
        start(
            *(training_run(f"python {n}.py") for n in range(300)),
            defaults={"environment_variables": LARGE},
        ),
        tree(),
        "environment_variables",
    ),
    "the same said beside defaults": (
        start(
            *(training_run(f"python {n}.py", environment_variables={"a": "b"}) for n in range(300)),
            defaults={"environment_variables": LARGE},
        ),
        tree(),
        "environment_variables",
    ),
    "environments": (
        start(
            *(training_run(f"python {n}.py", environment={"azureml": "a:1"}) for n in range(300))
        ),
        tree(),
        "environment",
    ),
}


@pytest.mark.parametrize(("message", "files", "field"), SHARED.values(), ids=SHARED.keys())
def test_runs_that_say_the_same_hold_the_same(
    message: StartMessage, files: Files, field: str
) -> None:
    runs = plan(message, files).runs
    assert len(runs) == 300
    assert len({id(getattr(run.spec, field)) for run in runs}) == 1


def test_runs_that_need_the_same_hold_the_same_names() -> None:
    message = start(
        notebook_run("n/*.ipynb", name="g"),
        *(training_run(f"python {number}.py", needs=["g"]) for number in range(200)),
    )
    runs = plan(message, tree(*(f"n/{number}.ipynb" for number in range(200)))).runs
    assert [len(run.spec.needs) for run in runs] == [0] * 200 + [200] * 200
    assert len({id(run.spec.needs) for run in runs}) == 2


def test_runs_that_hold_too_much_are_a_finding() -> None:
    runs = [
        training_run(f"python {number}.py", environment_variables={"n": str(number)})
        for number in range(300)
    ]
    found = findings_of(plan, start(*runs, defaults={"environment_variables": LARGE}), None)
    assert places(found) == {("plan-too-large", "/runs")}
    assert "`environment_variables`" in found[0].message


@pytest.mark.parametrize("shared", [True, False])
def test_an_environment_counts_once_for_all_runs_that_share_it(shared: bool) -> None:
    environments = [Environment(requirements="r" * 3_000_000) for _ in range(2)]
    specs = [
        RunSpec(name, RunKind.TRAINING, command="true", environment=environments[number])
        for name, number in (("a", 0), ("b", 0 if shared else 1))
    ]
    findings = Findings()
    check_size(specs, "/runs", findings)
    if shared:
        findings.check()
    else:
        with pytest.raises(BadMessage, match=r"hold 6.0 MB in all, of which `environment` 6.0 MB"):
            findings.check()


def test_a_message_of_much_need_is_refused_before_it_grows() -> None:
    """Each of 250 runs needs 250 others by one word, and so that no two need the same."""
    paths = [f"n/{number:03}-{'n' * 56}.ipynb" for number in range(250)]
    chain = [["g"], *(["g", f"t{number}"] for number in range(249))]
    runs = [training_run(name=f"t{number}", needs=needs) for number, needs in enumerate(chain)]
    message = start(notebook_run("n/*.ipynb", name="g"), *runs)
    assert places(findings_of(plan, message, tree(*paths))) == {("plan-too-large", "/runs")}


@pytest.mark.parametrize("path", ["*/" * 1500 + "*.ipynb", "**/" * 1300 + "*.ipynb"])
def test_a_glob_longer_than_any_path_is_matched_all_the_same(path: str) -> None:
    files = tree(*(f"n/{number}.ipynb" for number in range(400)))
    found = plan(start(notebook_run(path)), files).runs
    assert len(found) == (400 if "**" in path else 1)
