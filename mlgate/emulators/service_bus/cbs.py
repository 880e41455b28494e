"""`$cbs`: claims-based security. A client puts a token here before it can attach anywhere else."""

from __future__ import annotations

from mlgate.emulators.service_bus import encode, requests
from mlgate.emulators.service_bus.requests import Request
from mlgate.emulators.service_bus.tokens import Grant, Refused, SharedKey, entity_path

ADDRESS = "$cbs"


def answer(payload: bytes, key: SharedKey, now: float) -> tuple[bytes, Grant | None]:
    """The reply to a request, and what is granted. Raises DecodeError.

    The names of the status properties have hyphens here, unlike in `$management`. The token's type
    is ignored, because the Python SDK calls its signatures `jwt` when it renews them.
    """
    request = requests.parse(payload)
    try:
        grant = _put_token(request, key, now)
    except Refused as error:
        return _reply(request, 401, str(error)), None
    return _reply(request, 202, "Accepted"), grant


def _put_token(request: Request, key: SharedKey, now: float) -> Grant:
    if request.operation != "put-token":
        raise Refused("The only operation is put-token.")
    if not isinstance(request.body, str):
        raise Refused("The emulator only accepts shared access signatures.")
    grant = key.check(request.body, now)
    if not grant.covers(entity_path(str(request.properties.get("name", "")))):
        raise Refused("The token is for another entity.")
    return grant


def _reply(request: Request, code: int, description: str) -> bytes:
    status = {
        "status-code": encode.integer(code),
        "status-description": encode.string(description),
    }
    return requests.reply(request, status, encode.NULL)
