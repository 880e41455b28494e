"""Sorts the answers of Azure DevOps by what to do about them. Pure.

Expired tokens need care: a GET or POST is answered 203 with a sign-in page, or redirected to one;
only a PATCH is answered 401.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.text import one_line

LONGEST_RETRY_AFTER = 600.0  # seconds; the service's own window is 300
RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
PLAN_OVER = frozenset(
    {
        "TaskOrchestrationPlanNotFoundException",
        "TaskOrchestrationPlanSecurityException",
        "TaskOrchestrationPlanTerminatedException",
        "TaskAgentJobTokenExpiredException",
    }
)


class PlanOverError(Exception):
    """The plan has ended, for whatever reason: nothing more can be posted to it."""


class NotAuthorizedError(Exception):
    """The token is not accepted, or no longer."""


class NotNowError(Exception):
    """The service throttles or fails; `retry_after` is in seconds, None if it did not say."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def read_answer(
    status: int, headers: Mapping[str, str], content: bytes, *, asked: str, now: datetime
) -> Any:
    """The JSON of a successful answer, or None if it has no body.

    Raises one of the errors above, or Permanent. `headers` must ignore case, as those of `requests`
    do. `asked` names the request and the server in a few words, for the error's message.
    """
    type_key, message = _error_of(content) if status >= 400 else ("", "")
    if type_key in PLAN_OVER:
        raise PlanOverError(type_key)
    page = headers.get("Content-Type", "").lower().startswith("text/html")
    if status in (203, 401) or 300 <= status < 400 or (status < 300 and page):
        raise NotAuthorizedError
    if status in RETRYABLE:
        detail = f": {message}" if message else ""
        raise NotNowError(f"{asked} was answered {status}{detail}", retry_after(headers, now))
    if status >= 400:
        detail = " ".join(part for part in (type_key, message) if part)
        raise Permanent(
            f"{asked} was refused with {status} {detail}".rstrip()
            + ". Check that the pipeline belongs to this organization and its job may call back."
        )
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        raise NotNowError(f"{asked} was answered with something that is not JSON") from None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds from `now` in the Retry-After header, which holds seconds or an HTTP date."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _error_of(content: bytes) -> tuple[str, str]:
    """The (typeKey, message) of an error body; empty strings if it is not one."""
    try:
        body = json.loads(content)
    except ValueError:
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    return one_line(str(body.get("typeKey", "")), 80), one_line(str(body.get("message", "")), 300)
