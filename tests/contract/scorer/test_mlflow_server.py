"""What MLflow's own scoring server answers, ours answers; but for what is listed here, and why."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.scorer import differential
from tests.contract.scorer.conftest import PYTHON, ROOT

CASES = [f"{model}: {name}" for model, cases in differential.CASES.items() for name in cases]

# What differs on purpose.
EXTRA = "a column that the model does not take is a mistake of the caller's, and is named"
TYPES = "a value of another type is named with its row and column; MLflow casts it"
FORMS = "our other forms, and rows in the model's order, are taken on every route"
NULL = "JSON has no NaN: null"
RAISED = "what the model raises is 500; its traceback is in the log, not in the answer"
MEDIA = "content types are read as RFC 9110 has them, and JSON where nobody says"
STRICT = "what would be dropped or read in two ways is refused"
PARQUET = "Parquet needs a library of many megabytes, and is not taken"
CRASHES = "the caller's mistake is 400; MLflow's server fails"
TIMES = "a model with a column of times takes CSV; MLflow cannot read one"
DELIBERATE = {
    "flow: a column more": EXTRA,
    "flow: CSV with a column more": EXTRA,
    "flow: CSV with an index": EXTRA,
    "flow: text that is a number": TYPES,
    "flow: truth for a number": TYPES,
    "flow: a fraction for a whole number": TYPES,
    "flow: a whole number that is too large": TYPES,
    "kinds: a number for text": TYPES,
    "kinds: text for truth": TYPES,
    "flow: columns": FORMS,
    "flow: rows": FORMS,
    "flow: positions": FORMS,
    "flow: instances of lists": FORMS,
    "flow: inputs of lists": FORMS,
    "kinds: null for text": NULL,
    "kinds: null for a fraction": NULL,
    "untold: split": NULL,
    "untold: CSV": NULL,
    "untold: CSV of numbers": NULL,
    "untold: not a number": NULL,
    "untold: raises": RAISED,
    "flow: no content type": MEDIA,
    "flow: a parameter of the content type": MEDIA,
    "flow: content type in capitals": MEDIA,
    "flow: a key beside": STRICT,
    "flow: a key twice": STRICT,
    "flow: UTF-16": STRICT,
    "flow: params that are a number": STRICT,
    "untold: CSV with a name twice": STRICT,
    "flow: Parquet that is none": PARQUET,
    "flow: nested without end": CRASHES,
    "kinds: CSV": TIMES,
    "kinds: CSV with what is missing": TIMES,
}


@pytest.fixture(scope="module")
def found(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("differential")
    shutil.copytree(models / "flow", folder / "flow")
    command = list(map(str, (PYTHON, differential.__file__, ROOT, folder)))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


def same(one: list[Any], other: list[Any]) -> bool:
    """Status and predictions; an error's words are each server's own."""
    if one[0] != other[0] or one[0] != 200:
        return bool(one[0] == other[0])
    return bool(json.loads(one[1]) == json.loads(other[1]))


@pytest.mark.parametrize("case", CASES)
def test_the_same_is_answered(found: dict[str, Any], case: str) -> None:
    both = found[case]

    assert same(both["theirs"], both["ours"]) is (case not in DELIBERATE), both
    if DELIBERATE.get(case) == NULL:
        theirs = json.loads(both["theirs"][1], parse_constant=lambda _: None)
        assert both["ours"] == [200, json.dumps(theirs)]


def test_no_answer_of_ours_has_more_than_a_sentence(found: dict[str, Any]) -> None:
    """Neither a traceback, nor the caller's data, nor what JSON has not; MLflow's have them."""
    theirs = "".join(both["theirs"][1] for both in found.values())
    assert "Traceback" in theirs
    for case, both in found.items():
        status, said = both["ours"]
        answer = json.loads(said, parse_constant=pytest.fail)
        assert "Traceback" not in said
        assert "secret" not in said
        if status != 200:
            assert answer.keys() == {"error_code", "message"}, case
            assert len(said) < 1_000
        assert bool(both["log"]) is (status == 500)


def test_what_differs_is_still_asked() -> None:
    assert {*DELIBERATE} <= {*CASES}
    assert len(CASES) == len({*CASES}) >= 60
