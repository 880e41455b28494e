"""A body becomes a message with the contract's defaults, or every finding at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.messages import LookMessage, StartMessage, encode_look, parse
from tests.unit.messages.samples import (
    body,
    findings_of,
    notebook_run,
    places,
    request,
    start,
    training_run,
    wrapped,
)


def test_the_smallest_message_gets_the_defaults_of_the_contract() -> None:
    message = start(notebook_run("a.ipynb"))
    assert message.attempt == 1
    assert message.deadline_minutes == 1440
    assert message.gate.condition == "all_pass"
    assert message.repository.subdirectory == "."
    assert message.repository.ref is message.backend is message.build_id is None
    assert message.runs is not None
    run = message.runs[0]
    assert (run.timeout_minutes, run.retries, run.needs) == (60, 0, ())


def test_a_wrapped_body_reads_the_same_as_a_raw_one() -> None:
    text = json.dumps(request(notebook_run("模型.ipynb"), training_run()), ensure_ascii=False)
    assert parse(wrapped(text)) == parse(text.encode())


def test_a_message_with_every_field_is_accepted() -> None:
    every = {
        "name": "a",
        "directory": ".",
        "environment": {"conda_file": "c.yml", "image": "base", "azureml": "sklearn:1"},
        "compute": "serverless",
        "resources": {"instance_type": "Standard_DS3_v2", "instance_count": 1, "shm_size": "2g"},
        "environment_variables": {"A": "1"},
        "tags": {"team": "sales"},
        "outputs": ["plots/**/*.png"],
        "timeout_minutes": 0.5,
        "retries": 5,
        "needs": ["b"],
    }
    message = request(
        notebook_run(parameters={"n": None, "xs": [1, {}]}, kernel="k", cell_timeout_seconds=1)
        | every,
        training_run(name="b"),
        kind="start",
        build_id="1234",
        attempt=2,
        backend="azureml",
        workspace={"subscription_id": "s", "resource_group": "g", "name": "w"},
        deadline_minutes=10,
        defaults={"retries": 1},
        gate={
            "condition": {"at_least": 1},
            "metrics": [{"run": "a", "metric": "auc", "at_least": 0.9}],
        },
    )
    message["repository"] |= {
        "ref": "refs/pull/7/merge",
        "subdirectory": "ml",
        "submodules": True,
        "lfs": True,
    }
    assert isinstance(parse(body(message)), StartMessage)


def test_all_findings_come_at_once() -> None:
    message = request(
        notebook_run(note="x", timeout_minutes=0),
        training_run(kernel="python3", retries="2"),
        {"kind": "notebok", "path": "a"},
        {"path": "a"},
        attempt="$(System.JobAttempt)",
        backend="azure-ml",
        atempt=1,
    )
    assert places(findings_of(parse, body(message))) == {
        ("unknown-field", "/runs/0/note"),
        ("out-of-range", "/runs/0/timeout_minutes"),
        ("unknown-field", "/runs/1/kernel"),
        ("wrong-type", "/runs/1/retries"),
        ("unknown-value", "/runs/2/kind"),
        ("missing-field", "/runs/3/kind"),
        ("unexpanded-variable", "/attempt"),
        ("unknown-value", "/backend"),
        ("unknown-field", "/atempt"),
    }


WRONG = [
    # change to a valid message, code, pointer, words of the remedy
    ({"version": 2}, "bad-version", "/version", '"version": 1'),
    ({"version": "1"}, "bad-version", "/version", "without quotes"),
    ({"version": True}, "bad-version", "/version", '"version": 1'),
    ({"kind": "rollback"}, "unknown-kind", "/kind", "`start`"),
    ({"kind": 1}, "wrong-type", "/kind", "`start`"),
    ({"buildId": "7"}, "unknown-field", "/buildId", "`build_id`"),
    ({"note_book": "7"}, "unknown-field", "/note_book", "`runs`"),
    ({"build_id": 7}, "wrong-type", "/build_id", "in quotes"),
    ({"build_id": ""}, "out-of-range", "/build_id", ""),
    ({"attempt": "1"}, "wrong-type", "/attempt", "Drop the quotes"),
    ({"attempt": 0}, "out-of-range", "/attempt", ""),
    ({"attempt": True}, "wrong-type", "/attempt", "integer"),
    ({"attempt": None}, "wrong-type", "/attempt", "Leave the field out"),
    ({"deadline_minutes": 0}, "out-of-range", "/deadline_minutes", ""),
    ({"deadline_minutes": 1e300}, "out-of-range", "/deadline_minutes", ""),
    ({"backend": "Local"}, "unknown-value", "/backend", "`local`"),
    (
        {"workspace": {"name": "w", "subscription_id": "s"}},
        "missing-field",
        "/workspace/resource_group",
        "Add",
    ),
    (
        {"workspace": {"subscription_id": "s/t", "resource_group": "g", "name": "w"}},
        "bad-format",
        "/workspace/subscription_id",
        "without `/`",
    ),
    ({"repository": "x"}, "wrong-type", "/repository", "an object"),
    ({"repository": {}}, "missing-field", "/repository/url", "Add `url`"),
    ({"repository": {"url": "/r", "ref": "--exec"}}, "bad-format", "/repository/ref", "branch"),
    ({"repository": {"url": "/r", "ref": "main~1"}}, "bad-format", "/repository/ref", "branch"),
    (
        {"repository": {"url": "/r", "subdirectory": "../x"}},
        "unsafe-path",
        "/repository/subdirectory",
        "",
    ),
    ({"runs": []}, "out-of-range", "/runs", ""),
    ({"runs": [training_run()] * 501}, "out-of-range", "/runs", ""),
    ({"runs": {"a": 1}}, "wrong-type", "/runs", "`[`"),
    ({"runs": "1"}, "wrong-type", "/runs", "`[`"),
    ({"repository": {"url": "/r", "lfs": "true"}}, "wrong-type", "/repository/lfs", "Drop the q"),
    ({"runs": ["a.ipynb"]}, "wrong-type", "/runs/0", "an object"),
    ({"runs_from": "/etc/passwd"}, "unsafe-path", "/runs_from", "relative"),
    ({"defaults": {"name": "a"}}, "unknown-field", "/defaults/name", ""),
    ({"defaults": {"needs": []}}, "unknown-field", "/defaults/needs", ""),
    ({"gate": {"condition": "all"}}, "unknown-value", "/gate/condition", "`all_pass`"),
    ({"gate": {"condition": 3}}, "wrong-type", "/gate/condition", "`all_pass`"),
    ({"gate": {"condition": {"at_least": 0}}}, "out-of-range", "/gate/condition/at_least", ""),
    (
        {"gate": {"condition": {"at_least": 1, "of": 2}}},
        "unknown-field",
        "/gate/condition/of",
        "`at_least`",
    ),
    ({"gate": {"metrics": [{"run": "a", "metric": "b"}]}}, "missing-field", "/gate/metrics/0", ""),
    (
        {"gate": {"metrics": [{"run": "a", "metric": "b", "at_least": 1, "at_most": 2}]}},
        "conflicting-fields",
        "/gate/metrics/0",
        "two entries",
    ),
]

WRONG_IN_A_RUN: list[tuple[dict[str, Any], str, str, str]] = [
    ({"name": "Train"}, "bad-format", "/name", "lower-case"),
    ({"name": "a" * 64}, "bad-format", "/name", "63"),
    ({"command": "python x.py"}, "unknown-field", "/command", "`training`"),
    ({"path": "/a.ipynb"}, "unsafe-path", "/path", "subdirectory"),
    ({"path": "a/../../b.ipynb"}, "unsafe-path", "/path", "subdirectory"),
    ({"path": "a\\b.ipynb"}, "unsafe-path", "/path", "`/`"),
    ({"path": "C:/b.ipynb"}, "unsafe-path", "/path", "subdirectory"),
    ({"path": ""}, "bad-format", "/path", ""),
    ({"outputs": ["../x"]}, "unsafe-path", "/outputs/0", ""),
    ({"outputs": "x"}, "wrong-type", "/outputs", "`[`"),
    ({"directory": "/tmp"}, "unsafe-path", "/directory", ""),
    ({"parameters": {"a b": 1}}, "bad-format", "/parameters/a b", ""),
    ({"parameters": {"class": 1}}, "bad-format", "/parameters/class", ""),
    ({"environment_variables": {"A": 1}}, "wrong-type", "/environment_variables/A", "in quotes"),
    ({"environment_variables": {"A=": "1"}}, "bad-format", "/environment_variables/A=", ""),
    ({"environment_variables": {"": "1"}}, "bad-format", "/environment_variables/", ""),
    ({"tags": {"a/b~c": 1}}, "wrong-type", "/tags/a~1b~0c", "in quotes"),
    ({"retries": 6}, "out-of-range", "/retries", ""),
    ({"retries": 1.5}, "wrong-type", "/retries", "integer"),
    ({"timeout_minutes": "5"}, "wrong-type", "/timeout_minutes", "Drop the quotes"),
    ({"environment": {}}, "missing-field", "/environment", "requirements"),
    ({"environment": {"image": "x"}}, "missing-field", "/environment", "conda_file"),
    (
        {"environment": {"requirements": "r", "conda_file": "c"}},
        "conflicting-fields",
        "/environment",
        "Keep one",
    ),
    ({"environment": {"azureml": "sklearn"}}, "bad-format", "/environment/azureml", "name:version"),
    ({"environment": {"requirment": "r"}}, "unknown-field", "/environment/requirment", "`requirem"),
    ({"resources": {"instance_count": 0}}, "out-of-range", "/resources/instance_count", ""),
]


@pytest.mark.parametrize(
    ("change", "code", "pointer", "remedy"),
    [
        *WRONG,
        *(
            ({"runs": [notebook_run() | change]}, code, f"/runs/0{pointer}", remedy)
            for change, code, pointer, remedy in WRONG_IN_A_RUN
        ),
    ],
)
def test_one_wrong_field_is_one_finding_with_a_remedy(
    change: dict[str, Any], code: str, pointer: str, remedy: str
) -> None:
    found = findings_of(parse, body(request() | change))
    assert places(found) == {(code, pointer)}
    assert remedy in found[0].remedy
    assert found[0].message
    assert found[0].remedy


def test_a_message_must_name_its_runs_somewhere() -> None:
    message = request()
    del message["runs"]
    assert places(findings_of(parse, body(message))) == {("missing-field", "")}
    assert findings_of(parse, body(message | {"runs_from": "plan.json"})) == ()


def test_paths_are_normalized() -> None:
    message = start(notebook_run("./notebooks//a.ipynb", directory="x/"))
    assert message.runs is not None
    assert message.runs[0].directory == "x"
    assert message.model_dump()["runs"][0]["path"] == "notebooks/a.ipynb"


UNEXPANDED = [
    ({"build_id": "$(Build.BuildId)"}, "/build_id"),
    ({"build_id": "$(my_variable)"}, "/build_id"),
    ({"repository": {"url": "https://x/$(repo)", "ref": "$(Build.SourceVersion)"}}, ""),
    ({"build_id": "$[variables.x]"}, "/build_id"),
    ({"build_id": "a ${{ parameters.x }}"}, "/build_id"),
    ({"runs": [notebook_run(parameters={"a": ["$(x.y)"]})]}, "/runs/0/parameters/a/0"),
    ({"runs": [notebook_run(tags={"$(x)": ""})]}, "/runs/0/tags/$(x)"),
    ({"runs": [training_run("python t.py --v $(Build.BuildId)")]}, "/runs/0/command"),
    ({"runs": [notebook_run(parameters={"command": "$(date)"})]}, "/runs/0/parameters/command"),
]


@pytest.mark.parametrize(("change", "pointer"), UNEXPANDED)
def test_an_unexpanded_pipeline_variable_is_a_finding(change: dict[str, Any], pointer: str) -> None:
    found = findings_of(parse, body(request() | change))
    assert {finding.code for finding in found} == {"unexpanded-variable"}
    assert all(finding.pointer.startswith(pointer) for finding in found)


@pytest.mark.parametrize(
    "command",
    ["echo $(date) $HOME ${X}", "python t.py --data ${{inputs.data}} --out ${{outputs.model}}"],
)
def test_shell_and_azure_ml_expressions_are_left_alone_in_a_command(command: str) -> None:
    assert findings_of(parse, body(request(training_run(command)))) == ()


def test_a_dollar_sign_alone_is_no_variable() -> None:
    message = request(notebook_run(parameters={"price": "$5 (or $[6] more)", "shell": "${X}"}))
    assert findings_of(parse, body(message)) == ()


NOT_JSON = {
    "": "not-json",
    "{": "not-json",
    "{'a': 1}": "not-json",
    '{"a": 1} {}': "not-json",
    '{"a": "\t"}': "not-json",
    "[]": "not-an-object",
    "null": "not-an-object",
    '"{}"': "not-an-object",
    "9" * 5000: "not-an-object",
    "NaN": "not-an-object",
    "[" * 100_000: "too-deep",
}


@pytest.mark.parametrize(("text", "code"), NOT_JSON.items(), ids=[key[:20] for key in NOT_JSON])
def test_a_text_without_an_object_is_one_finding(text: str, code: str) -> None:
    assert [finding.code for finding in findings_of(parse, text.encode())] == [code]


ODD_JSON = [
    ('"attempt": 1, "attempt": 1', "duplicate-key", "/attempt"),
    ('"defaults": {"tags": {"a": "", "a": ""}}', "duplicate-key", "/defaults/tags/a"),
    ('"deadline_minutes": NaN', "not-a-number", "/deadline_minutes"),
    ('"deadline_minutes": -Infinity', "not-a-number", "/deadline_minutes"),
    ('"deadline_minutes": 1e999', "number-too-large", "/deadline_minutes"),
    (f'"attempt": {10**19}', "number-too-large", "/attempt"),
    (f'"attempt": {"9" * 5000}', "number-too-large", "/attempt"),
    ('"build_id": "a\\u0000b"', "bad-character", "/build_id"),
    ('"build_id": "a\\ud800b"', "bad-character", "/build_id"),
    ('"defaults": {"tags": {"\\udfff": ""}}', "bad-character", "/defaults/tags/\ufffd"),
    ('"defaults": {"parameters": {"x": ' + "[" * 40 + "]" * 40 + "}}", "too-deep", None),
]


@pytest.mark.parametrize(("members", "code", "pointer"), ODD_JSON)
def test_json_that_readers_disagree_about_is_a_finding(
    members: str, code: str, pointer: str | None
) -> None:
    text = json.dumps(request())[:-1] + f", {members}}}"
    found = findings_of(parse, text.encode())
    assert [finding.code for finding in found] == [code]
    assert pointer is None or found[0].pointer == pointer


def test_findings_repeat_no_value() -> None:
    secret = "hunter2"
    message = request(
        notebook_run(parameters=secret, environment_variables={"A": [secret]}),
        attempt=secret,
        repository={"url": f"https://me:{secret}@x/y"},
        AuthToken=secret,
    )
    with pytest.raises(BadMessage) as raised:
        parse(body(message))
    assert len(raised.value.findings) == 5
    assert secret not in str(raised.value)
    assert raised.value.__context__ is None


def test_a_look_survives_the_wire() -> None:
    assert parse(encode_look("0a1b", 2, 30)) == LookMessage(build="0a1b", generation=2, look=30)


@pytest.mark.parametrize(
    "change",
    [{"build": "../x"}, {"build": ""}, {"generation": -1}, {"look": "1"}, {"token": "x"}],
)
def test_a_forged_look_is_refused(change: dict[str, Any]) -> None:
    look = {"version": 1, "kind": "look", "build": "0a", "generation": 0, "look": 0}
    assert findings_of(parse, body(look)) == ()
    assert len(findings_of(parse, body(look | change))) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
fields = st.dictionaries(
    st.sampled_from([*StartMessage.model_fields, "build", "generation", "look"]) | st.text(),
    json_values
    | st.sampled_from(["start", "look", 1, [notebook_run()], {"url": "/r"}, {"condition": {}}])
    | st.lists(st.dictionaries(st.sampled_from(["kind", "path", "needs", "command"]), json_values)),
)


@given(st.binary() | st.text().map(str.encode) | (json_values | fields).map(body))
def test_nothing_makes_parse_raise_anything_but_bad_message(data: bytes) -> None:
    found = findings_of(parse, data)
    assert all(str(finding).encode() for finding in found)
    assert found or parse(data).version == 1
