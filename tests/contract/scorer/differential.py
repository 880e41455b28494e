"""Asks MLflow's own scoring server and ours the same, in the environment that has its libraries.

    python differential.py ROOT FOLDER     prints what both answered, as JSON

No network: MLflow's application is called as a server calls it (ASGI).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

JSON, CSV = "application/json", "text/csv"

SPLIT: Any = {"columns": ["a", "b"], "data": [[1, 0], [4, 1]]}
RECORDS: Any = [{"a": 1, "b": 0}, {"a": 4, "b": 1}]
FLOW: dict[str, tuple[str | None, Any]] = {
    # valid
    "split": (JSON, {"dataframe_split": SPLIT}),
    "split, other order": (JSON, {"dataframe_split": {"columns": ["b", "a"], "data": [[0, 1]]}}),
    "split with index": (JSON, {"dataframe_split": {**SPLIT, "index": [0, 1]}}),
    "records": (JSON, {"dataframe_records": RECORDS}),
    "records, keys in another order": (JSON, {"dataframe_records": [{"b": 0, "a": 1}, *RECORDS]}),
    "instances of objects": (JSON, {"instances": RECORDS}),
    "inputs by column": (JSON, {"inputs": {"a": [1, 4], "b": [0, 1]}}),
    "inputs of one row": (JSON, {"inputs": {"a": [1], "b": [0]}}),
    "inputs of objects": (JSON, {"inputs": RECORDS}),
    "whole numbers for fractions": (JSON, {"dataframe_records": [{"a": 1, "b": 0}]}),
    "fractions": (JSON, {"dataframe_records": [{"a": 1.5, "b": 0}]}),
    "a fraction without one": (JSON, {"dataframe_records": [{"a": 1, "b": 1.0}]}),
    "null params": (JSON, {"dataframe_split": SPLIT, "params": None}),
    "empty params": (JSON, {"dataframe_split": SPLIT, "params": {}}),
    "charset": ("application/json; charset=utf-8", {"dataframe_split": SPLIT}),
    "charset in capitals": ("application/json; charset=UTF-8", {"dataframe_split": SPLIT}),
    "byte order mark": (JSON, b"\xef\xbb\xbf" + json.dumps({"dataframe_split": SPLIT}).encode()),
    "CSV": (CSV, "a,b\n1,0\n4,1\n"),
    "CSV with carriage returns": (CSV, "a,b\r\n1,0\r\n4,1\r\n"),
    "CSV, other order": (CSV, "b,a\n0,1\n1,4\n"),
    "CSV, quoted": (CSV, '"a","b"\n"1","0"\n'),
    "CSV with blank lines": (CSV, "a,b\n\n1,0\n\n"),
    "CSV without a last line's end": (CSV, "a,b\n1,0"),
    "CSV with a charset": ("text/csv; charset=utf-8", "a,b\n1,0\n"),
    "CSV with exponents": (CSV, "a,b\n1e0,0\n"),
    "CSV with spaces": (CSV, "a,b\n 1,0\n"),
    "CSV with a byte order mark": (CSV, b"\xef\xbb\xbfa,b\n1,0\n"),
    "a column more": (JSON, {"dataframe_records": [{"a": 1, "b": 0, "c": 3}]}),
    "CSV with a column more": (CSV, "a,b,c\n1,0,3\n"),
    "CSV with an index": (CSV, ",a,b\n0,1,0\n"),
    "params that are not known": (JSON, {"dataframe_split": SPLIT, "params": {"x": 1}}),
    "a key beside": (JSON, {"dataframe_split": SPLIT, "more": 1}),
    "a key twice": (JSON, '{"dataframe_records": [{"a": 1, "b": 0, "a": 4}]}'),
    "columns": (JSON, {"a": {"0": 1, "1": 4}, "b": {"0": 0, "1": 1}}),
    "rows": (JSON, RECORDS),
    "positions": (JSON, [[1, 0], [4, 1]]),
    "no content type": (None, {"dataframe_split": SPLIT}),
    "a parameter of the content type": (
        "application/json; odata=verbose",
        {"dataframe_split": SPLIT},
    ),
    "content type in capitals": ("Application/JSON", {"dataframe_split": SPLIT}),
    "UTF-16": (JSON, json.dumps({"dataframe_split": SPLIT}).encode("utf-16")),
    "instances of lists": (JSON, {"instances": [[1, 0], [4, 1]]}),
    "inputs of lists": (JSON, {"inputs": [[1, 0], [4, 1]]}),
    "split without columns": (JSON, {"dataframe_split": {"data": [[1, 0]]}}),
    "CSV with a short row": (CSV, "a,b\n1,0\n4\n"),
    "text that is a number": (JSON, {"dataframe_records": [{"a": "1", "b": 0}]}),
    "truth for a number": (JSON, {"dataframe_records": [{"a": True, "b": 0}]}),
    # invalid
    "nothing": (JSON, b""),
    "no JSON": (JSON, b'{"dataframe_split": '),
    "not UTF-8": (JSON, b'{"dataframe_split": "\xff"}'),
    "CSV that is not UTF-8": (CSV, b"a,b\n\xff,0\n"),
    "a number": (JSON, 3),
    "text": (JSON, '"text"'),
    "null": (JSON, "null"),
    "an empty object": (JSON, {}),
    "another key": (JSON, {"data": [[1, 0]]}),
    "two formats": (JSON, {"dataframe_split": SPLIT, "dataframe_records": RECORDS}),
    "two formats of lists": (JSON, {"inputs": [[1, 0]], "instances": [[1, 0]]}),
    "split that is a list": (JSON, {"dataframe_split": [1]}),
    "split without data": (JSON, {"dataframe_split": {"columns": ["a", "b"]}}),
    "split with more": (JSON, {"dataframe_split": {**SPLIT, "more": 1}}),
    "split, ragged": (JSON, {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 0], [1]]}}),
    "split, wide": (JSON, {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 0, 3]]}}),
    "split with an index of another length": (JSON, {"dataframe_split": {**SPLIT, "index": [0]}}),
    "records that are an object": (JSON, {"dataframe_records": {"a": 1}}),
    "records that are a number": (JSON, {"dataframe_records": 3}),
    "records of numbers": (JSON, {"dataframe_records": [1, 2]}),
    "a column less": (JSON, {"dataframe_records": [{"a": 1}]}),
    "a column less in one row": (JSON, {"dataframe_records": [{"a": 1, "b": 0}, {"a": 1}]}),
    "a column misspelt": (JSON, {"dataframe_records": [{"a": 1, "B": 0}]}),
    "text for a number": (JSON, {"dataframe_records": [{"a": "x", "b": 0}]}),
    "text in the second row": (JSON, {"dataframe_records": [*RECORDS, {"a": "x", "b": 0}]}),
    "a fraction for a whole number": (JSON, {"dataframe_records": [{"a": 1, "b": 0.5}]}),
    "null for a whole number": (JSON, {"dataframe_records": [{"a": 1, "b": None}]}),
    "null for a fraction": (JSON, {"dataframe_records": [{"a": None, "b": 0}]}),
    "a whole number that is too large": (JSON, {"dataframe_records": [{"a": 1, "b": 2**63}]}),
    "a number that is too large": (JSON, '{"dataframe_records": [{"a": 1e999, "b": 0}]}'),
    "digits without end": (JSON, f'{{"dataframe_records": [{{"a": {"9" * 400}, "b": 0}}]}}'),
    "a list for a number": (JSON, {"dataframe_records": [{"a": [1], "b": 0}]}),
    "an object for a number": (JSON, {"dataframe_records": [{"a": {"x": 1}, "b": 0}]}),
    "inputs of other lengths": (JSON, {"inputs": {"a": [1, 2], "b": [0]}}),
    "inputs that are a number": (JSON, {"inputs": 3}),
    "instances that are a number": (JSON, {"instances": 3}),
    "instances, ragged": (JSON, {"instances": [[1, 0], [1]]}),
    "no rows": (JSON, {"dataframe_split": {"columns": ["a", "b"], "data": []}}),
    "no records": (JSON, {"dataframe_records": []}),
    "no instances": (JSON, {"instances": []}),
    "params that are a number": (JSON, {"dataframe_split": SPLIT, "params": 3}),
    "nested without end": (JSON, b"[" * 100_000),
    "empty CSV": (CSV, b""),
    "CSV without rows": (CSV, "a,b\n"),
    "CSV with a long row": (CSV, "a,b\n1,0\n1,0,5\n"),
    "CSV with an open quote": (CSV, 'a,b\n"1,0\n'),
    "CSV with text for a number": (CSV, "a,b\nx,0\n"),
    "CSV with a column less": (CSV, "a\n1\n"),
    "CSV with nothing for a whole number": (CSV, "a,b\n1,\n"),
    "CSV that is called JSON": (JSON, "a,b\n1,0\n"),
    "JSON that is called CSV": (CSV, {"dataframe_split": SPLIT}),
    "another charset": ("application/json; charset=latin-1", {"dataframe_split": SPLIT}),
    "a form": ("application/x-www-form-urlencoded", {"dataframe_split": SPLIT}),
    "HTML": ("text/html", b"<html>"),
    "MLflow 1": ("application/json; format=pandas-split", SPLIT),
    "Parquet that is none": ("application/vnd.apache.parquet", b"PAR1"),
}
KINDS: dict[str, tuple[str | None, Any]] = {
    "all": (JSON, {"dataframe_records": [
        {"s": "x", "t": True, "d": "2026-11-29T10:00:00", "n": 1, "f": 0.5, "o": "more"}
    ]}),
    "without what is optional": (JSON, {"dataframe_records": [
        {"s": "x", "t": False, "d": "2026-11-29", "n": 1, "f": 0.5}
    ]}),
    "null for text": (JSON, {"dataframe_records": [
        {"s": None, "t": True, "d": "2026-11-29", "n": 1, "f": 0.5, "o": "more"}
    ]}),
    "null for a fraction": (JSON, {"dataframe_records": [
        {"s": "x", "t": True, "d": "2026-11-29", "n": 1, "f": None, "o": "more"}
    ]}),
    "a number for text": (JSON, {"dataframe_records": [
        {"s": 5, "t": True, "d": "2026-11-29", "n": 1, "f": 0.5, "o": "more"}
    ]}),
    "text for truth": (JSON, {"dataframe_records": [
        {"s": "x", "t": "true", "d": "2026-11-29", "n": 1, "f": 0.5, "o": "more"}
    ]}),
    "no time": (JSON, {"dataframe_records": [
        {"s": "x", "t": True, "d": "tomorrow", "n": 1, "f": 0.5, "o": "more"}
    ]}),
    "CSV": (CSV, "s,t,d,n,f,o\n00501,True,2026-11-29,1,0.5,more\n"),
    "CSV with what is missing": (CSV, "s,t,d,n,f,o\n,True,2026-11-29,1,,NA\n"),
}  # fmt: skip
TENSOR: dict[str, tuple[str | None, Any]] = {
    "instances": (JSON, {"instances": [[1, 2], [3, 4]]}),
    "inputs": (JSON, {"inputs": [[1, 2], [3, 4]]}),
    "split": (JSON, {"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}}),
    "another shape": (JSON, {"inputs": [[1, 2, 3]]}),
    "text": (JSON, {"inputs": [["x", "y"]]}),
    "ragged": (JSON, {"inputs": [[1, 2], [3]]}),
    "by name": (JSON, {"inputs": {"x": [[1, 2]]}}),
}
UNTOLD: dict[str, tuple[str | None, Any]] = {
    "split": (JSON, {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, None]]}}),
    "records": (JSON, {"dataframe_records": RECORDS}),
    "CSV": (CSV, "a,b\n1,x\n2,\n"),
    "CSV of numbers": (CSV, "a,b\n1,0.5\n2,NA\n"),
    "CSV of truths": (CSV, "a,b\nTrue,false\nFalse,true\n"),
    "CSV with a name twice": (CSV, "a,a\n1,2\n"),
    "instances": (JSON, {"instances": [[1, 2]]}),
    "inputs by name": (JSON, {"inputs": {"a": [1, 2], "b": [3, 4]}}),
    "raises": (JSON, {"dataframe_records": [{"raise": 1}]}),
    "not a number": (JSON, {"dataframe_records": [{"nan": 1}]}),
}
PARAMS: dict[str, tuple[str | None, Any]] = {
    "none": (JSON, {"inputs": {"a": [1]}}),
    "one": (JSON, {"inputs": {"a": [1]}, "params": {"k": 3}}),
    "of another type": (JSON, {"inputs": {"a": [1]}, "params": {"k": "x"}}),
    "that is not known": (JSON, {"inputs": {"a": [1]}, "params": {"z": 3}}),
}
CASES = {"flow": FLOW, "kinds": KINDS, "tensor": TENSOR, "untold": UNTOLD, "params": PARAMS}


def library(name: str) -> Any:
    """Not here when this is checked."""
    return importlib.import_module(name)


def make(folder: Path) -> None:
    pyfunc, models, types = map(library, ("mlflow.pyfunc", "mlflow.models", "mlflow.types"))
    numpy = library("numpy")
    base: Any = pyfunc.PythonModel

    class Echo(base):  # type: ignore[misc]  # MLflow's class, which has no types here
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            if params is not None and "k" in params:
                return [params["k"]]
            if isinstance(model_input, (dict, numpy.ndarray)):
                return model_input
            if "raise" in model_input:
                raise ValueError("secret")
            if "nan" in model_input:
                return [float("nan")]
            kinds = [{"name": n, "kind": str(model_input[n].dtype)} for n in model_input]
            return [kinds, model_input.astype(str).values.tolist()]

    def save(name: str, signature: Any) -> None:
        pyfunc.save_model(folder / name, python_model=Echo(), signature=signature)

    column = types.ColSpec
    save("untold", None)
    save("kinds", models.ModelSignature(types.Schema([
        column("string", "s"), column("boolean", "t"), column("datetime", "d"),
        column("long", "n"), column("double", "f"), column("string", "o", required=False),
    ])))  # fmt: skip
    tensor = types.TensorSpec(numpy.dtype("float32"), (-1, 2))
    save("tensor", models.ModelSignature(types.Schema([tensor])))
    param = types.ParamSpec("k", "long", 1)
    schema = types.Schema([column("long", "a")])
    save("params", models.ModelSignature(schema, params=types.ParamSchema([param])))


async def of_mlflow(application: Any, content_type: str | None, body: bytes) -> tuple[int, bytes]:
    said: list[dict[str, Any]] = []
    headers = [(b"content-type", content_type.encode())] if content_type is not None else []
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/invocations",
        "raw_path": b"/invocations", "query_string": b"", "headers": headers, "scheme": "http",
        "asgi": {"version": "3.0"}, "server": ("here", 80), "client": ("here", 1),
    }  # fmt: skip
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop()
        await asyncio.sleep(600)  # a caller who stays
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    try:
        await application(scope, receive, send)
    except Exception as error:  # noqa: BLE001 -- a server makes it 500
        return 500, str(error).encode()
    return said[0]["status"], b"".join(each.get("body", b"") for each in said)


def main(folder: Path) -> dict[str, Any]:
    make(folder)
    server, pyfunc = library("mlflow.pyfunc.scoring_server"), library("mlflow.pyfunc")
    replies = library("mlgate.scorer.replies")
    found: dict[str, Any] = {}
    for model, cases in CASES.items():
        place = folder / model
        application = server.init(pyfunc.load_model(str(place)))
        log: list[str] = []
        ours = replies.Scorer.load(place, "mlflow", name=model, number=1, log=log.append)
        for name, (content_type, said) in cases.items():
            text = said if isinstance(said, (str, bytes)) else json.dumps(said)
            body = text if isinstance(text, bytes) else text.encode()
            status, theirs = asyncio.run(of_mlflow(application, content_type, body))
            reply = ours.reply("/invocations", content_type, body)
            found[f"{model}: {name}"] = {
                "theirs": [status, theirs.decode("utf-8", "replace")],
                "ours": [reply.status, reply.body.decode()],
                "log": [log.pop()] if log else [],
            }
    return found


if __name__ == "__main__":
    sys.path[0] = sys.argv[1]
    logging.disable()
    with contextlib.redirect_stdout(sys.stderr):
        text = json.dumps(main(Path(sys.argv[2])))
    sys.stdout.write(text)
