"""What a caller gets, right or wrong, from a model that is loaded in this process."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgate.scorer.errors import BadRequest, NotAsRecorded, Unusable
from mlgate.scorer.replies import CODES, ROUTES, Reply, Scorer, refusal
from tests.support.models import SUM, pickled

JSON, CSV = "application/json", "text/csv"
ROWS = [{"b": 2, "a": 1}, {"b": 4, "a": 3.5}]
COLUMNS = {"b": {"0": 2, "1": 4}, "a": {"0": 1, "1": 3.5}}
FAMILIES: dict[str, tuple[str, Any]] = {
    "split": (JSON, {"dataframe_split": {"columns": ["b", "a"], "data": [[2, 1], [4, 3.5]]}}),
    "records": (JSON, {"dataframe_records": ROWS}),
    "instances": (JSON, {"instances": ROWS}),
    "arrays": (JSON, {"instances": [[1, 2], [3.5, 4]]}),
    "inputs": (JSON, {"inputs": [[1, 2], [3.5, 4]]}),
    "named": (JSON, {"inputs": {"b": [2, 4], "a": [1, 3.5]}}),
    "csv": (CSV, "b,a\n2,1\n4,3.5\n"),
    "columns": (JSON, COLUMNS),
    "rows": (JSON, ROWS),
    "positions": (JSON, [[1, 2], [3.5, 4]]),
}
FORMS: dict[str, Any] = {
    "columns": {"prediction": [3.0, 7.5]},
    "rows": [3.0, 7.5],
    "positions": [3.0, 7.5],
}

Load = Callable[..., Scorer]


class Logged(Scorer):
    log: list[str]


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def load(tmp_path: Path, log: list[str]) -> Load:
    def load(source: str = SUM, expression: str = "Model()", **more: Any) -> Scorer:
        (tmp_path / "m.pkl").write_bytes(pickled(source, expression))
        name = "churn@3f9a1c0b7d52"
        path = tmp_path / "m.pkl"
        return Scorer.load(path, "pickle", name=name, number=42, log=log.append, **more)

    return load


def body(said: Any) -> bytes:
    return (
        said
        if isinstance(said, bytes)
        else (said if isinstance(said, str) else json.dumps(said)).encode()
    )


def error_of(reply: Reply) -> tuple[int, str, str]:
    said = json.loads(reply.body)
    assert said.keys() == {"error_code", "message"}
    assert reply.content_type == JSON
    return reply.status, said["error_code"], said["message"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", ROUTES)
def test_every_family_is_answered_on_every_route(load: Load, path: str, family: str) -> None:
    content_type, said = FAMILIES[family]
    reply = load().reply(path, content_type, body(said))

    form = {} if path == "/invocations" else FORMS
    assert (reply.status, reply.content_type) == (200, JSON)
    assert json.loads(reply.body) == form.get(family, {"predictions": [3.0, 7.5]})


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/json; odata.metadata=minimal",
    ],
)
def test_json_is_taken_however_it_is_called(load: Load, content_type: str | None) -> None:
    assert load().reply("/predict", content_type, body(ROWS)).status == 200
    assert load().reply("/predict", content_type, b"\xef\xbb\xbf" + body(ROWS)).status == 200


def test_every_answer_says_which_model_it_is_of(load: Load) -> None:
    expected = {"mlgate-model": "churn@3f9a1c0b7d52", "mlgate-model-number": "42"}
    broken = load("class Model:\n  def predict(self, rows): 1/0")

    assert load().reply("/predict", JSON, body(ROWS)).headers == expected
    assert load().reply("/predict", JSON, b"").headers == expected
    assert load().reply("/predict", "text/html", b"").headers == expected
    assert broken.reply("/predict", JSON, body(ROWS)).headers == expected


@pytest.mark.parametrize(
    ("content_type", "said", "status", "message"),
    [
        (JSON, b"", 400, "the request is not JSON"),
        (JSON, b"{", 400, "the request is not JSON"),
        (JSON, b"\xff\xfe", 400, "the request is not UTF-8"),
        (JSON, b'[[1, "\\ud800"', 400, "the request is not JSON"),
        (CSV, b"a,b\n\xff,1", 400, "the request is not UTF-8: invalid start byte at byte 5"),
        (CSV, b"", 400, "the CSV is empty"),
        (CSV, b"a,b\n", 400, "the request has no rows: send at least one"),
        (JSON, {}, 400, "no known format: send a JSON object with one of dataframe_split"),
        (JSON, 3, 400, "the request is a number"),
        (JSON, [], 400, "the request has no rows"),
        (JSON, {"inputs": {}}, 400, "the request has no rows"),
        (JSON, {"inputs": [1], "instances": [1]}, 400, "several formats, instances and inputs"),
        (JSON, [{"a": 1, "bb": 2}], 400, "unknown column `bb` (did you mean `b`?); missing column"),
        (JSON, [{"a": 1}], 400, "missing column `b`. The model accepts a, b"),
        (JSON, [{"a": 1, "b": 2, "c": 3}], 400, "unknown column `c`. The model accepts a, b"),
        (JSON, [[1, 2], [3]], 400, "row 2 has 1 value, but row 1 has 2"),
        (
            JSON,
            {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3]]}},
            400,
            "row 2 ha",
        ),
        (JSON, {"inputs": [[1, 2]], "params": {"x": 1}}, 400, "the model does not accept params"),
        (JSON, '[{"a": 1, "b": 2, "a": 3}]', 400, "the key `a` appears twice"),
        (JSON, "[[1e999, 1]]", 400, "the number 1e999 is too large"),
        (JSON, "[" * 1_000_000, 400, "nested too deeply"),
        (JSON, '{"a":' * 100_000, 400, "nested too deeply"),
        (JSON, "[" * 500 + "]" * 500, 400, "nested too deeply"),
        ("application/x-www-form-urlencoded", ROWS, 415, "send application/json or text/csv"),
        ("application/vnd.apache.parquet", b"PAR1", 415, "send application/json or text/csv"),
        ("text/html", ROWS, 415, "'text/html' is not supported"),
        ("json", ROWS, 415, "'json' is not supported"),
        ("application/json; charset=latin-1", ROWS, 415, "the charset 'latin-1' is not supported"),
        (
            "application/json; format=pandas-split",
            ROWS,
            415,
            "format=pandas-split is from MLflow 1",
        ),
        ("x" * 100_000, ROWS, 415, "xxx…' is not supported"),
    ],
)
@pytest.mark.parametrize("path", ["/invocations", "/predict"])
def test_what_is_wrong_is_told(
    load: Load, log: list[str], path: str, content_type: str, said: Any, status: int, message: str
) -> None:
    reply = load().reply(path, content_type, body(said))

    found, code, told = error_of(reply)
    assert (found, code) == (status, CODES[status])
    assert message in told
    assert len(told) < 2_000
    assert log == []


def test_another_path_is_not_found(load: Load) -> None:
    assert error_of(load().reply("/models", JSON, body(ROWS)))[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("line", "logged"),
    [
        ("{}['secret']", "KeyError: 'secret'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise MemoryError", "MemoryError"),
        ("self.predict(rows)", "RecursionError"),
        ("return object()", "answered with builtins.object, which JSON cannot"),
        ("raise BadText", "BadText"),
        ("raise ValueError('x' * 1_000_000)", "ValueError: xxx"),
        ("raise ValueError('\\ud800')", "ValueError: \ud800"),
    ],
)
def test_what_the_model_raises_is_in_the_log_alone(
    load: Load, log: list[str], line: str, logged: str
) -> None:
    source = f"""
