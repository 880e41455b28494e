"""What callers ask, as an ASGI application: the model's answers, and how it fares.

Each answer says which version gave it. Errors are JSON: `{"error_code", "message"}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from mlgate import __version__
from mlgate.hosts.serving.keeper import Died, Keeper, Serving, Unavailable
from mlgate.hosts.serving.page import page
from mlgate.hosts.serving.versions import Version

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MODEL_ROUTES = ("/invocations", "/predict", "/api/predict")
_JSON = "application/json"
_CODES = {
    400: "BAD_REQUEST", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "REQUEST_TOO_LARGE",
    500: "INTERNAL_ERROR", 503: "NO_MODEL",
}  # fmt: skip
# The page is all in itself, and talks to nobody but this server.
_PAGE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'"
}


class _Refusal(Exception):
    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class _Left(Exception):
    """The caller went away."""


class App:
    """`most` is the largest body that is taken, in bytes."""

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
            if path in MODEL_ROUTES:
                await self._ask(scope, receive, send)
                return
            status, kind, body, headers = self._look(path, method)
        except _Refusal as refusal:
            status, kind, headers = refusal.status, _JSON, dict(refusal.headers)
            body = _json({"error_code": _CODES[status], "message": str(refusal)})
        except _Left:
            return
        now = self._keeper.serving
        headers = {**(_named(now.child.version) if now else {}), **headers}
        await _send(send, status, kind, body, headers)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise _not_allowed(scope["path"], "POST")
        told = dict(scope["headers"])
        body = await self._body(told, receive)
        content_type = told.get(b"content-type", b"").decode("latin-1")
        try:
            version, answer = await self._keeper.ask(scope["path"], content_type, body)
        except Unavailable as error:
            after = {"retry-after": str(max(1, round(error.after)))}
            raise _Refusal(503, str(error), after) from None
        except Died as error:
            raise _Refusal(
                500, f"The process of {error} ended while it answered. It is started again."
            ) from None
        headers = {**answer.headers, **_named(version)}
        await _send(send, answer.status, answer.content_type, answer.body, headers)

    async def _body(self, told: Mapping[bytes, bytes], receive: Receive) -> bytes:
        said = told.get(b"content-length", b"0")
        body, more = bytearray(), True
        while more:
            if len(body) > self._most or (said.isdigit() and int(said) > self._most):
                raise _Refusal(
                    413,
                    f"The request has more than {self._most:,} bytes, which is the most that is "
                    "taken here (MLGATE_MAX_REQUEST).",
                    {"connection": "close"},
                )
            event = await receive()
            if event["type"] == "http.disconnect":
                raise _Left
            body += event.get("body", b"")
            more = event.get("more_body", False)
        if len(body) > self._most:
            raise _Refusal(413, f"The request has more than {self._most:,} bytes.")
        return bytes(body)

    def _look(self, path: str, method: str) -> tuple[int, str, bytes, dict[str, str]]:
        looks: Mapping[str, Callable[[], tuple[int, Any]]] = {
            "/ping": self._ping,
            "/live": lambda: (200, {"status": "ok"}),
            "/health": self._health,
            "/version": lambda: (200, {"version": __version__}),
            "/model": self._model,
        }
        if path != "/" and path not in looks:
            known = ", ".join(sorted((*looks, *MODEL_ROUTES, "/")))
            raise _Refusal(404, f"There is no {path[:200]} here: {known}.")
        if method not in ("GET", "HEAD"):
            raise _not_allowed(path, "GET, HEAD")
        if path == "/":
            now = self._keeper.serving
            told = self._model()[1] if now else None
            return 200, "text/html; charset=utf-8", page(self._keeper.model, told), dict(_PAGE)
        status, said = looks[path]()
        return status, _JSON, _json(said), {}

    def _ping(self) -> tuple[int, Any]:
        now = self._serving()
        return (200, {}) if now else (503, {})

    def _health(self) -> tuple[int, Any]:
        now, held = self._serving(), self._keeper.held_back
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
            raise _Refusal(503, f"No version of {self._keeper.model} serves now.")
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

    def _serving(self) -> Serving | None:
        now = self._keeper.serving
        return now if now is not None and now.child.alive else None


def _not_allowed(path: str, methods: str) -> _Refusal:
    return _Refusal(405, f"{path} takes {methods}.", {"allow": methods})


def _named(version: Version) -> dict[str, str]:
    return {"mlgate-model": version.name, "mlgate-model-number": str(version.number)}


def _json(said: Any) -> bytes:
    return json.dumps(said, allow_nan=False).encode()


async def _send(
    send: Send, status: int, kind: str, body: bytes, headers: Mapping[str, str]
) -> None:
    told = {"content-type": kind, "content-length": str(len(body)), **headers}
    told["x-content-type-options"] = "nosniff"
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
