"""Calls Azure DevOps: adds the token, keeps the pace, reads the answer, and retries a little.

Each call has its own session. So no cookie of a sign-in page stays, no connection goes stale
between two looks, and threads share nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from handlers.devops_handler.answers import (
    LONGEST_RETRY_AFTER,
    NotAuthorizedError,
    NotNowError,
    read_answer,
    retry_after,
)
from handlers.devops_handler.endpoints import Endpoints
from handlers.devops_handler.pacing import Kind, Pace
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Permanent, Temporary

log = logging.getLogger("mlgate")

Json: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_TOKEN = re.compile(r"[\x21-\x7e]+")  # http.client would quote any other token in its exception
_PAUSES = (1.0, 2.0)  # seconds before the retries of a call that may be repeated
_DELAY = 5.0  # seconds to wait if the service does not say how long
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `body` is None, JSON, or raw bytes; `repeat` says that sending it twice is safe.

    `kind` is set for writes that a build sends often.
    """

    method: str
    url: str
    version: str
    body: Json | bytes | None = None
    repeat: bool = False
    kind: Kind | None = None
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Caller:
    """Which identity a build tries first: its job's token, or the host's once that was refused."""

    as_host: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """How the requests of one call of the port are made.

    `patience` is the longest wait when throttled, in seconds. No request begins after `until`.
    """

    plan: Endpoints
    token: SecretStr
    caller: Caller
    pace: Pace
    patience: float
    until: datetime


class Client:
    """Makes the calls. Raises only Temporary, Permanent and `PlanOverError`."""

    def __init__(
        self, identity: Callable[[], SecretStr] | None, clock: Clock, timeout_seconds: float
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._timeout = (min(_CONNECT_SECONDS, timeout_seconds), timeout_seconds)
        self._not_before: dict[str, datetime] = {}

    def throttled(self, plan: Endpoints) -> float:
        """Seconds left of the time for which the collection asked not to be called."""
        until = self._not_before.get(plan.collection)
        seconds = 0.0 if until is None else (until - self._clock.now()).total_seconds()
        # A wait longer than any that is asked for means that the clock was set back.
        return seconds if 0 < seconds <= LONGEST_RETRY_AFTER else 0.0

    def call(self, access: Access, request: Request) -> Any:
        """The answer's JSON, or None. Every request keeps the pace, retries included."""
        for pause in (*(_PAUSES if request.repeat else ()), None):
            self._take_turn(access, request)
            try:
                return self._call_as_either(access, request)
            except NotNowError as error:
                if pause is None:
                    delay = _DELAY if error.retry_after is None else error.retry_after
                    raise Temporary(f"{str(error).rstrip('.')}.", delay) from None
                if error.retry_after is None:
                    self._clock.sleep(pause)
        raise AssertionError("the last pause is None")

    def _take_turn(self, access: Access, request: Request) -> None:
        host, now = access.plan.host, self._clock.now()
        throttled = self.throttled(access.plan)
        if throttled > access.patience:
            raise Temporary(f"Azure DevOps at {host} asked for a pause.", throttled)
        wait = max(throttled, access.pace.wait(request.kind, now))
        if now + timedelta(seconds=wait) > access.until:
            raise Temporary(f"Azure DevOps at {host} is taking too long to answer.", _DELAY)
        if wait:
            self._clock.sleep(wait)
        access.pace.send(request.kind, self._clock.now())

    def _call_as_either(self, access: Access, request: Request) -> Any:
        """Call with the job's token or, if that is not accepted, with the host's identity.

        The one that was accepted last is tried first. If it is refused, the other one is tried: a
        single refusal may be a passing fault of the service.
        """
        plan, caller = access.plan, access.caller
        if self._identity is None:
            try:
                return self._call_once(plan, access.token, request)
            except NotAuthorizedError:
                raise Permanent(
                    f"Azure DevOps at {plan.host} does not accept the job's token, which has "
                    "probably expired (it lasts about a day). For longer builds set "
                    "MLGATE_DEVOPS_IDENTITY=1, so that the host calls back as itself."
                ) from None
        refusal: Permanent | None = None
        for other in (False, True):
            as_host = caller.as_host
            if other:
                self._take_turn(access, request)
            try:
                caller.as_host = False  # in case getting the host's token fails
                token = self._identity() if as_host else access.token
                caller.as_host = as_host
                return self._call_once(plan, token, request)
            except NotAuthorizedError:
                refused = "host's identity" if as_host else "job's token"
                log.info("%s does not accept the %s", plan.host, refused)
            except Permanent as error:
                if not as_host:
                    raise
                refusal = error
            caller.as_host = not as_host
        raise refusal or Permanent(
            f"Azure DevOps at {plan.host} accepts neither the job's token nor the host's "
            "identity. Add that identity to the organization and allow it to queue builds."
        )

    def _call_once(self, plan: Endpoints, token: SecretStr, request: Request) -> Any:
        asked = f"{request.method} {request.url.rpartition('/')[2]} at {plan.host}"
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise Permanent("The message's property AuthToken is not a token.")
        failure: Exception
        try:
            with requests.Session() as session:
                # A proxy cannot reach this machine's loopback address, and looking for one takes
                # longer than the call.
                session.trust_env = not plan.loopback or request.url.startswith("https:")
                response = session.request(
                    request.method,
                    request.url,
                    params={**request.query, "api-version": request.version},
                    auth=Bearer(token),
                    allow_redirects=False,
                    timeout=self._timeout,
                    proxies={"http": "", "https": ""} if plan.loopback else None,
                    **_sent(request.body),
                )
        except requests.Timeout:
            # Not retried within the call: its time is used up.
            failure = Temporary(f"{asked} was not answered in time.", _DELAY)
        except requests.exceptions.SSLError:
            failure = Temporary(
                f"A secure connection to {plan.host} failed. If a proxy signs with a certificate "
                "of its own, set REQUESTS_CA_BUNDLE to the file of its authority.",
                _DELAY,
            )
        except requests.RequestException as error:
            failure = NotNowError(f"{asked} failed ({type(error).__name__})")
        except OSError as error:  # what requests raises if the CA bundle does not exist
            failure = Temporary(f"{asked} failed: {error}", _DELAY)
        else:
            return self._read(plan, response, asked)
        # Raised here, outside the handlers, because requests' exceptions hold the request and so
        # the token.
        raise failure

    def _read(self, plan: Endpoints, response: requests.Response, asked: str) -> Any:
        now = self._clock.now()
        seconds = retry_after(response.headers, now)
        if seconds is not None:
            self._not_before[plan.collection] = now + timedelta(seconds=seconds)
        return read_answer(
            response.status_code, response.headers, response.content, asked=asked, now=now
        )


class Bearer(AuthBase):
    """Passed as `auth`, because requests lets ~/.netrc replace a plain Authorization header."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


def _sent(body: Json | bytes | None) -> dict[str, Any]:
    if body is None:
        return {}
    if isinstance(body, bytes):
        return {"data": body, "headers": {"Content-Type": "application/octet-stream"}}
    return {"json": body}