class BadText(Exception):
    def __str__(self): raise ValueError('no text')
class Model:
    def predict(self, rows):
        {line}
"""
    scorer = load(source)
    status, code, message = error_of(scorer.reply("/predict", JSON, body(ROWS)))

    assert (status, code) == (500, "INTERNAL_ERROR")
    number = re.fullmatch(r"error ([0-9a-f]{8}): see the server's log", message)
    [text] = log
    assert number
    assert text.startswith(f"error {number[1]}: POST /predict\n")
    assert logged in text
    assert len(text) < 70_000
    assert error_of(scorer.reply("/predict", JSON, body(ROWS)))[2] != message


WHOLE = "class Model:\n  def predict(self, rows): return [int(row[0]) for row in rows]"
FINITE = """
import math
class Model:
    def predict(self, rows):
        for value in (value for row in rows for value in row):
            if value is None or not math.isfinite(float(value) * 1e300):
                raise ValueError("Input X contains NaN. This model does not accept it.")
        return [0 for row in rows]
"""
LOG = """
class Model:
    def predict(self, rows):
        raise ValueError("Input X contains infinity or a value too large for dtype('float64').")
"""
OWN = "class Model:\n  def predict(self, rows): return [float('own') for row in rows]"


@pytest.mark.parametrize(
    ("source", "sent", "status", "said"),
    [
        (
            SUM,
            [{"a": 1, "b": 2}, {"a": "x", "b": 2}],
            400,
            "row 2, column `a`: 'x' is not a number",
        ),
        (SUM, [{"a": "x", "b": "x"}], 400, "row 1: 'x' is not a number, but the model needs one"),
        (SUM, [{"a": "it's", "b": 1}], 400, 'row 1, column `a`: "it\'s" is not a number'),
        (WHOLE, [["1"], ["1.5"]], 400, "row 2: '1.5' is not a number"),
        (WHOLE, [[None]], 500, "see the server's log"),  # a TypeError names no value
        (OWN, [["x"]], 500, "see the server's log"),
        (FINITE, [[1, 2], [1, None]], 400, "row 2: the value is missing, but the model needs one"),
        (FINITE, [{"a": 1, "b": None}], 400, "row 1, column `b`: the value is missing"),
        (FINITE, [[float("nan")]], 400, "row 1: the value is missing"),
        (FINITE, [[float("-inf")]], 400, "row 1: the value is missing"),  # JSON has none
        (LOG, [[0, None]], 500, "see the server's log"),  # the model replaces what is missing
        (FINITE, [[1e300]], 500, "see the server's log"),  # the model made it infinite
    ],
)
def test_a_value_that_the_model_needs_as_a_number_is_the_callers_fault(
    load: Load, source: str, sent: Any, status: int, said: str
) -> None:
    found, _, message = error_of(load(source).reply("/predict", JSON, body(sent)))
    assert (found, said in message) == (status, True), message


def test_without_a_log_it_is_standard_error(
    load: Load, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "class Model:\n  def predict(self, rows):\n    import sys; sys.stderr = None; 1/0"
    scorer = Scorer(load(source)._model, "m", 1)
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    monkeypatch.setattr(sys, "stderr", sys.stderr)

    assert scorer.reply("/predict", JSON, body(ROWS)).status == 500
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_nothing_in_an_answer_is_what_json_has_not(load: Load) -> None:
    values = "[float('nan'), float('inf'), -float('inf'), 1e300, '\\ud800', 'é']"
    reply = load(f"class Model:\n  def predict(self, rows): return {values}").reply(
        "/predict", JSON, body(ROWS)
    )

    assert json.loads(reply.body, parse_constant=pytest.fail)[:4] == [None, None, None, 1e300]
    assert reply.body.isascii()


def test_a_model_is_asked_by_one_at_a_time(load: Load) -> None:
    source = """
