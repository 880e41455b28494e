"""A kept model is asked each request of a file of the repository, whatever becomes of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.launcher.harness import Run
from tests.contract.launcher.models import (
    ASKED,
    ASKED_ONCE,
    ROWS,
    UNASKED,
    Serve,
    predict,
    recorded,
)
from tests.support.models import SUM, pickled


def asking(serve: Serve, source: str, *bodies: Any, kept: Any = None, **more: Any) -> Run:
    """A serving run of a model of this source, with a file of requests."""
    files = {"ask/r.json": json.dumps(bodies)}
    more = {"requests": "ask/r.json", "must_answer": True, **more}
    return serve({"m.pkl": pickled(source), **(kept or {})}, files=files, path="m.pkl", **more)


FORMS = [ROWS, {"instances": [[1, 2]]}, {"a": {"0": 1}, "b": {"0": 5}}]


def test_each_request_is_answered_once_by_one_process(serve: Serve) -> None:
    tell = "import os\n" + SUM + "        \n"
    told = SUM.replace(
        "        return", "        print('asked', [*map(list, rows)])\n        return"
    )
    run = asking(serve, tell + told, *FORMS)

    assert run.outcome["status"] == "succeeded", run.log
    assert run.outcome["warnings"] == []
    metrics = run.outcome["metrics"]
    assert metrics.keys() == {*UNASKED, *ASKED_ONCE}
    assert [metrics[name] for name in ("requests", "failures", "failure_ratio")] == [3, 0, 0]
    assert 0 < metrics["p50_ms"] <= metrics["p95_ms"] <= metrics["p99_ms"] < 60_000
    first, second = run.log.split("loading it in another process")
    assert first.count("asked [") == 3
    assert "answered 3 of ask/r.json in " in first
    assert second.count("asked [") == 2  # the first one, as the example that is kept


def test_without_an_example_the_first_request_is_kept_as_the_example(serve: Serve) -> None:
    run = asking(serve, SUM, *FORMS)

    assert (recorded(run)["example"], recorded(run)["answer"]) == (ROWS, [3.0, 7.5])
    assert recorded(run)["warnings"] == []


def test_with_an_example_that_one_is_kept_and_the_requests_alone_are_counted(serve: Serve) -> None:
    example = {"outputs/example.json": json.dumps({"instances": [[20, 22]]})}
    run = asking(serve, SUM, *FORMS, kept=example, **ASKED)

    assert recorded(run)["example"] == {"instances": [[20, 22]]}
    assert recorded(run)["answer"] == {"predictions": [42.0]}
    assert run.outcome["metrics"]["requests"] == 3


def test_a_first_request_that_is_too_large_is_not_kept(serve: Serve) -> None:
    source = "class Model:\n  def predict(self, rows): return [1]"
    run = asking(serve, source, [["x" * (1 << 20)]])
    assert run.outcome["status"] == "succeeded", run.log
    assert (recorded(run)["example"], recorded(run)["answer"]) == (None, None)
    assert "put a smaller one first" in recorded(run)["warnings"][0]


RAISES = """
class Model:
    def predict(self, rows):
        return [1 / value for [value] in rows]
"""


def test_a_request_that_fails_keeps_none_from_being_asked_and_fails_the_run(serve: Serve) -> None:
    bodies = [{"instances": [[value]]} for value in (1, 0, 2, 0)]
    run = asking(serve, RAISES, *bodies)

    assert (run.exit_code, run.failure["kind"]) == (1, "code")
    assert run.failure["message"] == (
        "2 of 4 requests failed. The first: the model could not answer request 2 of "
        "ask/r.json: ZeroDivisionError: division by zero"
    )
    assert run.failure["traceback"].endswith("ZeroDivisionError: division by zero")
    assert "could not answer request 4 of ask/r.json" in run.log
    metrics = run.outcome["metrics"]
    assert metrics.keys() == {*UNASKED, *ASKED_ONCE}
    assert [metrics[name] for name in ("requests", "failures", "failure_ratio")] == [4, 2, 0.5]
    assert run.outcome["outputs"] == ["outputs/metrics.json"]


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ([{"a": 1, "c": 2}], "invalid", "was refused: unknown column `c`; missing column `b`"),
        ({"a": 1, "b": 2}, "invalid", "was refused: the request has no known format"),
        (None, "invalid", "was refused: the request is null"),
        ([{"a": None, "b": 2}], "code", "TypeError"),
    ],
)
def test_a_request_that_the_model_does_not_take_is_a_failure(
    serve: Serve, body: Any, kind: str, said: str
) -> None:
    run = asking(serve, SUM, ROWS, body)

    assert (run.failure["kind"], said in run.failure["message"]) == (kind, True), run.failure
    assert "request 2 of ask/r.json" in run.failure["message"]
    assert run.outcome["metrics"]["failures"] == 1


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        (
            "sys.exit(0)",
            "code",
            "the model could not answer request 2 of ask/r.json: SystemExit: 0",
        ),
        ("raise MemoryError", "out_of_memory", "MemoryError"),
        ("return {object()}", "code", "request 2 of ask/r.json was refused: the model answered"),
    ],
)
def test_whatever_a_model_does_with_one_request_the_next_is_asked(
    serve: Serve, line: str, kind: str, said: str
) -> None:
    source = predict(f"if rows[0] == [2]: {line}")
    run = asking(serve, source, [[1]], [[2]], [[3]])

    assert run.failure["kind"] == kind, run.failure
    assert said in run.failure["message"]
    assert (run.outcome["metrics"]["requests"], run.outcome["metrics"]["failures"]) == (3, 1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("os._exit(0)", "the model ended its process while it answered request 2 of ask/r.json"),
        ("os.abort()", "killed by SIGABRT (signal 6) while it answered request 2 of ask/r.json"),
    ],
)
def test_a_model_that_ends_its_process_answers_no_more(serve: Serve, line: str, said: str) -> None:
    run = asking(serve, predict(f"if rows[0] == [2]: {line}"), [[1]], [[2]], [[3]])

    assert said in run.failure["message"]
    metrics = run.outcome["metrics"]
    assert metrics.keys() == {*UNASKED, "failure_ratio"}
    assert (metrics["requests"], metrics["failures"]) == (2, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file ask/r.json in the repository"),
        ("{", "ask/r.json has no requests: the request is not JSON"),
        ('{"instances": [[1]]}', "ask/r.json is not a list: write a list of request bodies"),
        ("[]", "ask/r.json is an empty list"),
        (f"[{'0,' * 100_000}0]", "ask/r.json has 100,001 requests, more than 100,000"),
        (" " * (16 << 20) + "[]", "ask/r.json has more than 16 MiB of requests"),
    ],
    ids=["missing", "no JSON", "one request", "empty", "many", "large"],
)
def test_a_file_without_requests_is_invalid(serve: Serve, content: str | None, said: str) -> None:
    files = {} if content is None else {"ask/r.json": content}
    run = serve({"m.pkl": pickled()}, files=files, requests="ask/r.json", must_answer=True)

    assert (run.failure["kind"], said in run.failure["message"]) == ("invalid", True), run.failure
