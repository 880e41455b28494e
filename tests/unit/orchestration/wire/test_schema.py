"""The published schema and the models take and refuse the same messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mlgate.orchestration.wire.schema import schema
from tests.unit.orchestration.wire.samples import (
    body,
    notebook_run,
    refused,
    request,
    serving_run,
    training_run,
)
from tests.unit.orchestration.wire.test_fields import WRONG, WRONG_IN_A_RUN, WRONG_IN_A_SERVING_RUN

VALIDATOR = Draft202012Validator(schema())

# Rules that the schema cannot say, or says with less care.
MODELS_ALONE = {"secret-in-url", "unexpanded-variable"}
URL_FORMS = {"/repository/url"}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


VALID = [
    request(),
    request(runs_from="plans/nightly.json"),
    request(notebook_run(), runs_from="plans/nightly.json"),
    request(training_run(name="t", retries=5, timeout_minutes=0.5), backend="azureml", attempt=3),
    request(notebook_run("n/**/*.ipynb", environment={"requirements": "r.txt", "azureml": "a:1"})),
    request(notebook_run(environment={"conda_file": "c.yml", "image": "base", "azureml": "a:1"})),
    request(notebook_run(parameters={"x": None, "y": [1, {"z": "$"}]}, directory=".")),
    request(training_run(name="train"), serving_run(), serving_run(path="m", requests="r.json")),
    request(gate={"condition": {"at_least": 2}, "metrics": []}),
    request(gate={"metrics": [{"run": "a", "metric": "m", "at_most": -1.5}]}),
]


@pytest.mark.parametrize("message", VALID)
def test_what_the_models_take_the_schema_takes(message: dict[str, Any]) -> None:
    assert refused(body(message)) == ()
    VALIDATOR.validate(message)


INVALID = [
    *((change, code, pointer) for change, code, pointer, _ in WRONG),
    *(
        ({"runs": [notebook_run() | change]}, code, f"/runs/0{pointer}")
        for change, code, pointer, _ in WRONG_IN_A_RUN
    ),
    *(
        ({"runs": [serving_run() | change]}, code, f"/runs/0{pointer}")
        for change, code, pointer, _ in WRONG_IN_A_SERVING_RUN
    ),
    ({"runs": [{"kind": "serving"}]}, "missing-field", "/runs/0/model"),
    ({"version": None}, "wrong-type", "/version"),
    ({"runs": [{"path": "a.ipynb"}]}, "missing-field", "/runs/0/kind"),
]


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [each for each in INVALID if each[1] not in MODELS_ALONE and each[2] not in URL_FORMS],
)
def test_what_the_models_refuse_the_schema_refuses(
    change: dict[str, Any], code: str, pointer: str
) -> None:
    message = request() | change
    assert code in {finding.code for finding in refused(body(message))}, pointer
    assert not VALIDATOR.is_valid(message)


def test_a_message_without_runs_is_refused_by_both() -> None:
    message = request()
    del message["runs"]
    assert refused(body(message))
    assert not VALIDATOR.is_valid(message)


def _fields(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        for name, field in node.get("properties", {}).items():
            yield f"{place}/{name}", field
        for key, inner in node.items():
            if key == "if":  # asks for a value, and describes nothing
                continue
            yield from _fields(inner, f"{place}/{key}")


def test_every_field_is_described() -> None:
    document = schema()
    fields = dict(_fields(document))
    assert len(fields) > 50
    for place, field in fields.items():
        target = document["$defs"].get(field.get("$ref", "").removeprefix("#/$defs/"), {})
        assert field.get("description") or target.get("description"), place