import time
class Model:
    inside = 0
    def predict(self, rows):
        self.inside += 1
        time.sleep(0.01)
        found = self.inside
        self.inside -= 1
        return [found]
"""
    scorer = load(source)
    replies: list[Reply] = []
    ask = lambda: replies.append(scorer.reply("/predict", JSON, body(ROWS)))  # noqa: E731 -- a statement in one line
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {reply.body for reply in replies} == {b"[1]"}


def test_a_fork_of_the_models_has_nothing_to_say(load: Load, tmp_path: Path) -> None:
    """It ends where it comes back, so what follows happens once."""
    source = """
import os
class Model:
    def predict(self, rows):
        if os.fork() == 0 and rows[0][0] == 1: raise ValueError
        return [1]
"""
    scorer = load(source)
    for row in ([1], [2]):
        scorer.reply("/predict", JSON, body([row]))
        with (tmp_path / "who").open("a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(0.2)

    assert (tmp_path / "who").read_text() == f"{os.getpid()}\n" * 2


def test_the_example_is_answered_as_on_record(load: Load) -> None:
    assert load(example=ROWS, answer=[3.0, 7.5 + 1e-9])
    assert load(example=ROWS, answer=None)
    assert load(example=COLUMNS, answer={"prediction": [3, 7.5]})
    with pytest.raises(NotAsRecorded, match=r"with \[3.0, 7.5\], but \[3.0, 8.5\] was recorded"):
        load(example=ROWS, answer=[3.0, 8.5])


def test_what_keeps_a_model_from_being_asked_is_raised(load: Load) -> None:
    with pytest.raises(Unusable, match="has no predict"):
        load(expression="3")
    with pytest.raises(ZeroDivisionError):
        load("1/0")
    with pytest.raises(BadRequest):
        load(example=[{"c": 1}])


@pytest.mark.parametrize("status", CODES)
def test_a_refusal_is_json(status: int) -> None:
    reply = refusal(status, "why", {"Retry-After": "30"})

    assert error_of(reply) == (status, CODES[status], "why")
    assert reply.headers == {"Retry-After": "30"}


MANY = 200_000
NAMES = ",".join(f"c{number}" for number in range(MANY))
QUOTED = ",".join(f'"c{number}"' for number in range(MANY))
COUNT = "class Model:\n  def predict(self, rows): return len(rows)"
LARGE: dict[str, tuple[str, str, int]] = {
    "columns of a split": (JSON, f'{{"dataframe_split":{{"columns":[{QUOTED}],"data":[]}}}}', 400),
    "columns of CSV": (CSV, f"{NAMES}\n{'1,' * (MANY - 1)}1\n", 400),
    "keys beside": (JSON, f'{{"inputs":[1],{QUOTED.replace(chr(44), ":1,")}:1}}', 400),
    "columns of lists": (JSON, f'{{"inputs":{{{QUOTED.replace(chr(44), ":[],")}:[1]}}}}', 400),
    "rows": (JSON, f"[{'[1,2],' * MANY}[1,2]]", 200),
    "lists in lists": (JSON, f"[{'[[]],' * MANY}[[]]]", 400),
    "short rows": (JSON, f"[{'[],' * MANY}[1]]", 400),
    "one name": (JSON, f'[{{"{"x" * 5_000_000}":1}}]', 400),
    "one value": (JSON, f'[["{"x" * 5_000_000}",1]]', 400),
    "digits": (JSON, f"[[{'1' * 5_000_000},1]]", 400),
    "digits again and again": (JSON, f"[[{('1' * 199 + ',') * 25_000}1]]", 400),
    "digits of CSV": (CSV, f"a,b\n{'1' * 5_000_000},1\n", 200),
    "points of CSV": (CSV, f"a,b\n{'.1' * 2_500_000},1\n", 400),
    "spaces of CSV": (CSV, f"a,b\n{' ' * 5_000_000},1\n", 400),
    "keys twice": (JSON, f'[{{{QUOTED.replace(chr(44), ":1,")}:1,"c0":1}}]', 400),
}


@pytest.mark.parametrize("case", LARGE)
def test_what_is_large_is_answered_soon(load: Load, case: str) -> None:
    """Seconds where it is linear; minutes and more where it is not."""
    content_type, said, status = LARGE[case]
    scorer = load()
    began = time.process_time()
    reply = scorer.reply("/invocations", content_type, said.encode())

    assert reply.status == status, reply.body[:500]
    assert time.process_time() - began < 15
    if status != 200:
        assert len(reply.body) < 5_000


def test_without_a_signature_columns_are_bounded(load: Load) -> None:
    said = f'{{"dataframe_split":{{"columns":[{QUOTED}],"data":[[{"1," * (MANY - 1)}1]]}}}}'

    assert "200000 columns, but a model without a signature accepts" in str(
        load(COUNT).reply("/predict", JSON, said.encode()).body
    )
