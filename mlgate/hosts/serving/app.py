"""The ASGI application: the model's answers, its health and its description.

Each answer names the version that gave it. Errors are JSON: `{"error_code", "message"}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from mlgate import __version__
from mlgate.hosts.serving.keeper import Died, Keeper, Unavailable
from mlgate.hosts.serving.page import POLICY, page
from mlgate.hosts.serving.versions import Version
from mlgate.scorer.replies import CODES, JSON, ROUTES

log = logging.getLogger("mlgate")

_MOST_DROPPED = 1 << 30  # bytes of a body that is refused
_DROP_SECONDS = 30.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Reply = tuple[int, str, bytes, dict[str, str]]  # status, content type, body, headers


class _Refusal(Exception):
    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class _Left(Exception):
    """The caller disconnected."""


class App:
    """`most` is the largest body that is accepted, in bytes."""

    def __init__(self, keeper: Keeper, most: int) -> None:
        self._keeper = keeper
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        keeping = asyncio.create_task(self._keeper.run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        try:
            if path in ROUTES:
                status, kind, body, headers = await self._ask(scope, receive)
            else:
                status, kind, body, headers = self._look(path, method)
        except _Refusal as refusal:
            status, kind, headers = refusal.status, JSON, dict(refusal.headers)
            body = _json({"error_code": CODES[status], "message": str(refusal)})
        except _Left:
            return
        except Exception:
            number = secrets.token_hex(4)
            log.exception("error %s: %s %s could not be answered", number, method, path)
            status, kind, headers = 500, JSON, {}
            message = f"error {number}: the server's log says more."
            body = _json({"error_code": CODES[status], "message": message})
        now = self._keeper.serving
        headers = {**(_named(now.child.version) if now else {}), **headers}
        await _send(send, status, kind, body, headers)

    async def _ask(self, scope: Scope, receive: Receive) -> _Reply:
        if scope["method"] != "POST":
            raise _not_allowed(scope["path"], "POST")
        headers = dict(scope["headers"])
        body = await self._body(headers, receive)
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        try:
            version, answer = await self._keeper.ask(scope["path"], content_type, body)
        except Unavailable as error:
            after = {"retry-after": str(max(1, round(error.after)))}
            raise _Refusal(503, str(error), after) from None
        except Died as error:
            number = secrets.token_hex(4)
            log.error("error %s: the process of %s ended during a request", number, error)  # noqa: TRY400 -- a traceback of ours says nothing of it
            message = f"error {number}: the process of {error} ended during the request."
            message += " It is being restarted." if error.restarts else ""
            raise _Refusal(500, message, _named(error.version)) from None
        return answer.status, answer.content_type, answer.body, _named(version)

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        body = bytearray()
        said = headers.get(b"content-length", b"0")
        size = int(said) if said.isdigit() and len(said) < 20 else len(said)
        too_large = size > self._most
        asks_first = headers.get(b"expect", b"").lower() == b"100-continue"
        if not (too_large and (asks_first or size > _MOST_DROPPED)):
            parts = _parts(receive)
            async for part in parts:
                if too_large := too_large or len(body) + len(part) > self._most:
                    await _drop(parts)
                    break
                body += part
        if too_large:
            raise _Refusal(
                413,
                f"The request is larger than {self._most:,} bytes, the limit of this server "
                "(MLGATE_MAX_REQUEST).",
                {"connection": "close"},
            )
        return bytes(body)

    def _look(self, path: str, method: str) -> _Reply:
        looks: Mapping[str, Callable[[], tuple[int, Any]]] = {
            "/ping": self._ping,
            "/live": lambda: (200, {"status": "ok"}),
            "/health": self._health,
            "/version": lambda: (200, {"version": __version__}),
            "/model": self._model,
        }
        if path != "/" and path not in looks:
            known = ", ".join(sorted((*looks, *ROUTES, "/")))
            raise _Refusal(404, f"{path[:200]} does not exist. These paths do: {known}.")
        if method not in ("GET", "HEAD"):
            raise _not_allowed(path, "GET, HEAD")
        if path == "/":
            return (
                200,
                "text/html; charset=utf-8",
                self._page(),
                {"content-security-policy": POLICY},
            )
        status, said = looks[path]()
        return status, JSON, _json(said), {}

    def _page(self) -> bytes:
        described = self._model()[1] if self._keeper.serving else None
        held = self._keeper.held_back
        notice = f"Entry {held.entry.number} is held back. {held.reason}" if held else None
        return page(self._keeper.model, described, notice)

    def _ping(self) -> tuple[int, Any]:
        if self._keeper.alive:
            return 200, {}
        raise self._unserved()

    def _unserved(self) -> _Refusal:
        return _Refusal(503, f"No version of {self._keeper.model} is served now.")

    def _health(self) -> tuple[int, Any]:
        now, held = self._keeper.alive, self._keeper.held_back
        said = {
            "status": self._keeper.status,
            "model": self._keeper.model,
            "id": now.child.version.entry.id if now else None,
            "number": now.child.version.number if now else None,
            "since": now.since.isoformat() if now else None,
            "held_back": held
            and {"id": held.entry.id, "number": held.entry.number, "reason": held.reason},
        }
        return 200 if now else 503, said

    def _model(self) -> tuple[int, Any]:
        now = self._keeper.serving
        if now is None:
            raise self._unserved()
        version = now.child.version
        manifest, entry = version.manifest, version.entry
        return 200, {
            "model": entry.model,
            "id": entry.id,
            "number": entry.number,
            "previous": entry.replaces,
            "signature": manifest.signature,
            "example": manifest.example,
            "needs": {
                "format": manifest.format,
                "python": manifest.python,
                "distributions": dict(manifest.distributions),
            },
            "proof": json.loads(entry.content),
        }


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """The body's parts as they arrive. Raises `_Left`."""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise _Left
        yield event.get("body", b"")
        more = event.get("more_body", False)


async def _drop(parts: AsyncIterator[bytes]) -> None:
    """Read the rest of a body that is refused, within limits.

    Most clients send a whole request before they read the answer: if the connection were closed
    meanwhile, they would see only that.
    """
    left = _MOST_DROPPED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DROP_SECONDS):
            async for part in parts:
                left -= len(part)
                if left < 0:
                    return


def _not_allowed(path: str, methods: str) -> _Refusal:
    return _Refusal(405, f"{path} accepts {methods}.", {"allow": methods})


def _named(version: Version) -> dict[str, str]:
    return {"mlgate-model": version.name, "mlgate-model-number": str(version.number)}


def _json(said: Any) -> bytes:
    return json.dumps(said, allow_nan=False).encode()


async def _send(
    send: Send, status: int, kind: str, body: bytes, headers: Mapping[str, str]
) -> None:
    sent = {"content-type": kind, "content-length": str(len(body)), **headers}
    sent["x-content-type-options"] = "nosniff"
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
