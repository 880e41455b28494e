"""Asks a model server as its callers do: `GET /health` and `POST /predict`.

Answers are not trusted: each is read up to a size limit and within a time limit. Redirects are not
followed, since they could send the key to a server that this host does not allow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests
from pydantic import SecretStr
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from handlers.in_time import InTime
from mlgate.orchestration.addresses.allowlist import url_allowed
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.models import Manifest
from mlgate.orchestration.ports import Answered, Health
from mlgate.orchestration.text import one_line
from mlgate.scorer.answers import alike

SETTING = "MLGATE_SERVICES"
KEY = "x-functions-key"  # the header in which a function app expects its key
NAME, NUMBER = "mlgate-model", "mlgate-model-number"
MOST_BYTES = 4 << 20  # of an answer; a recorded one has 1 MiB at most

LONGEST = 15.0  # seconds for an answer, from the request to its last byte
_TIMES = (5.0, 10.0)  # seconds: to connect, and for each read
_PIECE = 1 << 16
_NOT_NOW = frozenset({408, 429, 502, 503, 504})
_SHOWN, _MESSAGE = 200, 500  # characters of an answer, and of an error's message


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: CaseInsensitiveDict[str]
    content: bytes

    def json(self) -> Any:
        """None if it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


class ServiceHandler:
    """`ServicePort`. `allowed`: URL prefixes, None for every URL; `keys`: the keys of some."""

    def __init__(
        self,
        allowed: Sequence[str] | None,
        keys: Sequence[tuple[str, SecretStr | None]] = (),
        limit: float = LONGEST,
    ) -> None:
        self._allowed = allowed
        # The longest matching prefix counts.
        self._keys = sorted(keys, key=lambda each: len(each[0]), reverse=True)
        self._limit = limit
        self._servers: dict[str, InTime] = {}

    def health(self, url: str) -> Health:
        reply = self._ask(url, "GET", "/health")
        found = _health(reply.json())
        if found is not None:
            return found
        if reply.status in _NOT_NOW or reply.status >= 500:
            raise Temporary(f"{url}/health answers {reply.status}.")
        raise Permanent(
            f"{url}/health answers {reply.status}, but not as a model server does. Check the URL, "
            "which must not have a route."
        )

    def answer(self, url: str, version: Manifest) -> Answered:
        body = json.dumps(version.example).encode()
        reply = self._ask(url, "POST", "/predict", body)
        number = _number(reply.headers.get(NUMBER, ""))
        name = one_line(reply.headers.get(NAME, ""), _SHOWN)
        if reply.status in _NOT_NOW or (number is None and reply.status >= 500):
            raise Temporary(f"{url}/predict answers {reply.status}: {_message(reply)}")
        if reply.status != requests.codes.ok:
            said = f"The server answers the example with {reply.status}: {_message(reply)}"
            return Answered(number, name, said)
        found = reply.json()
        if version.answer is not None and not _alike(found, version.answer):
            said = (
                f"The server answers the example with {_shown(found)}, but the recorded answer is "
                f"{_shown(version.answer)}."
            )
            return Answered(number, name, said)
        return Answered(number, name)

    def _ask(self, url: str, method: str, route: str, body: bytes | None = None) -> _Reply:
        """The reply, within the limit even if it comes byte by byte, which no socket times out."""
        if self._allowed is not None and not url_allowed(url, self._allowed):
            raise Permanent(f"This host may not call {url[:200]!a}. Add its URL to {SETTING}.")
        in_time = self._servers.setdefault(url, InTime(self._limit))
        try:
            reply = in_time(lambda: self._asked(url, method, route, body))
        except TimeoutError:
            raise Temporary(f"{url} did not answer within {self._limit:g} s.") from None
        if 300 <= reply.status < 400:
            raise Permanent(f"{url}{route} redirects, which is not followed. Give the final URL.")
        if reply.status in (401, 403):
            if self._key(url):
                raise Permanent(
                    f"{url}{route} answers {reply.status}: it does not accept the key of {SETTING}."
                )
            raise Permanent(
                f"{url}{route} answers {reply.status}: it needs a key. Put the key in a variable "
                f"of the host, and add its name to the URL in {SETTING}: `{url}=NAME_OF_VARIABLE`."
            )
        return reply

    def _asked(self, url: str, method: str, route: str, body: bytes | None) -> _Reply:
        headers = {"accept": "application/json", "accept-encoding": "identity", **self._key(url)}
        if body is not None:
            headers["content-type"] = "application/json"
        until = time.monotonic() + self._limit
        try:
            with requests.Session() as session:
                session.auth = _as_it_is  # else requests would send what ~/.netrc has for the host
                with session.request(
                    method,
                    f"{url}{route}",
                    data=body,
                    headers=headers,
                    timeout=_TIMES,
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    content = _content(answer, url, until)
                    return _Reply(answer.status_code, answer.headers, content)
        except (requests.RequestException, HTTPError) as error:
            raise Temporary(f"{url}{route} does not answer: {type(error).__name__}.") from None

    def _key(self, url: str) -> dict[str, str]:
        for prefix, key in self._keys:
            if key is not None and url_allowed(url, [prefix]):
                return {KEY: key.get_secret_value()}
        return {}


def _content(answer: requests.Response, url: str, until: float) -> bytes:
    """The answer's bytes, read as they arrive. Raises TimeoutError."""
    content = bytearray()
    while piece := answer.raw.read1(_PIECE):
        content += piece
        if len(content) > MOST_BYTES:
            raise Permanent(f"{url} answers with more than {MOST_BYTES >> 20} MiB.")
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(content)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _alike(found: Any, recorded: Any) -> bool:
    try:
        return alike(found, recorded)
    except (OverflowError, RecursionError):  # too large or too deep for a recorded answer
        return False


def _health(said: Any) -> Health | None:
    """None if it is not a model server's health."""
    if not isinstance(said, dict) or not isinstance(said.get("status"), str):
        return None
    if "number" not in said:
        return None
    held = said.get("held_back")
    held_back = None
    if isinstance(held, dict) and _is_number(held.get("number")):
        reason = _sentence(str(held.get("reason") or ""))
        held_back = (held["number"], reason or "It gives no reason.")
    return Health(
        status=one_line(said["status"], _SHOWN),
        model=_text(said.get("model")),
        id=_text(said.get("id")),
        number=said["number"] if _is_number(said["number"]) else None,
        held_back=held_back,
    )


def _text(value: object) -> str | None:
    return one_line(value, _SHOWN) if isinstance(value, str) else None


def _sentence(text: str) -> str:
    line = one_line(text, _MESSAGE)
    return line if not line or line.endswith(".") else f"{line}."


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _message(reply: _Reply) -> str:
    said = reply.json()
    text = said.get("message") if isinstance(said, dict) else None
    if not isinstance(text, str):
        text = reply.content[:_MESSAGE].decode(errors="replace")
    return _sentence(text) or "no message."


def _shown(value: Any) -> str:
    try:
        return one_line(json.dumps(value), _SHOWN)
    except (RecursionError, ValueError):
        return "a value that cannot be shown"
