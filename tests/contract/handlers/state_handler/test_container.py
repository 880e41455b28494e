"""What a container offers for files: the last of them, no more than asked, and made in parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlgate.orchestration.errors import Temporary
from tests.contract.handlers.state_handler.conftest import Storage

BIG = 5 << 20  # bytes, so that a file is not one piece on its way


def test_a_file_in_parts_is_there_when_all_are_made(storage: Storage) -> None:
    container = storage.container()
    container.put("file", (b"x" * 1024 for _ in range(BIG // 1024)), "text/plain")
    found = container.read("file")
    assert found is not None
    assert found.content == b"x" * BIG

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        container.put("file", broken())
    assert container.read("file") == found
    container.put("file", iter(()))
    found = container.read("file")
    assert found is not None
    assert found.content == b""


def test_no_more_is_read_than_asked_for(storage: Storage) -> None:
    container = storage.container()
    container.put("file", b"12345")
    container.put("empty", b"")

    for most, content in ((4, None), (5, b"12345"), (6, b"12345")):
        found = container.read("file", most)
        assert (found and found.content) == content
    empty = container.read("empty", 5)
    assert empty is not None
    assert empty.content == b""
    assert container.read("missing", 5) is None
    storage.relay.counted()
    container.put("big", b"x" * BIG)
    storage.relay.counted()
    assert container.read("big", 1000) is None
    assert storage.relay.moved < 5000


def test_the_last_of_a_file(storage: Storage) -> None:
    container = storage.container()
    container.put("log", b"12345")
    container.put("empty", b"")

    assert [container.tail("log", most) for most in (0, 2, 5, 9)] == [
        b"",
        b"45",
        b"12345",
        b"12345",
    ]
    assert container.tail("empty", 3) == b""
    assert container.tail("missing", 3) == b""


def test_the_last_of_a_file_that_is_replaced_meanwhile(storage: Storage) -> None:
    container = storage.container()
    container.put("log", b"12345")
    storage.relay.hold(1, lambda: storage.container().put("log", b"1"))
    assert container.tail("log", 3) == b"1"

    storage.relay.fail("GET log", (412, "ConditionNotMet"), times=9)
    with pytest.raises(Temporary):
        container.tail("log", 3)


def test_a_listing_tells_ages_by_the_storage_s_clock(storage: Storage) -> None:
    container = storage.container()
    container.put("a/old", b"", metadata={"at": "noon"})
    storage.later(100)
    container.put("a/new", b"")
    storage.later(50)

    new, old = container.listed("a/")
    assert (new.name, old.name, old.metadata["at"]) == ("a/new", "a/old", "noon")
    assert 49 <= new.age.total_seconds() < 80
    assert 149 <= old.age.total_seconds() < 180
    assert container.set_metadata("a/old", {"at": "one"})
    assert not container.set_metadata("a/missing", {"at": "one"})
    assert container.listed("a/")[1].age.total_seconds() < 30
