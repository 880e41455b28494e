"""A model's log: entries are appended, once each, and the highest valid one is the head."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers.models_handler import ModelStore
from mlgate.orchestration.durable import Head
from mlgate.orchestration.errors import Busy, Permanent
from tests.contract.handlers.models_handler.places import Place
from tests.contract.handlers.models_handler.some import MODEL, append, entry_after


def test_a_model_without_a_log_has_no_head(store: ModelStore) -> None:
    assert store.head(MODEL) == Head()
    assert store.entry(MODEL, 1) is None
    assert list(store.log(MODEL)) == []
    assert store.models() == []


def test_the_head_is_what_was_appended_last(place: Place, store: ModelStore) -> None:
    other = place.open()
    for number in range(1, 12):
        entry = entry_after(store.head(MODEL), f"{number}")
        assert store.append(entry)
        assert store.head(MODEL) == Head(entry, number)
        if number in (1, 2, 8, 11):
            assert other.head(MODEL) == Head(entry, number), "whatever it saw before"
            assert place.open().head(MODEL) == Head(entry, number)

    assert [entry.number for entry in other.log(MODEL)] == list(range(11, 0, -1))
    assert other.entry(MODEL, 3) == store.entry(MODEL, 3) is not None
    assert place.get(f"{MODEL}/log/00000011.json") == entry.content


def test_models_are_apart(store: ModelStore) -> None:
    append(store, model="b")
    append(store, 2, model="a")
    assert store.models() == ["a", "b"]
    assert (store.head("a").taken, store.head("b").taken) == (2, 1)


def test_the_same_entry_again_is_true_and_nothing_more(place: Place, store: ModelStore) -> None:
    entry = append(store, 3)
    assert store.append(entry)
    assert place.open().append(entry), "of a process that was killed before it knew"
    later = append(place.open())
    assert store.append(entry)
    assert place.open().append(entry), "also when others came since"
    assert store.head(MODEL) == Head(later, 4)


def test_a_number_is_taken_once(place: Place, store: ModelStore) -> None:
    stale = place.open()
    head = stale.head(MODEL)
    first = append(store)
    assert not stale.append(entry_after(head, "Bob"))
    assert not place.open().append(entry_after(head, "Cyd")), "who has not looked"
    assert stale.head(MODEL) == Head(first, 1)


def test_an_entry_replaces_the_version_that_was_current(place: Place, store: ModelStore) -> None:
    """Else it was weighed against another one."""
    append(store, 2)
    entry = entry_after(store.head(MODEL))
    assert not store.append(replace(entry, replaces="0" * 12))
    assert not place.open().append(replace(entry, replaces=None))
    assert place.open().append(entry)


def test_a_log_has_no_gap(store: ModelStore) -> None:
    entry = append(store)
    with pytest.raises(Permanent, match="no entry 2 before 3"):
        store.append(replace(entry_after(Head(entry, 2)), replaces=entry.id))


@pytest.mark.parametrize("length", [0, 1, 40, -1])
def test_a_torn_entry_counts_as_taken_and_is_void(
    place: Place, store: ModelStore, length: int
) -> None:
    first = append(store)
    torn = entry_after(store.head(MODEL), "torn")
    place.put(f"{MODEL}/log/00000002.json", torn.content[:length], age=10)
    found = Head(first, 2)
    assert store.head(MODEL) == place.open().head(MODEL) == found
    assert list(store.log(MODEL)) == [first]
    assert store.entry(MODEL, 2) is None
    assert not store.append(torn), "its number is taken"

    for each in (store, place.open()):
        with pytest.raises(Busy, match="Entry 2 of churn is being written, or was cut short"):
            each.append(entry_after(found, "early"))
    place.put(f"{MODEL}/log/00000002.json", torn.content[:length], age=61)
    assert store.head(MODEL) == found
    entry = entry_after(found, "late")
    assert store.append(entry)
    assert place.open().head(MODEL) == store.head(MODEL) == Head(entry, 3)
    assert [each.number for each in place.open().log(MODEL)] == [3, 1]


def test_an_entry_that_was_being_written_is_found_once_it_is_whole(
    place: Place, store: ModelStore
) -> None:
    first = append(store)
    slow = entry_after(store.head(MODEL), "slow")
    place.put(f"{MODEL}/log/00000002.json", slow.content[:50])
    seen = store.head(MODEL)
    assert seen == Head(first, 2)

    place.put(f"{MODEL}/log/00000002.json", slow.content)
    assert not store.append(entry_after(seen, "quick")), "it was weighed against the one before"
    assert store.head(MODEL) == Head(slow, 2)


def test_what_belongs_elsewhere_is_void(place: Place, store: ModelStore) -> None:
    first = append(store)
    place.put(f"{MODEL}/log/00000002.json", first.content)
    place.put("other/log/00000001.json", first.content)
    assert store.head(MODEL) == Head(first, 2)
    assert store.head("other") == Head(None, 1)
    assert store.models() == [MODEL, "other"]


def test_every_torn_length_is_void(place: Place, store: ModelStore) -> None:
    first = append(store)
    whole = entry_after(store.head(MODEL), "torn").content
    lengths = range(0, len(whole), 1 if "container" not in place.where else 97)
    for length in lengths:
        place.put(f"{MODEL}/log/00000002.json", whole[:length], age=61)
        assert place.open().head(MODEL) == Head(first, 2), length
    changed = whole.replace(b"0.9", b"1.9")
    place.put(f"{MODEL}/log/00000002.json", changed)
    assert place.open().head(MODEL) == Head(first, 2), "nor does a change go unseen"
    place.put(f"{MODEL}/log/00000002.json", whole)
    assert place.open().head(MODEL).entry is not None


def test_names_that_no_model_has_are_refused(place: Place, store: ModelStore) -> None:
    before = place.names()
    for name in ("", "Churn", "..", "a/b", "a" * 64, "x\n", "-a"):
        for act in (store.head, store.versions, lambda model: list(store.log(model))):
            with pytest.raises(Permanent, match="cannot be the name of a model"):
                act(name)
        with pytest.raises(Permanent, match="cannot be the name of a model"):
            store.append(entry_after(Head(), model=name))
    with pytest.raises(Permanent, match="cannot be the id of a version"):
        store.append(replace(entry_after(Head()), id="../../x"))
    assert place.names() == before
