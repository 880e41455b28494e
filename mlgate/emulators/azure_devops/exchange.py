"""Requests and answers without sockets, so that routes are plain functions.

JSON is read as the service's deserializer reads it: names in any case, unknown names ignored. A
client should rely on neither, so both are violations in strict mode.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is sent unchanged if it is bytes, else as JSON; None is empty."""

    status: int = 200
    body: Any = None
    content_type: str = "application/json; charset=utf-8; api-version=4.1"
    headers: Mapping[str, str] = field(default_factory=dict)

    def payload(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Refusal(Exception):
    """The service's error answer; `type_key` is the name of the service's exception."""

    def __init__(self, status: int, type_key: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.type_key = type_key

    def answer(self) -> Answer:
        name = f"Microsoft.TeamFoundation.{self.type_key}, Microsoft.TeamFoundation"
        body = {
            "$id": "1",
            "innerException": None,
            "message": str(self),
            "typeName": name,
            "typeKey": self.type_key,
            "errorCode": 0,
            "eventId": 3000,
        }
        return Answer(self.status, body)


class Drop(Exception):
    """Cut the connection without an answer; with `hang`, only when the server stops."""

    def __init__(self, *, hang: bool = False) -> None:
        super().__init__()
        self.hang = hang


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is decoded, without double slashes; `query` and `headers` have lower-case names."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def api_version(self) -> str | None:
        """From the query, or from the Accept header's `api-version` parameter."""
        if "api-version" in self.query:
            return self.query["api-version"]
        for part in self.headers.get("accept", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name.lower() == "api-version":
                return value
        return None


class Malformed(ValueError):
    """A JSON value does not have the shape that the service accepts."""


Reader = Callable[[Any], Any]  # converts a JSON value, or raises ValueError


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed("a string is expected")
    return value


def whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed("a whole number is expected")
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Malformed("true or false is expected")
    return value


def guid(value: Any) -> str:
    """The lower-case form with hyphens, which ids are compared in."""
    return str(UUID(text(value)))


def one_of(*words: str) -> Reader:
    """A reader for one of `words` in any case; returns the spelling used here."""
    spelling = {word.lower(): word for word in words}

    def read(value: Any) -> str:
        if text(value).lower() not in spelling:
            raise Malformed(f"{value!r} is not one of {', '.join(words)}")
        return spelling[value.lower()]

    return read


def list_of(reader: Reader) -> Reader:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Malformed("a list is expected")
        return [reader(item) for item in value]

    return read


def map_of(reader: Reader) -> Reader:
    """A reader for an object with any names."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Malformed("an object is expected")
        return {name: reader(item) for name, item in value.items()}

    return read


def nullable(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def object_of(
    readers: Mapping[str, Reader], required: tuple[str, ...], complain: Callable[[str], None]
) -> Reader:
    """A reader for an object; `complain` is called for misspelled and unknown fields."""
    canonical = {name.lower(): name for name in readers}

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Malformed("an object is expected")
        found: dict[str, Any] = {}
        for given, item in value.items():
            name = canonical.get(given.lower())
            if name != given:
                complain(f"field {given!r} is " + (f"spelled {name!r}" if name else "unknown"))
            if name is None:
                continue
            try:
                found[name] = readers[name](item)
            except ValueError as problem:
                raise Malformed(f"{name}: {problem}") from problem
        missing = [name for name in required if name not in found]
        if missing:
            raise Malformed(f"missing: {', '.join(missing)}")
        return found

    return read


def read_json(request: Request, reader: Reader) -> Any:
    """The body as read by `reader`; Refusal 400 if it is not JSON or has another shape."""
    try:
        return reader(json.loads(request.body))
    except ValueError as problem:
        raise Refusal(400, "VssPropertyValidationException", f"The body: {problem}.") from problem
