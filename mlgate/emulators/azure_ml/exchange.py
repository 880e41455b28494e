"""Requests and answers without sockets, so that routes are plain functions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

REGION = "westeurope"
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is decoded, `target` is unchanged; `headers` have lower-case names.

    `query` keeps the names as sent; a name that was sent twice has its last value.
    """

    method: str
    host: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is sent unchanged if it is bytes, else as JSON; None is empty."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = JSON

    def payload(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Drop(Exception):
    """Reset the connection without an answer; with `hang`, only when the server stops."""

    def __init__(self, *, hang: bool = False) -> None:
        super().__init__()
        self.hang = hang


@dataclass(frozen=True, slots=True)
class Detail:
    """One of `error.details`."""

    code: str
    message: str

    def json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "details": [], "additionalInfo": []}


class Refusal(Exception):
    """The service's error answer; `inner` has the codes of its InnerError, outermost first."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: tuple[Detail, ...] = (),
        inner: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details
        self.inner = inner
        self.headers = headers or {}

    def answer(self) -> Answer:
        """In the form that test_ray_command_job and test_command_job_register_output recorded."""
        info: list[tuple[str, Any]] = [
            ("ComponentName", "managementfrontend"),
            ("Correlation", {"operation": secrets.token_hex(16), "request": secrets.token_hex(8)}),
            ("Environment", REGION),
            ("Location", REGION),
            ("Time", datetime.now(UTC).isoformat()),
        ]
        if self.inner:
            nested: dict[str, Any] | None = None
            for code in reversed(self.inner):
                nested = {"code": code, "innerError": nested}
            info.append(("InnerError", nested))
        error = {
            "code": self.code,
            "message": str(self),
            "details": [detail.json() for detail in self.details],
            "additionalInfo": [{"type": kind, "info": {"value": value}} for kind, value in info],
        }
        headers = {"x-ms-response-type": "error", **self.headers}
        return Answer(self.status, {"error": error}, headers)
