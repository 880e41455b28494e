"""A loaded model that answers HTTP requests, independent of the HTTP server.

    POST /invocations               MLflow's scoring protocol, JSON or CSV: {"predictions": [..]}
    POST /predict, /api/predict     the same; the answer to JSON has the form of its request

An error is `{"error_code", "message"}`. It says what the caller can do, and nothing about the
model's internals: those are in the log, under the number in the answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlgate.scorer import csv_rows, requests
from mlgate.scorer.answers import alike
from mlgate.scorer.errors import BadMedia, BadRequest, NotAsRecorded
from mlgate.scorer.loading import Model, answer, load
from mlgate.scorer.requests import OF_MLFLOW, Request
from mlgate.scorer.wording import short

INVOCATIONS = "/invocations"
ROUTES = (INVOCATIONS, "/predict", "/api/predict")
JSON, CSV = "application/json", "text/csv"
CODES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL_ERROR",
    503: "NO_MODEL",
}

_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_MESSAGE = 2_000  # characters
_TRACE = 60_000
_ANSWER = 200


@dataclass(frozen=True)
class Reply:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with an error; `status` is one of `CODES`."""
    said = {"error_code": CODES[status], "message": short(message, _MESSAGE)}
    return Reply(status, JSON, json.dumps(said).encode(), headers or {})


def to_standard_error(text: str) -> None:
    """Write to standard error, even if the model has replaced `sys.stderr`."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.__stderr__.write(f"{text}\n")  # type: ignore[union-attr] # there may be none
        sys.__stderr__.flush()  # type: ignore[union-attr]


class Scorer:
    """A loaded model with its identity: `churn@3f9a1c0b7d52`, entry 42.

    Several threads may use it; it asks the model one request at a time. `log` gets the details that
    callers don't see.
    """

    def __init__(
        self, model: Model, name: str, number: int, log: Callable[[str], None] = to_standard_error
    ) -> None:
        self.headers = {"mlgate-model": name, "mlgate-model-number": str(number)}
        self._model, self._log = model, log
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        model_path: str | Path,
        format: str,  # noqa: A002 -- as the manifest calls it
        *,
        name: str,
        number: int,
        example: Any = None,
        answer: Any = None,
        log: Callable[[str], None] = to_standard_error,
    ) -> Scorer:
        """Load a model, and check that it answers its example as recorded, if it has one.

        Raises ScorerError, for example NotAsRecorded, and any exception of the model.
        """
        with _in_one_process():
            model = load(Path(model_path), format)
        made = cls(model, name, number, log)
        if example is not None:
            found = made._answer(requests.of_json(example))
            if answer is not None and not alike(found, answer):
                raise NotAsRecorded(
                    f"the model answers its example with {_shown(found)}, but {_shown(answer)} was "
                    "recorded: its environment differs from the one it was checked in, or its "
                    "answers depend on more than its files and the request"
                )
        return made

    def reply(self, path: str, content_type: str | None, body: bytes) -> Reply:
        """The reply to a POST. Raises nothing, whatever the model does."""
        try:
            if path not in ROUTES:
                return refusal(404, f"POST to one of {', '.join(ROUTES)}", self.headers)
            request = self._request(content_type, body)
            found = self._answer(
                replace(request, form=OF_MLFLOW) if path == INVOCATIONS else request
            )
            return Reply(200, JSON, json.dumps(found, allow_nan=False).encode(), self.headers)
        except BadMedia as error:
            return refusal(415, str(error), self.headers)
        except BadRequest as error:
            return refusal(400, str(error), self.headers)
        except BaseException as error:  # noqa: BLE001 -- SystemExit too: the model may raise it
            number = secrets.token_hex(4)
            self._log(f"error {number}: POST {path}\n{trace_of(error)}")
            return refusal(500, f"error {number}: see the server's log", self.headers)

    def _request(self, content_type: str | None, body: bytes) -> Request:
        """Raises BadRequest."""
        if _media(content_type) == CSV:
            table = csv_rows.read(requests.text_of(body), self._model.signature)
            return Request(OF_MLFLOW, table)
        return requests.read(body)

    def _answer(self, request: Request) -> Any:
        with self._lock, _in_one_process():
            return answer(self._model, request)


@contextlib.contextmanager
def _in_one_process() -> Iterator[None]:
    """End a fork of the model that returns from the model's code: only this process may reply."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(1)


def _media(content_type: str | None) -> str:
    """The body's media type, JSON by default. Raises BadMedia."""
    media, *parameters = (content_type or JSON).split(";")
    media = media.strip().lower()
    if media not in (JSON, CSV):
        raise BadMedia(
            f"the content type {short(media)!r} is not supported: send {JSON} or {CSV} in UTF-8"
        )
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        key, value = key.strip().lower(), value.strip().strip("\"'").lower()
        if key == "charset" and value not in _CHARSETS:
            raise BadMedia(f"the charset {short(value)!r} is not supported: send UTF-8")
        if key == "format":  # from MLflow 1, which reads the same bodies differently
            raise BadMedia(
                f"the parameter format={short(value)} is from MLflow 1: send {JSON} with one of "
                f"{', '.join(requests.MLFLOW_KEYS)}"
            )
    return media


def trace_of(error: BaseException) -> str:
    """The traceback for the log, shortened in the middle."""
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001 -- an exception may be of any class
        text = f"{type(error).__qualname__}, which cannot be shown"
    text = text.strip()
    return text if len(text) <= _TRACE else f"{text[: _TRACE // 2]}\n…\n{text[-_TRACE // 2 :]}"


def _shown(value: Any) -> str:
    return short(json.dumps(value), _ANSWER)
