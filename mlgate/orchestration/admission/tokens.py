"""When a job's token expires, as far as it says so itself. Pure; nothing is verified."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from pydantic import SecretStr


def expires_at(token: SecretStr) -> datetime | None:
    """The `exp` of a token that is a JWT; None for any other, or a time beyond any calendar."""
    parts = token.get_secret_value().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None


def outlived(token: SecretStr, deadline: datetime) -> str | None:
    """The sentence for a build that may last longer than its token."""
    expiry = expires_at(token)
    if expiry is None or deadline <= expiry:
        return None
    return (
        f"The pipeline's token expires at {expiry:%Y-%m-%d %H:%M} UTC, but the build may last "
        f"until {deadline:%Y-%m-%d %H:%M} UTC. After that only a host with "
        "MLGATE_DEVOPS_IDENTITY=1 can call the pipeline back; otherwise lower `deadline_minutes`."
    )
