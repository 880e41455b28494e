"""A body becomes a message with the contract's defaults, or every finding at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.wire.messages import LookMessage, StartMessage, encode_look, read
from mlgate.orchestration.wire.promotion import PromoteMessage, RollbackMessage
from tests.unit.orchestration.wire.samples import (
    body,
    notebook_run,
    places,
    refused,
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
    assert read(wrapped(text)).message() == read(text.encode()).message()


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
    assert isinstance(read(body(message)).message(), StartMessage)


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
    assert places(refused(body(message))) == {
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


def test_a_message_must_name_its_runs_somewhere() -> None:
    message = request()
    del message["runs"]
    assert places(refused(body(message))) == {("missing-field", "")}
    assert refused(body(message | {"runs_from": "plan.json"})) == ()


def test_paths_are_normalized() -> None:
    message = start(notebook_run("./notebooks//a.ipynb", directory="x/"))
    assert message.runs is not None
    assert message.runs[0].directory == "x"
    assert message.model_dump()["runs"][0]["path"] == "notebooks/a.ipynb"


def test_findings_repeat_no_value() -> None:
    secret = "hunter2"
    message = request(
        notebook_run(parameters=secret, environment_variables={"A": [secret]}),
        attempt=secret,
        repository={"url": f"https://me:{secret}@x/y"},
        AuthToken=secret,
    )
    with pytest.raises(BadMessage) as raised:
        read(body(message)).message()
    assert len(raised.value.findings) == 5
    assert secret not in str(raised.value)
    assert raised.value.__context__ is None


def test_a_look_survives_the_wire() -> None:
    assert read(encode_look("0a1b", 30)).message() == LookMessage(build="0a1b", look=30)


@pytest.mark.parametrize(
    "change",
    [{"build": "../x"}, {"build": ""}, {"look": -1}, {"look": "1"}, {"token": "x"}],
)
def test_a_forged_look_is_refused(change: dict[str, Any]) -> None:
    look = {"version": 1, "kind": "look", "build": "0a", "look": 0}
    assert refused(body(look)) == ()
    assert len(refused(body(look | change))) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
MODELS = (StartMessage, LookMessage, PromoteMessage, RollbackMessage)
VALUES = ["start", "look", "promote", "rollback", 1, [notebook_run()], {"url": "/r"}, {"to": {}}]
fields = st.dictionaries(
    st.sampled_from([name for model in MODELS for name in model.model_fields]) | st.text(),
    json_values
    | st.sampled_from(VALUES)
    | st.just({"condition": {}})
    | st.lists(st.dictionaries(st.sampled_from(["kind", "path", "needs", "command"]), json_values)),
)


@given(st.binary() | st.text().map(str.encode) | (json_values | fields).map(body))
def test_nothing_makes_parse_raise_anything_but_bad_message(data: bytes) -> None:
    found = refused(data)
    assert all(str(finding).encode() for finding in found)
    assert found or read(data).message().version == 1
