"""A plan in a file of the repository: what it gives, what the message overrules, what is wrong."""

from __future__ import annotations

import json

import pytest

from mlgate.orchestration.builds import Gate
from mlgate.orchestration.planning.plan import plan
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


def with_plan(content: object, *paths: str) -> Files:
    return tree(*paths, contents={"plan.json": json.dumps(content).encode()})


def test_runs_defaults_and_gate_come_from_the_file() -> None:
    content = {
        "runs": [notebook_run("a.ipynb")],
        "defaults": {"retries": 1},
        "gate": {"condition": "any_pass"},
    }
    planned = plan(start(runs_from="plan.json"), with_plan(content, "a.ipynb"))
    assert names(planned) == ["a"]
    assert planned.runs[0].spec.retries == 1
    assert planned.gate.condition == "any_pass"
    assert planned.sources == {"a": "plan.json#/runs/0"}


def test_what_the_message_itself_says_wins() -> None:
    content = {
        "runs": [training_run(name="t", tags={"from": "run"})],
        "defaults": {"retries": 1, "timeout_minutes": 5, "tags": {"a": "file", "b": "file"}},
        "gate": {"condition": "any_pass", "metrics": [{"run": "t", "metric": "m", "at_most": 1}]},
    }
    message = start(
        runs_from="plan.json",
        defaults={"timeout_minutes": 6, "tags": {"b": "message", "from": "message"}},
        gate={"condition": "all_pass"},
    )
    planned = plan(message, with_plan(content))
    spec = planned.runs[0].spec
    assert (spec.retries, spec.timeout_minutes) == (1, 6)
    assert spec.tags == {"a": "file", "b": "message", "from": "run"}
    assert planned.gate == Gate("all_pass")


def test_runs_of_the_message_replace_those_of_the_file_with_a_warning() -> None:
    content = {"runs": [training_run(name="f")], "defaults": {"retries": 1}}
    message = start(training_run(name="m"), runs_from="plan.json")
    planned = plan(message, with_plan(content))
    assert names(planned) == ["m"]
    assert planned.runs[0].spec.retries == 1
    assert "plan.json" in planned.warnings[0]


@pytest.mark.parametrize(
    ("content", "code", "pointer"),
    [
        (b"{", "not-json", "plan.json#"),
        (b"\xff", "not-text", "plan.json#"),
        (b"[]", "not-an-object", "plan.json#"),
        (b"{}", "missing-field", "plan.json#"),
        (b'{"runs": []}', "out-of-range", "plan.json#/runs"),
        (b'{"runs": [], "runs": []}', "duplicate-key", "plan.json#/runs"),
        (b'{"version": 1, "runs": [{"kind": "training", "command": "x"}]}', "unknown-field",
         "plan.json#/version"),
        (b'{"runs": [{"kind": "training", "command": "x", "retries": 9}]}', "out-of-range",
         "plan.json#/runs/0/retries"),
        (b'{"runs": [{"kind": "training", "command": "x", "needs": ["y"]}]}', "unknown-need",
         "plan.json#/runs/0/needs/0"),
        (b'{"runs": [{"kind": "training", "command": "x $(Build.BuildId)"}]}',
         "unexpanded-variable", "plan.json#/runs/0/command"),
        (b'{"runs": [{"kind": "training", "command": "x"}], "gate": {"metrics": '
         b'[{"run": "y", "metric": "m", "at_most": 1}]}}', "unknown-run",
         "plan.json#/gate/metrics/0/run"),
    ],
)  # a row a line # fmt: skip
def test_findings_about_the_file_name_it(content: bytes, code: str, pointer: str) -> None:
    files = tree(contents={"plan.json": content})
    assert (code, pointer) in places(findings_of(plan, start(runs_from="plan.json"), files))


def test_a_file_with_a_bom_is_read() -> None:
    content = b"\xef\xbb\xbf" + json.dumps({"runs": [training_run(name="t")]}).encode()
    assert names(plan(start(runs_from="plan.json"), tree(contents={"plan.json": content}))) == ["t"]


def test_a_file_that_is_not_there_is_a_finding_with_the_nearest_one() -> None:
    found = findings_of(plan, start(runs_from="plans.json"), with_plan({}))
    assert places(found) == {("missing-plan", "/runs_from")}
    assert "`plan.json`" in found[0].remedy


def test_without_a_tree_runs_in_a_file_are_not_known() -> None:
    gate = {"metrics": [{"run": "x", "metric": "m", "at_most": 1}]}
    assert plan(start(runs_from="plan.json", gate=gate), None).runs == ()
