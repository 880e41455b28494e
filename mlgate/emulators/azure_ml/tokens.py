"""Access tokens like those of Microsoft Entra ID, and the one client that gets them."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

ARM = "https://management.azure.com"
STORAGE = "https://storage.azure.com"
AML = "https://ml.azure.com"
SCOPES = {f"{audience}/.default": audience for audience in (ARM, STORAGE, AML)}


@dataclass(frozen=True, slots=True)
class Principal:
    """A service principal with a client secret."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)


class Tokens:
    """Every token issued so far, and when it expires; other tokens are not valid."""

    def __init__(self, lifetime: timedelta, clock: Callable[[], datetime]) -> None:
        self.lifetime = lifetime
        self._clock = clock
        self._ends: dict[str, datetime] = {}
        self._audiences: dict[str, str] = {}
        self._lock = threading.Lock()

    def issue(self, principal: Principal, audience: str) -> str:
        """A JWT with the claims that the SDK (`tid`) and clients read, and a random signature."""
        issued = self._clock()
        ends = issued + self.lifetime
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{principal.tenant_id}/",
            "iat": int(issued.timestamp()),
            "nbf": int(issued.timestamp()),
            "exp": int(ends.timestamp()),
            "appid": principal.client_id,
            "oid": principal.client_id,
            "tid": principal.tenant_id,
            "ver": "1.0",
        }
        header = {"typ": "JWT", "alg": "RS256", "kid": "emulator"}
        parts = [json.dumps(part).encode() for part in (header, claims)]
        token = ".".join(_url_safe(part) for part in [*parts, secrets.token_bytes(256)])
        with self._lock:
            self._ends[token] = ends
            self._audiences[token] = audience
        return token

    def expire(self) -> None:
        """Let every token issued so far expire now."""
        with self._lock:
            self._ends = dict.fromkeys(self._ends, self._clock())

    def refusal(self, headers: Mapping[str, str], audience: str = ARM) -> tuple[str, str] | None:
        """Why a request is refused, as the service's code and message; None if it is not."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return (
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            )
        with self._lock:
            ends = self._ends.get(token.strip())
            meant = self._audiences.get(token.strip()) == audience
        if ends is None or not meant:
            return "InvalidAuthenticationToken", "The access token is invalid."
        if self._clock() >= ends:
            return "ExpiredAuthenticationToken", "The access token expiry UTC time is in the past."
        return None


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
