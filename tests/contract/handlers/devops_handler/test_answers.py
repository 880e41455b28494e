"""Answers that no stand-in gives by itself, sorted by what they mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from handlers.devops_handler.answers import NotAuthorizedError, NotNowError, read_answer
from mlgate.orchestration.errors import Permanent

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


def read(status: int, content: bytes, content_type: str) -> Any:
    headers = CaseInsensitiveDict({"content-type": content_type})
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return read_answer(status, headers, content, asked="GET records at a.example", now=now)


@pytest.mark.parametrize(
    ("status", "content_type"),
    [(203, JSON), (203, HTML), (200, HTML), (302, HTML), (301, JSON), (401, JSON), (401, HTML)],
)
def test_a_sign_in_in_any_disguise_is_no_success(status: int, content_type: str) -> None:
    with pytest.raises(NotAuthorizedError):
        read(status, b"{}", content_type)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_service_that_is_ill_answers_with_pages_too(status: int) -> None:
    """A gateway's error page is no sign-in page."""
    with pytest.raises(NotNowError, match=str(status)):
        read(status, b"<html>", HTML)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[1]", b'"no"', b'{"typeKey": null}', b"\xff"]
)
def test_a_refusal_in_any_form_is_permanent(content: bytes) -> None:
    with pytest.raises(Permanent, match="404"):
        read(404, content, JSON)


def test_a_refusal_quotes_the_services_own_words() -> None:
    body = b'{"typeKey": "AccessDeniedException", "message": "TF50309: not\\nallowed"}'
    with pytest.raises(Permanent, match="403 AccessDeniedException TF50309: not allowed"):
        read(403, body, JSON)


def test_good_answers_are_read() -> None:
    assert read(200, b'{"count": 0}', JSON) == {"count": 0}
    assert read(204, b"", "") is None
