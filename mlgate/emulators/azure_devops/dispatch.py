"""Answers a request: finds its route, checks its token and what all routes share, adds faults."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mlgate.emulators.azure_devops import tokens
from mlgate.emulators.azure_devops.exchange import Answer, Drop, Refusal, Request
from mlgate.emulators.azure_devops.faults import Fault, FaultKind, Faults
from mlgate.emulators.azure_devops.plan import Plan
from mlgate.emulators.azure_devops.routes import ROUTES
from mlgate.emulators.azure_devops.routing import Call, Match, Organization, match_route

_API_VERSION = re.compile(r"\d+\.\d+(-preview(\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Handled:
    """`call` is the route's name, or empty; `caller` is "job", "identity", or None."""

    answer: Answer | Drop
    call: str
    caller: str | None


class Dispatcher:
    """Not thread-safe: the server passes one request at a time."""

    def __init__(
        self, organization: Organization, faults: Faults, clock: Callable[[], datetime]
    ) -> None:
        self.violations: list[str] = []
        self._organization = organization
        self._faults = faults
        self._clock = clock
        self._late: list[Callable[[], object]] = []

    def handle(self, request: Request) -> Handled:
        late, self._late = self._late, []
        match = match_route(ROUTES, request)
        known, plan = self._caller(request, self._organization)
        answer: Answer | Drop
        try:
            answer = self._answer(request, match)
        except Drop as drop:
            answer = drop
        for effect in late:
            effect()
        caller = None if not known else "identity" if plan is None else "job"
        return Handled(answer, match.route.name if match else "", caller)

    def _answer(self, request: Request, match: Match | None) -> Answer:
        if match is None:
            self._violation(request, "no such route")
            return Refusal(404, "HttpResourceNotFoundException", "No such resource.").answer()
        fault = self._faults.take(match.route.name)
        if fault is None:
            return self._act(request, match, self._organization)
        instead = _instead(request, fault)
        if instead is not None:
            return instead
        organization = self._organization
        if fault.kind in (FaultKind.NO_EFFECT, FaultKind.LATE):
            organization = copy.deepcopy(organization)
        if fault.kind is FaultKind.LATE:
            self._late.append(lambda: self._act(request, match, self._organization))
        answer = self._act(request, match, organization)
        if fault.kind is FaultKind.LOST:
            raise Drop
        if fault.kind is FaultKind.SLOW_DOWN:
            return Answer(answer.status, answer.body, answer.content_type, _headers(fault))
        return answer

    def _act(self, request: Request, match: Match, organization: Organization) -> Answer:
        if "authorization" not in request.headers and not match.route.public:
            self._violation(request, "no Authorization header")
        known, caller = self._caller(request, organization)
        if not known:
            return _sign_in(request)
        call = Call(request, match.groups, organization, caller, self._clock())
        try:
            self._check(request, match)
            return match.route.answer(call)
        except Refusal as refusal:
            return refusal.answer()
        finally:
            for violation in call.violations:
                self._violation(request, violation)

    def _check(self, request: Request, match: Match) -> None:
        """Check what the service requires of every request: an api-version and the media type."""
        version, expected = request.api_version, match.route.versions
        if version is None or not _API_VERSION.fullmatch(version):
            self._violation(request, f"api-version {version}")
            raise Refusal(
                400, "VssVersionNotSpecifiedException", "No valid api-version was specified."
            )
        if version not in expected:
            self._violation(request, f"api-version {version}, not {' or '.join(expected)}")
        for name in sorted(set(request.query) - {"api-version", *match.route.query}):
            self._violation(request, f"parameter {name!r} is unknown")
        media_type = match.route.content_type
        if media_type is not None and request.content_type != media_type:
            self._violation(request, f"content type {request.content_type!r}, not {media_type}")
            raise Refusal(415, "UnsupportedMediaTypeException", f"{media_type} is expected.")

    def _caller(self, request: Request, organization: Organization) -> tuple[bool, Plan | None]:
        """Whether the token is valid, and its plan, which is None for an identity's token."""
        token = tokens.presented(request.headers.get("authorization", ""))
        if token in organization.identities:
            return True, None
        now = self._clock()
        for plan in organization.plans.values():
            if plan.token == token and plan.expires_at is not None and now < plan.expires_at:
                return True, plan
        return False, None

    def _violation(self, request: Request, what: str) -> None:
        self.violations.append(f"{request.method} {request.path}: {what}")


def _instead(request: Request, fault: Fault) -> Answer | None:
    """The answer of `fault` instead of the effect; None if the effect takes place anyway."""
    match fault.kind:
        case FaultKind.RESET:
            raise Drop
        case FaultKind.HANG:
            raise Drop(hang=True)
        case FaultKind.STATUS if fault.status == 429:
            blocked = Refusal(429, "RequestBlockedException", "TF400733: The request was blocked.")
            return Answer(429, blocked.answer().body, headers=_headers(fault))
        case FaultKind.STATUS:
            page = b"<html><body>The service is unavailable.</body></html>"
            return Answer(fault.status, page, "text/html", _headers(fault))
        case FaultKind.REDIRECT:
            return Answer(302, b"", "text/html", {"Location": fault.location})
        case FaultKind.SIGN_IN:
            return _sign_in(request)
        case FaultKind.GARBLED:
            return Answer(200, b'{"count": 1, "value": [{"id": ')
        case FaultKind.ENDED:
            return Refusal(404, fault.type_key, "The plan is over.").answer()
        case _:
            return None


def _sign_in(request: Request) -> Answer:
    """The answer to an invalid or expired token: a sign-in page, but JSON for PATCH."""
    if request.method == "PATCH":
        return Refusal(
            401, "UnauthorizedRequestException", "TF400813: The user is not authorized."
        ).answer()
    return Answer(203, b"<!DOCTYPE html><html><title>Sign In</title></html>", "text/html")


def _headers(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
