"""What a message may say of models: `promote`, and the kinds that run nothing."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mlgate.orchestration.models import is_name
from mlgate.orchestration.wire.messages import StartMessage, read
from mlgate.orchestration.wire.promotion import PromoteMessage, RollbackMessage
from mlgate.orchestration.wire.schema import schema
from tests.unit.orchestration.wire.samples import body, places, refused, request, start

VALIDATOR = Draft202012Validator(schema())

PROMOTE: dict[str, Any] = {"version": 1, "kind": "promote", "model": "churn", "build": "7"}
ROLLBACK: dict[str, Any] = {"version": 1, "kind": "rollback", "model": "churn"}


def promoting(**fields: Any) -> dict[str, Any]:
    return request(promote={"model": "churn", **fields})


def verifying(**fields: Any) -> dict[str, Any]:
    return promoting(verify={"url": "https://churn.example.net", **fields})


def comparing(**fields: Any) -> dict[str, Any]:
    return promoting(compare=[{"run": "a", "metric": "m", **fields}])


def test_what_is_left_out_of_promote_has_the_contracts_default() -> None:
    promote = start(promote={"model": "churn", "compare": [{"run": "a", "metric": "m"}]}).promote
    assert promote is not None
    assert (promote.run, promote.path, promote.example) == (None, None, None)
    assert (promote.when, promote.worse, promote.first) == ("better", "fail", True)
    [compare] = promote.compare
    assert compare.better == "higher"
    assert (compare.tolerance, compare.relative_tolerance, compare.current) == (None, None, None)
    assert start().promote is None


def test_the_kinds_are_messages_of_their_own() -> None:
    promote = read(body(PROMOTE | {"run": "train", "attempt": 2})).message()
    assert isinstance(promote, PromoteMessage)
    assert (promote.model, promote.build, promote.run) == ("churn", "7", "train")
    assert promote.attempt == 2
    rollback = read(body(ROLLBACK)).message()
    assert isinstance(rollback, RollbackMessage)
    assert (rollback.to, rollback.reason, rollback.attempt) == (None, "", 1)
    assert isinstance(read(body(promoting())).message(), StartMessage)


VALID = [
    promoting(),
    promoting(run="train", path="outputs/model", example="outputs/x.json", first=False),
    promoting(when="not_worse", worse="keep", compare=[]),
    promoting(path="."),
    promoting(model="a" * 63),
    promoting(model="0-_"),
    comparing(better="lower", tolerance=0),
    comparing(better="higher", relative_tolerance=0.01, current="current_m"),
    PROMOTE,
    PROMOTE | {"run": "train", "build_id": "8", "attempt": 2, "deadline_minutes": 30},
    verifying(),
    verifying(answers=20, timeout_minutes=2.5),
    PROMOTE | {"verify": {"url": "http://127.0.0.1:5000/"}},
    ROLLBACK | {"verify": {"url": "https://churn.example.net/api"}},
    ROLLBACK,
    ROLLBACK | {"to": "3f9a1c0b7d52", "reason": "so", "build_id": "8", "attempt": 2},
    ROLLBACK | {"to": "123456789012"},
    ROLLBACK | {"to": 1},
    ROLLBACK | {"reason": "r" * 1000},
]


@pytest.mark.parametrize("message", VALID)
def test_what_the_contract_allows_is_taken_by_the_models_and_the_schema(
    message: dict[str, Any],
) -> None:
    assert refused(body(message)) == ()
    VALIDATOR.validate(message)


WRONG = [
    # message, code, pointer, words of the remedy
    (request(promote={}), "missing-field", "/promote/model", "Add `model`"),
    (request(promote="churn"), "wrong-type", "/promote", "between `{`"),
    (promoting(model="Churn"), "bad-format", "/promote/model", "lower-case"),
    (promoting(model="a" * 64), "bad-format", "/promote/model", "63"),
    (promoting(model="-a"), "bad-format", "/promote/model", "letter or digit first"),
    (promoting(run=""), "out-of-range", "/promote/run", ""),
    (promoting(when="worse"), "unknown-value", "/promote/when", "`not_worse`"),
    (promoting(worse="ignore"), "unknown-value", "/promote/worse", "`keep`"),
    (promoting(first="true"), "wrong-type", "/promote/first", "Drop the quotes"),
    (promoting(path="../model"), "unsafe-path", "/promote/path", "as the run keeps it"),
    (promoting(path="/model"), "unsafe-path", "/promote/path", "as the run keeps it"),
    (promoting(path="C:/model"), "unsafe-path", "/promote/path", "as the run keeps it"),
    (promoting(path="a\\model"), "unsafe-path", "/promote/path", "`/`"),
    (promoting(example="x/../../y"), "unsafe-path", "/promote/example", "as the run keeps it"),
    (promoting(example=""), "bad-format", "/promote/example", "name a path"),
    (promoting(verify={}), "missing-field", "/promote/verify/url", "Add `url`"),
    (promoting(verify={"url": "http://x"}), "bad-format", "/promote/verify/url", "`https://"),
    (promoting(verify={"url": "https://x/?k=1"}), "bad-format", "/promote/verify/url", "query"),
    (verifying(answers=0), "out-of-range", "/promote/verify/answers", ""),
    (verifying(timeout_minutes=0), "out-of-range", "/promote/verify/timeout_minutes", ""),
    (verifying(seconds=1), "unknown-field", "/promote/verify/seconds", "`answers`"),
    (promoting(exmaple="x"), "unknown-field", "/promote/exmaple", "`example`"),
    (promoting(compare={}), "wrong-type", "/promote/compare", "`[`"),
    (promoting(compare=[{"metric": "m"}]), "missing-field", "/promote/compare/0/run", "Add"),
    (promoting(compare=[{"run": "a"}]), "missing-field", "/promote/compare/0/metric", "Add"),
    (comparing(better="more"), "unknown-value", "/promote/compare/0/better", "`higher`"),
    (comparing(tolerance=-0.1), "out-of-range", "/promote/compare/0/tolerance", ""),
    (
        comparing(relative_tolerance=-1),
        "out-of-range",
        "/promote/compare/0/relative_tolerance",
        "",
    ),
    (comparing(tolerance="1"), "wrong-type", "/promote/compare/0/tolerance", "Drop the quotes"),
    (
        comparing(tolerance=0, relative_tolerance=0),
        "conflicting-fields",
        "/promote/compare/0",
        "Keep one",
    ),
    (request(kind="check", promote={"model": "churn"}), "conflicting-fields", "/promote", "Leave"),
    (ROLLBACK | {"model": "Churn"}, "bad-format", "/model", "lower-case"),
    (ROLLBACK | {"to": 0}, "out-of-range", "/to", "number of an entry"),
    (ROLLBACK | {"to": -1}, "out-of-range", "/to", "number of an entry"),
    (ROLLBACK | {"to": "previous"}, "bad-format", "/to", "12 digits"),
    (ROLLBACK | {"to": "3F9A1C0B7D52"}, "bad-format", "/to", "12 digits"),
    (ROLLBACK | {"to": "3f9a1c0b7d5"}, "bad-format", "/to", "12 digits"),
    (ROLLBACK | {"to": "41"}, "bad-format", "/to", "Drop the quotes"),
    (ROLLBACK | {"to": 1.5}, "wrong-type", "/to", "12 digits"),
    (ROLLBACK | {"to": True}, "wrong-type", "/to", "12 digits"),
    (ROLLBACK | {"to": ["3f9a1c0b7d52"]}, "wrong-type", "/to", "12 digits"),
    (ROLLBACK | {"reason": "r" * 1001}, "out-of-range", "/reason", "Shorten"),
    (ROLLBACK | {"reason": "so\nthere"}, "bad-format", "/reason", "one line"),
    (ROLLBACK | {"reason": 7}, "wrong-type", "/reason", "in quotes"),
    (ROLLBACK | {"verify": {}}, "missing-field", "/verify/url", "Add `url`"),
    (ROLLBACK | {"reson": "x"}, "unknown-field", "/reson", "`reason`"),
    (ROLLBACK | {"runs": []}, "unknown-field", "/runs", ""),
    (ROLLBACK | {"attempt": 0}, "out-of-range", "/attempt", ""),
    (ROLLBACK | {"version": 2}, "bad-version", "/version", '"version": 1'),
    (PROMOTE | {"to": 1}, "unknown-field", "/to", ""),
    (PROMOTE | {"build": ""}, "out-of-range", "/build", ""),
    (PROMOTE | {"build": "a\nb"}, "bad-format", "/build", ""),
    ({"version": 1, "kind": "promote", "model": "m"}, "missing-field", "/build", "Add"),
    ({"version": 1, "kind": "rollback"}, "missing-field", "/model", "Add"),
]


@pytest.mark.parametrize(("message", "code", "pointer", "remedy"), WRONG)
def test_what_it_does_not_is_one_finding_and_refused_by_the_schema(
    message: dict[str, Any], code: str, pointer: str, remedy: str
) -> None:
    if message.get("kind") == "check":
        message = {name: value for name, value in message.items() if name != "runs"}
    found = refused(body(message))
    assert places(found) == {(code, pointer)}
    assert remedy in found[0].remedy
    assert not VALIDATOR.is_valid(message)


def test_a_metric_cannot_be_compared_with_itself() -> None:
    found = refused(body(comparing(current="m")))
    assert places(found) == {("conflicting-fields", "/promote/compare/0")}
    assert "on record" in found[0].remedy


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("NaN", "not-a-number"),
        ("Infinity", "not-a-number"),
        ("-Infinity", "not-a-number"),
        ("1e999", "number-too-large"),
    ],
)
@pytest.mark.parametrize("field", ["tolerance", "relative_tolerance"])
def test_a_tolerance_is_a_number(field: str, number: str, code: str) -> None:
    data = body(comparing(**{field: 4711})).replace(b"4711", number.encode())
    assert places(refused(data)) == {(code, f"/promote/compare/0/{field}")}


@pytest.mark.parametrize("name", ["a", "churn", "a" * 63, "9_-", "a" * 64, "A", "-a", "", "a b"])
def test_a_name_in_a_message_is_a_name_in_the_store(name: str) -> None:
    assert (refused(body(promoting(model=name))) == ()) == is_name(name)


def test_a_pipelines_variable_that_was_not_expanded_is_found_here_too() -> None:
    found = refused(body(ROLLBACK | {"to": "$(version)"}))
    assert places(found) == {("unexpanded-variable", "/to")}
