"""Each field of the contract, wrongly filled: the code, the place and the remedy it gets."""

from __future__ import annotations

from typing import Any

import pytest

from mlgate.orchestration.messages import parse
from tests.unit.messages.samples import (
    body,
    findings_of,
    notebook_run,
    places,
    request,
    training_run,
)

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
