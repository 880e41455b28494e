"""Whatever a body holds: nothing is raised but `BadMessage`, and little is said of it.

Who may send to the queue may send anything, and what is wrong goes into a pipeline's log, a
terminal and a record.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.errors import Finding
from mlgate.orchestration.findings import LONGEST, MOST_FINDINGS
from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.wire.json_text import MAX_DEPTH, MAX_LENGTH
from mlgate.orchestration.wire.messages import StartMessage, read
from tests.unit.orchestration.wire.samples import (
    BYTES_HEADER,
    STRING_HEADER,
    body,
    findings_of,
    notebook_run,
    places,
    refused,
    request,
    start,
    training_run,
    tree,
    wrapped,
)

EVERY_FIELD = request(
    notebook_run("n/*.ipynb", name="n", parameters={"x": [1, {"y": None}]}, kernel="python3"),
    training_run(
        name="t",
        needs=["n"],
        environment={"conda_file": "c.yml", "azureml": "a:1"},
        resources={"instance_count": 1},
        tags={"team": "sales"},
        outputs=["*.png"],
        retries=1,
    ),
    build_id="20261121.3",
    attempt=2,
    workspace={"subscription_id": "s", "resource_group": "g", "name": "w"},
    defaults={"environment_variables": {"A": "1"}},
    gate={"condition": {"at_least": 1}, "metrics": [{"run": "t", "metric": "m", "at_most": 1}]},
    promote={"model": "m", "run": "t", "path": "x", "compare": [{"run": "t", "metric": "m"}]},
)

# What a value is replaced by, or a text gets in its middle.
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 10**18, "", "x", "$(x)", "\x1b[31m", "\ud800", "\0", "é" * 600,
    [], {}, [None] * 60, {str(number): None for number in range(60)}, ["x"] * 600, {"": {"": []}},
]  # a row a line # fmt: skip
PIECES = [
    b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{", b"}", b'"', b",", b"\\ud800", b"NaN",
    b"-Infinity", b"1e999", b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b'"version": 1,', b"//",
    b'"runs": [],', b"\x1b]0;x\x07", STRING_HEADER, b"\x99\x05", b"\xb7\xff",
]  # fmt: skip


def values_in(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values below a JSON value."""
    if not isinstance(node, dict | list):
        return [place]
    inner: Any = node.items() if isinstance(node, dict) else enumerate(node)
    return [place, *(each for key, value in inner for each in values_in(value, (*place, key)))]


PLACES = [place for place in values_in(EVERY_FIELD) if place]


def with_value(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """`EVERY_FIELD` with another value at one place."""
    changed: dict[str, Any] = json.loads(body(EVERY_FIELD))
    node: Any = changed
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return changed


def record(text: bytes, code: int, width: int) -> bytes:
    return bytes([code + 1]) + (len(text) % (1 << 8 * width)).to_bytes(width, "little") + text


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "raw": lambda text: text.encode(errors="surrogatepass"),
    "with a BOM": lambda text: b"\xef\xbb\xbf" + text.encode(errors="surrogatepass"),
    "UTF-16, which is not read": lambda text: text.encode("utf-16", errors="surrogatepass"),
    "wrapped as UTF-8": lambda text: (
        STRING_HEADER + record(text.encode(errors="surrogatepass"), 0x9C, 4)
    ),
    "wrapped as UTF-16": lambda text: (
        STRING_HEADER + record(text.encode("utf-16-le", errors="surrogatepass"), 0xBA, 4)
    ),
    "wrapped as bytes, with a BOM": lambda text: (
        BYTES_HEADER + record(b"\xef\xbb\xbf" + text.encode(errors="surrogatepass"), 0xA2, 4)
    ),
}

