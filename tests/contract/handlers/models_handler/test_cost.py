"""What is asked of a place: a look at an unchanged head once, however long the log is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlgate.orchestration.durable import Head
from tests.contract.handlers.models_handler.places import Place
from tests.contract.handlers.models_handler.some import FILES, MODEL, append, entry_after, keep

FEW, MANY = 10, 10_000
_MARK = "open mark"  # a file next to the root, which a folder is asked for besides
_QUIET = ["disk", "smb", "container"]  # a lost answer is asked for again


def asked(place: Place) -> int:
    found = place.requests()
    assert found[_MARK] <= 1
    return found.total() - found[_MARK]


def filled(place: Place, count: int) -> Head:
    """A log of so many entries; those that nobody looks at are not made."""
    entry = replace(entry_after(Head(None, count - 1)), replaces=None)
    wanted = range(1, count + 1) if count == FEW else _looked_at(count)
    for number in wanted:
        place.put(f"{MODEL}/log/{number:08d}.json", replace(entry, number=number).content)
    return Head(entry, count)


def _looked_at(count: int) -> list[int]:
    """By a search that doubles its steps and then halves them, from 0."""
    from handlers.models_handler.heads import last_taken

    seen: list[int] = []

    def taken(number: int) -> bool:
        if number <= count:
            seen.append(number)
        return number <= count

    assert last_taken(0, taken) == count
    return seen


@pytest.mark.parametrize("place", _QUIET, indirect=True)
@pytest.mark.parametrize("count", [FEW, MANY])
def test_the_head(place: Place, count: int) -> None:
    expected = filled(place, count)
    store = place.open()
    place.requests()
    assert store.head(MODEL) == expected
    assert asked(place) <= 30, "at first"
    for _ in range(3):
        assert store.head(MODEL) == expected
        assert asked(place) == 1, "when nothing was appended"

    other = place.open()
    other.head(MODEL)
    later = append(other)
    place.requests()
    assert store.head(MODEL) == Head(later, count + 1)
    assert asked(place) == 2, "when one was"


@pytest.mark.parametrize("place", _QUIET, indirect=True)
@pytest.mark.parametrize("count", [FEW, MANY])
def test_an_append(place: Place, count: int) -> None:
    filled(place, count)
    store = place.open()
    for _ in range(2):
        entry = entry_after(store.head(MODEL))
        place.requests()
        assert store.append(entry)
        assert asked(place) <= 3


@pytest.mark.parametrize("place", _QUIET, indirect=True)
def test_a_torn_entry_is_asked_for_until_it_is_void(place: Place) -> None:
    first = append(place.open())
    place.put(f"{MODEL}/log/00000002.json", b"{", age=30)
    store = place.open()
    for _ in range(2):
        assert store.head(MODEL) == Head(first, 2)
    place.put(f"{MODEL}/log/00000002.json", b"{", age=70)
    assert store.head(MODEL) == Head(first, 2)
    place.requests()
    assert store.head(MODEL) == Head(first, 2)
    assert asked(place) == 1


@pytest.mark.parametrize("place", ["container"], indirect=True)
def test_a_version_costs_a_request_for_each_file_and_few_more(place: Place) -> None:
    store = place.open()
    store.init()
    place.requests()
    keep(store)
    assert asked(place) <= len(FILES) + 5
    keep(store)
    assert asked(place) == len(FILES) + 3, "what is there is read, as it may have been damaged"
