"""Answers a request: finds its route, checks its token and what all routes share, adds faults."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from mlgate.emulators.azure_ml.exchange import Answer, Drop, Refusal, Request
from mlgate.emulators.azure_ml.faults import Fault, FaultKind, Faults
from mlgate.emulators.azure_ml.routes import ROUTES
from mlgate.emulators.azure_ml.routing import (
    LOGIN,
    Call,
    Match,
    Service,
    match_route,
    read_body,
    require_workspace,
)
from mlgate.emulators.azure_ml.storage import no_key_is_taken
from mlgate.emulators.azure_ml.tokens import STORAGE

# The operations of blob storage that the SDK uses to upload and to download.
_BLOB_CALLS = {
    ("PUT", ""): "blob.put",
    ("DELETE", ""): "blob.delete",
    ("PUT", "metadata"): "blob.metadata",
    ("PUT", "block"): "blob.block",
    ("PUT", "blocklist"): "blob.blocklist",
    ("GET", ""): "blob.get",
    ("GET", "list"): "blob.list",
    ("HEAD", ""): "blob.head",
}
_BLOB_QUERY = {
    "comp", "restype", "prefix", "delimiter", "marker", "maxresults", "include", "blockid",
    "sv", "ss", "srt", "sr", "sp", "st", "se", "sig",
}  # a row a line # fmt: skip


@dataclass(frozen=True, slots=True)
class Handled:
    """`call` is the route's name, or empty."""

    answer: Answer | Drop
    call: str


class Dispatcher:
    """Thread-safe: routes hold the workspace's lock, and storage needs none."""

    def __init__(self, service: Service, faults: Faults, clock: Callable[[], datetime]) -> None:
        self.violations: list[str] = []
        self._service = service
        self._faults = faults
        self._clock = clock
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Answer delayed requests now."""
        self._stopping.set()

    def handle(self, request: Request) -> Handled:
        if "transfer-encoding" in request.headers:
            self._violation(request, "a chunked body")
            refusal = Refusal(411, "LengthRequired", "The body must have a Content-Length.")
            return Handled(refusal.answer(), "")
        name, act = self._find(request)
        try:
            return Handled(self._with_fault(act, self._faults.take(name) if name else None), name)
        except Drop as drop:
            return Handled(drop, name)

    def _find(self, request: Request) -> tuple[str, Callable[[], Answer]]:
        """The request's call, which may be empty, and a function that answers it."""
        match = match_route(ROUTES, request)
        if match is not None:
            return match.route.name, partial(self._act, request, match)
        if request.host == self._service.storage.host:
            name = _BLOB_CALLS.get((request.method, request.query.get("comp", "")))
            if name is not None:
                return name, partial(self._relay, request)
        return "", partial(self._unknown, request)

    def _unknown(self, request: Request) -> Answer:
        self._violation(request, "no such route")
        message = f"There is no {request.method} {request.path}."
        return Refusal(404, "NotFound", message).answer()

    def _relay(self, request: Request) -> Answer:
        """Check queries and tokens, which Azurite does not; it checks signatures and headers."""
        for key in sorted(request.query.keys() - _BLOB_QUERY):
            self._violation(request, f"query key {key!r} is unknown")
        if request.headers.get("authorization", "").startswith("Bearer "):
            refused = self._service.tokens.refusal(request.headers, STORAGE)
            if refused is not None:
                return Refusal(401, *refused).answer()
        elif self._service.workspace.keyless:
            return no_key_is_taken()
        return self._service.storage.relay(request)

    def _with_fault(self, act: Callable[[], Answer], fault: Fault | None) -> Answer:
        if fault is None:
            return act()
        match fault.kind:
            case FaultKind.RESET:
                raise Drop
            case FaultKind.HANG:
                raise Drop(hang=True)
            case FaultKind.STATUS:
                return _failing(fault)
            case FaultKind.SAYS:
                return Answer(200, fault.content, content_type="text/html")
            case FaultKind.HALF:
                whole = act()
                content = whole.payload()
                kept = {n: v for n, v in whole.headers.items() if n.lower() != "content-length"}
                return replace(whole, body=content[: len(content) // 2], headers=kept)
            case FaultKind.LOST | FaultKind.MUTE:
                act()
                raise Drop(hang=fault.kind is FaultKind.MUTE)
            case _:
                self._stopping.wait(fault.seconds)
                return act()

    def _act(self, request: Request, match: Match) -> Answer:
        service = self._service
        call = Call(request, match.groups, service, self._clock())
        try:
            with service.workspace.lock:
                if not match.route.public:
                    self._require_token(request)
                self._check(call, match)
                return match.route.answer(call)
        except Refusal as refusal:
            return refusal.answer()
        except Exception as defect:  # noqa: BLE001 -- must not look like a cut connection
            call.violation(f"the emulator failed: {defect!r}")
            return Refusal(500, "InternalServerError", "The emulator failed.").answer()
        finally:
            for violation in call.violations:
                self._violation(request, violation)

    def _require_token(self, request: Request) -> None:
        refused = self._service.tokens.refusal(request.headers)
        if refused is None:
            return
        tenant = self._service.workspace.principal.tenant_id
        challenge = (
            f'Bearer authorization_uri="https://{LOGIN}/{tenant}", error="invalid_token", '
            f'error_description="{refused[1]}"'
        )
        raise Refusal(401, *refused, headers={"WWW-Authenticate": challenge})

    def _check(self, call: Call, match: Match) -> None:
        """Check what the service requires of every request: its api-version and a valid body."""
        request, route = call.request, match.route
        version = request.query.get("api-version")
        if version not in (route.versions or (None,)):
            supported = ", ".join(route.versions)
            call.violation(f"api-version {version}, not {supported}")
            raise Refusal(
                400,
                "InvalidApiVersionParameter",
                f"The api-version '{version}' is invalid. The supported versions are "
                f"'{supported}'.",
            )
        for name in sorted(request.query.keys() - route.query):
            call.violation(f"query key {name!r} is unknown")
            raise Refusal(400, "InvalidRequestUri", f"The query parameter '{name}' is unknown.")
        bears_body = bool(request.body) or route.shape is not None
        if bears_body and request.content_type != (route.content_type or ""):
            wrong = f"content type {request.content_type!r}, not {route.content_type}"
            call.violation(wrong)
            raise Refusal(415, "UnsupportedMediaType", f"The {wrong}.")
        require_workspace(call)
        if route.shape is not None:
            call.body = read_body(call, route.shape)

    def _violation(self, request: Request, what: str) -> None:
        self.violations.append(f"{request.method} https://{request.host}{request.path}: {what}")


def _failing(fault: Fault) -> Answer:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    names = {429: "TooManyRequests", 500: "InternalServerError", 503: "ServiceUnavailable"}
    code = names.get(fault.status, "UserError" if fault.status < 500 else "ServiceError")
    return Refusal(fault.status, code, "The request failed.", headers=headers).answer()