texts = st.builds(
    lambda message, ascii_only: json.dumps(message, ensure_ascii=ascii_only),
    st.just(EVERY_FIELD)
    | st.builds(with_value, st.sampled_from(PLACES), st.sampled_from(VALUES) | st.text())
    | st.dictionaries(st.sampled_from(list(EVERY_FIELD)) | st.text(), st.sampled_from(VALUES)),
    st.booleans(),
)
encoded: st.SearchStrategy[bytes] = st.builds(
    lambda text, how: ENCODINGS[how](text), texts, st.sampled_from([*ENCODINGS])
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A body cut, or with something put into it, or with some of it twice."""
    data = draw(encoded)
    start_at = draw(st.integers(0, len(data)))
    end_at = draw(st.integers(start_at, len(data)))
    middle = draw(st.sampled_from([*PIECES, b"", data[start_at:end_at] * 2]) | st.binary())
    return data[:start_at] + middle + data[draw(st.sampled_from([start_at, end_at])) :]


def little_is_said(findings: tuple[Finding, ...]) -> bool:
    said = [text for each in findings for text in (each.pointer, each.message, each.remedy)]
    return len(findings) <= MOST_FINDINGS + 1 and all(
        len(text) <= LONGEST and (text == "" or text.isprintable()) for text in said
    )


@given(st.binary() | encoded | mutated())
def test_any_body_is_a_message_or_a_few_findings(data: bytes) -> None:
    found = read(data)
    assert little_is_said(found.findings)
    assert (found.valid is None) == bool(found.findings)
    assert isinstance(found.attempt, int)
    assert found.build_id is None or (found.build_id.isprintable() and len(found.build_id) <= 128)
    assert len(found.fingerprint) == 64
    if isinstance(found.valid, StartMessage):
        assert little_is_said(findings_of(plan, found.valid, tree("n/a.ipynb")))


@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_a_wrong_value_never_hides_whose_message_it_is(place: tuple[Any, ...], value: Any) -> None:
    found = read(body(with_value(place, value)))
    assert found.attempt == 2 or place == ("attempt",)
    assert found.build_id == "20261121.3" or place == ("build_id",)


def test_a_message_is_the_same_however_it_is_wrapped() -> None:
    text = json.dumps(EVERY_FIELD)
    other = json.dumps(dict(reversed(EVERY_FIELD.items())), indent=2)
    bodies = [how(text) for name, how in ENCODINGS.items() if "not read" not in name]
    found = [read(each) for each in (*bodies, wrapped(text), other.encode())]
    assert len({each.fingerprint for each in found}) == 1
    assert all(each.message() == found[0].message() for each in found)


@pytest.mark.parametrize("change", [{"attempt": 3}, {"deadline_minutes": 9}, {"build_id": "x"}])
def test_other_content_has_another_fingerprint(change: dict[str, Any]) -> None:
    assert read(body(EVERY_FIELD | change)).fingerprint != read(body(EVERY_FIELD)).fingerprint


MANY: dict[str, dict[str, Any]] = {
    "unknown fields": {f"x{number}": 1 for number in range(10_000)},
    "variables": {f"x{number}": "$(x)" for number in range(10_000)},
    "nulls below a long key": {"x" * 300_000: [None] * 10_000},
    "wrong types": {"defaults": {"tags": {f"x{number}": 1 for number in range(10_000)}}},
    "names that are none": {"defaults": {"parameters": {f"{n} ": 1 for n in range(10_000)}}},
}


@pytest.mark.parametrize("change", MANY.values(), ids=MANY.keys())
def test_ten_thousand_faults_are_fifty_findings_and_a_number(change: dict[str, Any]) -> None:
    found = refused(body(EVERY_FIELD | change))
    assert little_is_said(found)
    assert len(found) == MOST_FINDINGS + 1
    assert found[-1].code == "more-findings"
    assert int(found[-1].message.split()[0]) >= 10_000 - MOST_FINDINGS


PLANS: dict[str, StartMessage] = {
    "needs": start(training_run(name="t", needs=[f"x{number}" for number in range(10_000)])),
    "metrics": start(gate={"metrics": [{"run": f"x{n}", "metric": "m", "at_most": 1}
                                       for n in range(10_000)]}),
    "long names": start(training_run(name="t", needs=["x" * 10_000] * 60)),
    "equal names": start(*[training_run(name="t")] * 500),
}  # fmt: skip


@pytest.mark.parametrize("message", PLANS.values(), ids=PLANS.keys())
def test_a_plan_with_many_faults_is_fifty_findings_and_a_number(message: StartMessage) -> None:
    found = findings_of(plan, message, None)
    assert little_is_said(found)
    assert found[-1].code == "more-findings"


def test_one_finding_more_is_told_in_words_that_fit() -> None:
    found = refused(body(request(**{f"x{number}": 1 for number in range(MOST_FINDINGS + 1)})))
    assert found[-1].message == "1 more finding is not listed."


@pytest.mark.parametrize("padding", [0, 1])
def test_a_text_is_read_up_to_its_limit(padding: int) -> None:
    text = json.dumps(request()).ljust(MAX_LENGTH + padding)
    expected = {("too-large", "")} if padding else set()
    assert places(refused(text.encode())) == places(refused(wrapped(text))) == expected
    assert (
        len(
            findings_of(
                plan, start(runs_from="p.json"), tree(contents={"p.json": b" " * len(text)})
            )
        )
        == 1
    )


@pytest.mark.parametrize("more", [0, 1])
def test_values_are_nested_up_to_a_limit(more: int) -> None:
    lists = MAX_DEPTH - 3 + more  # below defaults, parameters and x
    inner = json.loads("[" * lists + "1" + "]" * lists)
    found = refused(body(request(defaults={"parameters": {"x": inner}})))
    assert [each.code for each in found] == ["too-deep"] * more
