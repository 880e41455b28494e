"""How long a server's answer to a credential counts, and whose it is."""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from handlers.repository_handler.credentials import Access
from handlers.repository_handler.readers import Readers
from handlers.repository_handler.remote import Remote

MINE = Remote("https://host/a", "https", Access("", SecretStr("Basic mine"), ""))
OTHERS = [
    replace(MINE, access=Access("", SecretStr("Basic other"), "")),
    replace(MINE, access=Access("", None, "")),
    replace(MINE, url="https://host/b"),
    replace(MINE, url="https://host/a\nBasic mine", access=Access("", None, "")),
]


def test_an_answer_counts_for_minutes_and_for_that_credential_and_repository_alone() -> None:
    now = [1000.0]
    readers = Readers(lambda: now[0])
    assert not readers.lately(MINE)
    readers.note(MINE)
    assert readers.lately(MINE)
    assert not any(readers.lately(other) for other in OTHERS)
    now[0] += 299
    assert readers.lately(MINE)
    now[0] += 1
    assert not readers.lately(MINE)
    readers.note(OTHERS[0])
    assert not readers.lately(MINE)


def test_no_credential_is_held() -> None:
    readers = Readers()
    readers.note(MINE)
    assert "mine" not in repr(vars(readers))
