"""Messages that nobody should send: bodies and properties, made by Hypothesis and by mutation."""

from __future__ import annotations

import copy
import gzip
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.orchestration.wire.samples import BYTES_HEADER, PROPERTIES, wrapped

TOKEN = "radioactive-token"  # in each message that has one
LARGE = 200_000  # bytes

VALID: dict[str, Any] = {
    "version": 1,
    "build_id": "4711",
    "attempt": 1,
    "repository": {"url": "https://dev.azure.com/contoso/sales/_git/sales", "ref": "main"},
    "deadline_minutes": 60,
    "defaults": {"timeout_minutes": 5, "environment": {"requirements": "requirements.txt"}},
    "runs": [
        {"kind": "notebook", "path": "a.ipynb", "parameters": {"alpha": 0.5, "b": [1, None]}},
        {"kind": "training", "name": "t", "command": "python train.py", "needs": ["a"]},
    ],
    "gate": {"condition": "all_pass", "metrics": [{"run": "t", "metric": "m", "at_least": 0.9}]},
}
_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)  # half surrogate pairs, too
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | _TEXT
    | st.sampled_from([10**400, -(10**400), 1e308, "$(Build.SourceVersion)", "\x1b[31m", "a\0b"])
)
VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)
)
_LITERAL = [
    b"", b" ", b"null", b"{}", b"[]", b"0", b'"', b"{", b'{"a":', b"\x1f\x8b", b"\0" * 64,
    b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b'{"a":NaN}', b'{"a":1e999999}', b'{"a":"\\ud800"}',
    b'{"version":1,"version":1}', b'{"kind":"start","kind":"look","version":1}',
    b'{"version":' + b"9" * 5000 + b"}", b'{"a":"\xed\xa0\x80"}', b"[" * 50_000, b'{"a":' * 20_000,
    b'{"runs":[{"name":"\\udfff"}],"version":1}', b"{" + b'"a":1,' * 20_000 + b'"a":1}',
    b'{"build_id":"' + b"x" * LARGE + b'"}',
    b'{"version":1,"runs":[' + b'{"kind":"notebook"},' * 2000 + b"{}]}",
    b'{"runs":[{"kind":"training","command":"' + b"\\u0000" * 30_000 + b'"}],"version":1}',
]  # many a row # fmt: skip


@dataclass(frozen=True)
class Poison:
    """A message to send; `token` says whether its properties hold one."""

    body: bytes
    properties: dict[str, Any]
    message_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def token(self) -> bool:
        return TOKEN in map(str, self.properties.values())

    def message(self) -> AmqpAnnotatedMessage:
        return AmqpAnnotatedMessage(
            data_body=self.body,
            properties=AmqpMessageProperties(message_id=self.message_id),
            application_properties=self.properties,
        )


@st.composite
def _mutated(draw: st.DrawFn) -> Any:
    """A valid message, with something else in some places, something more, or something less."""
    message = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 4))):
        place: Any = message
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or draw(st.booleans()):
                break
            place = place[key]
        else:
            continue
        match draw(st.integers(0, 3)):
            case 0:
                del place[key]
            case 1 if isinstance(place, dict):
                place[draw(_TEXT)] = draw(VALUES)
            case _:
                place[key] = draw(VALUES)
    return message


def _wrapped_bytes(content: bytes) -> bytes:
    return BYTES_HEADER + b"\xa1" + (len(content) % 2**16).to_bytes(2, "little") + content


def _twice(content: bytes) -> bytes:
    return content.replace(b'"runs"', b'"runs":[],"runs"', 1)


_WRAPS: list[Callable[[bytes], bytes]] = [
    lambda content: content,
    lambda content: content,
    lambda content: content,
    lambda content: wrapped(content.decode("utf-8", "replace")),
    lambda content: wrapped(wrapped("x").decode("latin-1") + content.decode("latin-1")),
    _wrapped_bytes,
    gzip.compress,
    lambda content: content.decode("utf-8", "replace").encode("utf-16"),
    lambda content: b"\xef\xbb\xbf" + content,
    lambda content: content + content,
    lambda content: json.dumps(content.decode("utf-8", "replace")).encode(),
    _twice,
]


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.sampled_from(_LITERAL))
        case 1:
            return draw(st.binary(max_size=200))
        case 2:
            content = json.dumps(draw(VALUES))
        case 3:
            # A look at a build that is not there, or something like it.
            build = draw(st.sampled_from(["0" * 20, "abc", "ABC", "", "../x", 7, None]))
            look: dict[str, Any] = {"version": 1, "kind": "look", "build": build, "look": 1}
            look |= draw(st.sampled_from([{}, {}, {"look": -1}, {"look": 10**400}, {"more": 1}]))
            content = json.dumps(look)
        case _:
            content = json.dumps(draw(_mutated()))
    body = draw(st.sampled_from(_WRAPS))(content.encode())
    if draw(st.integers(0, 4)) == 0:
        body = body[: draw(st.integers(0, len(body)))]
    if draw(st.integers(0, 9)) == 0 and body:
        place = draw(st.integers(0, len(body) - 1))
        body = body[:place] + draw(st.binary(max_size=4)) + body[place + 1 :]
    return body


_ODD = st.sampled_from(["", " ", "x" * 5000, "a\nb", "ü", "not-a-guid", 7, -1, 1.5, True]) | (
    st.builds(uuid.uuid4)  # not two alike, which would be one job
)


@st.composite
def _properties(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.integers(0, 5))
    if kind <= 1:
        return {}
    # Of a job of its own, in a collection that is not allowed: nobody is told.
    whole: dict[str, Any] = {**PROPERTIES, "AuthToken": TOKEN, "JobId": str(uuid.uuid4())}
    if kind == 2:
        return whole
    for name in draw(st.lists(st.sampled_from(sorted(whole)), max_size=3, unique=True)):
        if kind == 3:
            del whole[name]
        elif kind == 4:
            whole[name] = draw(_ODD)
        else:
            whole[name.lower()] = whole.pop(name)
    return whole


def poisons(count: int) -> list[Poison]:
    """So many of them, the same with each run but for their ids."""
    found: list[Poison] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_bodies(), _properties())
    def collect(body: bytes, properties: dict[str, Any]) -> None:
        found.append(Poison(body, properties))

    while len(found) < count:
        collect()
    return found[:count]
