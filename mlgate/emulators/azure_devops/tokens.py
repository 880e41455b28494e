"""Job tokens like the service's, and how to read one from a request."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from datetime import datetime


def issue(plan_id: str, collection_url: str, issued: datetime, expires: datetime) -> str:
    """A token like System.AccessToken: a JWT with `exp` and a random signature."""
    claims = {
        "nameid": secrets.token_hex(16),
        "scp": "app_token",
        "orchid": f"{plan_id}.job.__default",
        "iss": "app.vstoken.visualstudio.com",
        "aud": collection_url,
        "nbf": int(issued.timestamp()),
        "exp": int(expires.timestamp()),
    }
    header = {"typ": "JWT", "alg": "RS256", "x5t": "emulator"}
    parts = [json.dumps(part).encode() for part in (header, claims)]
    return ".".join(_url_safe(part) for part in [*parts, secrets.token_bytes(256)])


def presented(authorization: str) -> str | None:
    """The token of an Authorization header: `Bearer TOKEN`, or Basic with it as the password."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return pair.partition(":")[2] or None


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
