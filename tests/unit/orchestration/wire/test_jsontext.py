"""What is found in a body before it is held to the contract: no JSON, odd JSON, variables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.orchestration.wire.samples import body, notebook_run, refused, request, training_run

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
    found = refused(body(request() | change))
    assert {finding.code for finding in found} == {"unexpanded-variable"}
    assert all(finding.pointer.startswith(pointer) for finding in found)


def test_a_variable_in_the_repositorys_address_is_to_be_written_out() -> None:
    """An agentless job does not know it."""
    change = {"repository": {"url": "$(Build.Repository.Uri)", "ref": "$(no.such)"}}
    remedies = {finding.pointer: finding.remedy for finding in refused(body(request() | change))}
    assert "/_git/NAME" in remedies["/repository/url"]
    assert "Check its name" in remedies["/repository/ref"]


@pytest.mark.parametrize(
    "command",
    ["echo $(date) $HOME ${X}", "python t.py --data ${{inputs.data}} --out ${{outputs.model}}"],
)
def test_shell_and_azure_ml_expressions_are_left_alone_in_a_command(command: str) -> None:
    assert refused(body(request(training_run(command)))) == ()


def test_a_dollar_sign_alone_is_no_variable() -> None:
    message = request(notebook_run(parameters={"price": "$5 (or $[6] more)", "shell": "${X}"}))
    assert refused(body(message)) == ()


@pytest.mark.parametrize("variable", ["$(System.JobAttempt)", "${{ parameters.attempt }}"])
def test_a_variable_in_the_place_of_a_number_is_named(variable: str) -> None:
    text = json.dumps(request())[:-1] + f', "attempt": {variable}}}'
    [found] = refused(text.encode())
    assert found.code == "unexpanded-variable"
    assert f"`{variable}`" in found.message
    assert "column" in found.message


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
    assert [finding.code for finding in refused(text.encode())] == [code]


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
    found = refused(text.encode())
    assert [finding.code for finding in found] == [code]
    assert pointer is None or found[0].pointer == pointer
