"""Each field of the contract, wrongly filled: the code, the place and the remedy it gets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.orchestration.wire.samples import (
    body,
    notebook_run,
    places,
    refused,
    request,
    serving_run,
    training_run,
)

WRONG = [
    # change to a valid message, code, pointer, words of the remedy
    ({"version": 2}, "bad-version", "/version", '"version": 1'),
    ({"version": "1"}, "bad-version", "/version", "without quotes"),
    ({"version": True}, "bad-version", "/version", '"version": 1'),
    ({"kind": "roll"}, "unknown-kind", "/kind", "`rollback`"),
    ({"kind": 1}, "wrong-type", "/kind", "`start`"),
    ({"runs": [training_run(" \n\t")]}, "bad-format", "/runs/0/command", "python train.py"),
    ({"buildId": "7"}, "unknown-field", "/buildId", "`build_id`"),
    ({"note_book": "7"}, "unknown-field", "/note_book", "`runs`"),
    ({"build_id": 7}, "wrong-type", "/build_id", "in quotes"),
    ({"build_id": ""}, "out-of-range", "/build_id", ""),
    ({"build_id": "x" * 129}, "out-of-range", "/build_id", "short"),
    ({"build_id": "a\x1b[31m"}, "bad-format", "/build_id", "plain"),
    ({"build_id": "a\nb"}, "bad-format", "/build_id", "plain"),
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
    ({"repository": "x"}, "wrong-type", "/repository", "between `{`"),
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
    ({"model": "train"}, "unknown-field", "/model", "`serving`"),
    ({"kind": "serve"}, "unknown-value", "/kind", "`serving`"),
    ({"path": "/a.ipynb"}, "unsafe-path", "/path", "subdirectory"),
    ({"path": "a/../../b.ipynb"}, "unsafe-path", "/path", "subdirectory"),
    ({"path": "a\\b.ipynb"}, "unsafe-path", "/path", "`/`"),
    ({"path": "C:/b.ipynb"}, "unsafe-path", "/path", "subdirectory"),
    ({"path": ""}, "bad-format", "/path", ""),
    ({"path": "a" * 4097}, "out-of-range", "/path", "shorter"),
    ({"outputs": ["../x"]}, "unsafe-path", "/outputs/0", ""),
    ({"outputs": "x"}, "wrong-type", "/outputs", "`[`"),
    ({"directory": "/tmp"}, "unsafe-path", "/directory", ""),
    ({"parameters": {"a b": 1}}, "bad-format", "/parameters/a b", ""),
    ({"parameters": {"class": 1}}, "bad-format", "/parameters/class", ""),
    ({"environment_variables": {"A": 1}}, "wrong-type", "/environment_variables/A", "in quotes"),
    ({"environment_variables": {"A=": "1"}}, "bad-format", "/environment_variables/A=", ""),
    ({"environment_variables": {"": "1"}}, "bad-format", "/environment_variables/", ""),
    ({"tags": {"a/b~c": 1}}, "wrong-type", "/tags/a~1b~0c", "in quotes"),
    ({"tags": {"k" * 101: ""}}, "out-of-range", f"/tags/{'k' * 101}", "shorter"),
    ({"tags": {"k" * 100: "v" * 1001}}, "out-of-range", f"/tags/{'k' * 100}", "Shorten"),
    ({"tags": dict.fromkeys(map(str, range(49)), "")}, "out-of-range", "/tags", "Leave out 2"),
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
    ({"resources": {"instance_count": 2}}, "out-of-range", "/resources/instance_count", "one node"),
]


WRONG_IN_A_SERVING_RUN: list[tuple[dict[str, Any], str, str, str]] = [
    ({"command": "python x.py"}, "unknown-field", "/command", "kind `training`."),
    ({"parameters": {"a": 1}}, "unknown-field", "/parameters", "kind `notebook`."),
    ({"kernel": "python3"}, "unknown-field", "/kernel", "kind `notebook`."),
    ({"example": "outputs/e.json"}, "unknown-field", "/example", ""),
    ({"request": "r.json"}, "unknown-field", "/request", "`requests`"),
    ({"model": ""}, "out-of-range", "/model", ""),
    ({"model": ["train"]}, "wrong-type", "/model", ""),
    ({"path": "/model.onnx"}, "unsafe-path", "/path", "as the run keeps it"),
    ({"path": "../model.onnx"}, "unsafe-path", "/path", "as the run keeps it"),
    ({"requests": "/r.json"}, "unsafe-path", "/requests", "subdirectory"),
    ({"requests": [{"instances": [1]}]}, "wrong-type", "/requests", "Give a string"),
    ({"environment": {}}, "missing-field", "/environment", "requirements"),
    ({"retries": 6}, "out-of-range", "/retries", ""),
]


@pytest.mark.parametrize(
    ("change", "code", "pointer", "remedy"),
    [
        *WRONG,
        *(
            ({"runs": [serving_run() | change]}, code, f"/runs/0{pointer}", remedy)
            for change, code, pointer, remedy in WRONG_IN_A_SERVING_RUN
        ),
        *(
            ({"runs": [notebook_run() | change]}, code, f"/runs/0{pointer}", remedy)
            for change, code, pointer, remedy in WRONG_IN_A_RUN
        ),
    ],
)
def test_one_wrong_field_is_one_finding_with_a_remedy(
    change: dict[str, Any], code: str, pointer: str, remedy: str
) -> None:
    found = refused(body(request() | change))
    assert places(found) == {(code, pointer)}
    assert remedy in found[0].remedy
    assert found[0].message
    assert found[0].remedy


def test_a_field_of_two_kinds_names_both() -> None:
    [found] = refused(body(request(training_run(path="x"))))
    assert found.remedy == "It belongs to a run of kind `notebook` or `serving`."


def test_a_serving_run_names_the_run_whose_model_it_serves() -> None:
    [found] = refused(body(request({"kind": "serving"})))
    assert (found.code, found.pointer) == ("missing-field", "/runs/0/model")


@pytest.mark.parametrize("build_id", ["1", "x" * 128, "Nightly build é 2026/11 №3"])
def test_a_printable_build_id_is_taken(build_id: str) -> None:
    assert refused(body(request(build_id=build_id))) == ()


@pytest.mark.parametrize("kind", ["demote", "begin", "Start", "x"])
def test_an_unknown_kind_is_one_finding_whatever_else_its_message_lacks(kind: str) -> None:
    message = request(kind=kind)
    del message["runs"]
    found = refused(body(message))
    assert places(found) == {("unknown-kind", "/kind")}
    assert found[0].remedy


@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\u2028", "\x9b"])
def test_a_build_id_of_what_cannot_be_seen_is_a_finding(character: str) -> None:
    found = refused(body(request(build_id=f"a{character}b")))
    assert places(found) == {("bad-format", "/build_id")}
