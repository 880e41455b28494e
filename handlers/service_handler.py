"""A server of a model, asked as its callers ask it: `GET /health` and `POST /predict`.

Answers come from outside: each is read up to a limit and within a time limit. Nothing follows a
redirect, which could lead to a server that this host does not allow, and the key with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from pydantic import SecretStr
from requests.structures import CaseInsensitiveDict

from mlgate.orchestration.addresses.allowlist import url_allowed
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.models import Manifest
from mlgate.orchestration.ports import Answered, Health
from mlgate.orchestration.text import one_line
from mlgate.scorer.answers import alike

SETTING = "MLGATE_SERVICES"
KEY = "x-functions-key"  # the header in which a function app expects its key
NUMBER = "mlgate-model-number"
MOST_BYTES = 4 << 20  # of an answer; the largest one on record has 1 MiB

_TIMES = (5.0, 10.0)  # seconds, to connect and for the first byte
_LONGEST = 15.0  # seconds for all of an answer
_PIECE = 1 << 16
_NOT_NOW = frozenset({408, 429, 502, 503, 504})
_SHOWN, _MESSAGE = 200, 500  # characters of an answer, and of an error's message


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: CaseInsensitiveDict[str]
    content: bytes

    def json(self) -> Any:
        """None where it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


class ServiceHandler:
    """`ServicePort`; `allowed` are URL prefixes, None for every URL, and `keys` those of some."""

    def __init__(
        self,
        allowed: Sequence[str] | None,
        keys: Sequence[tuple[str, SecretStr | None]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = allowed
        self._keys = keys
        self._clock = clock

    def health(self, url: str) -> Health:
        reply = self._ask(url, "GET", "/health")
        found = _health(reply.json())
        if found is not None:
            return found
        if reply.status in _NOT_NOW or reply.status >= 500:
            raise Temporary(f"{url}/health answers {reply.status}.")
        raise Permanent(
            f"{url}/health answers {reply.status}, and not as a server of a model does. Check the "
            "URL, which has no route."
        )

    def answer(self, url: str, version: Manifest) -> Answered:
        body = json.dumps(version.example).encode()
        reply = self._ask(url, "POST", "/predict", body)
        number = _number(reply.headers.get(NUMBER, ""))
        if reply.status in _NOT_NOW or (number is None and reply.status >= 500):
            raise Temporary(f"{url}/predict answers {reply.status}: {_message(reply)}")
        if reply.status != requests.codes.ok:
            return Answered(
                number, f"The server answers the example with {reply.status}: {_message(reply)}"
            )
        found = reply.json()
        if version.answer is not None and not alike(found, version.answer):
            return Answered(
                number,
                f"The server answers the example with {_shown(found)}, and "
                f"{_shown(version.answer)} is on record.",
            )
        return Answered(number)

    def _ask(self, url: str, method: str, route: str, body: bytes | None = None) -> _Reply:
        if self._allowed is not None and not url_allowed(url, self._allowed):
            raise Permanent(f"This host does not ask {url[:200]!a}. Add its URL to {SETTING}.")
        headers = {"accept": "application/json", **self._key(url)}
        if body is not None:
            headers["content-type"] = "application/json"
        until = self._clock() + _LONGEST
        try:
            with requests.Session() as session:
                session.auth = _as_it_is  # else what ~/.netrc has for the host would be sent
                with session.request(
                    method,
                    f"{url}{route}",
                    data=body,
                    headers=headers,
                    timeout=_TIMES,
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    reply = _Reply(
                        answer.status_code, answer.headers, self._content(answer, url, until)
                    )
        except requests.RequestException as error:
            raise Temporary(f"{url}{route} does not answer: {type(error).__name__}.") from None
        if 300 <= reply.status < 400:
            raise Permanent(f"{url}{route} redirects, which is not followed. Give its own URL.")
        if reply.status in (401, 403):
            raise Permanent(
                f"{url}{route} answers {reply.status}: it needs a key. Put it in a variable of the "
                f"host, and name that behind the URL in {SETTING}: `{url}=NAME_OF_VARIABLE`."
            )
        return reply

    def _content(self, answer: requests.Response, url: str, until: float) -> bytes:
        content = bytearray()
        for piece in answer.iter_content(_PIECE):
            content += piece
            if len(content) > MOST_BYTES:
                raise Permanent(f"{url} answers with more than {MOST_BYTES >> 20} MiB.")
            if self._clock() > until:
                raise Temporary(f"{url} did not send its answer within {_LONGEST:g} s.")
        return bytes(content)

    def _key(self, url: str) -> dict[str, str]:
        for prefix, key in self._keys:
            if key is not None and url_allowed(url, [prefix]):
                return {KEY: key.get_secret_value()}
        return {}


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _health(said: Any) -> Health | None:
    """None for what is not the health of a server of models."""
    if not isinstance(said, dict) or not isinstance(said.get("status"), str):
        return None
    if "held_back" not in said or "number" not in said:
        return None
    held, name = said["held_back"], said.get("id")
    held_back = None
    if isinstance(held, dict) and _is_number(held.get("number")):
        reason = _sentence(str(held.get("reason") or ""))
        held_back = (held["number"], reason or "It gives no reason.")
    return Health(
        status=one_line(said["status"], _SHOWN),
        id=one_line(name, _SHOWN) if isinstance(name, str) else None,
        number=said["number"] if _is_number(said["number"]) else None,
        held_back=held_back,
    )


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
    return one_line(json.dumps(value), _SHOWN)
