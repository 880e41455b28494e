"""What a log says, and that no more of it is read than is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.models import BuildOfEntry, Entry, EntryKind
from mlgate.orchestration.promotion import history

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def log(words: str, ages: Sequence[float] | None = None) -> list[Entry]:
    """`"a b c <b"`: versions in their order, `<` before one that was rolled back to; the highest
    number first. `ages` are hours."""
    found = list[Entry]()
    for number, word in enumerate(words.split(), 1):
        age = ages[number - 1] if ages else 1000.0
        found.append(
            Entry(
                number,
                "churn",
                EntryKind.ROLLED_BACK if word.startswith("<") else EntryKind.PROMOTED,
                word.lstrip("<") * 12,
                "",
                found[-1].id if found else None,
                NOW - timedelta(hours=age),
                BuildOfEntry(f"key-{number}", "b"),
            )
        )
    return found[::-1]


@pytest.mark.parametrize(
    ("words", "back"),
    [
        ("", None),
        ("a", None),
        ("a b", "a"),
        ("a b c", "b"),
        ("a b c <b", "a"),  # not to what was just found bad
        ("a b c <b <a", None),
        ("a b c <b d", "b"),
        ("a b c <b <c", "b"),  # nothing was wrong with it: c was brought back
        ("a b <a <b", "a"),
        ("a b a", "b"),
        ("a b <a b", "a"),
    ],
)
def test_a_rollback_goes_to_the_last_one_that_was_not_withdrawn(
    words: str, back: str | None
) -> None:
    found = history.before(log(words))
    assert (found.id[0] if found else None) == back


@pytest.mark.parametrize(
    ("words", "withdrawn"),
    [
        ("a b", ""),
        ("a b <a", "b"),
        ("a b <a c", "b"),
        ("a b <a <b", ""),
        ("a b c <b <a", "bc"),
        ("a b <a <b <a", "b"),
    ],
)
def test_what_was_rolled_back_stays_withdrawn_until_it_is_brought_back(
    words: str, withdrawn: str
) -> None:
    entries = log(words)
    assert {each for each in "abcd" if history.withdrawn(each * 12, entries)} == set(withdrawn)


def test_an_entry_is_found_by_its_version_or_its_number() -> None:
    entries = log("a b a c")
    assert [history.named(to, entries) for to in ("a" * 12, "2", "b" * 12)] == [
        entries[1],
        entries[2],
        entries[2],
    ]
    assert [history.named(to, entries) for to in ("9", "0", "x", "", "d" * 12, "²")] == [None] * 6


def test_a_build_s_own_entry_is_looked_for_above_what_it_began_with() -> None:
    entries = log("a b c")
    assert history.of_build("key-2", entries, 1) == entries[1]
    assert history.of_build("key-2", entries, 2) is None


@pytest.mark.parametrize(
    ("words", "ages", "keep", "kept"),
    [
        ("a b c d e", None, 2, "de"),
        ("a b c d e", None, 1, "de"),  # what it replaced is a way back
        ("a b c d e", [50, 20, 10, 5, 1], 1, "abcde"),  # what b replaced is named by its entry
        ("a b c d e", [50, 40, 30, 5, 1], 1, "cde"),
        ("a b c d <a", None, 1, "adc"),
        ("a b a b a b", None, 2, "ab"),
    ],
)
def test_the_versions_whose_files_stay(
    words: str, ages: Sequence[float] | None, keep: int, kept: str
) -> None:
    assert {each[0] for each in history.kept(log(words, ages), keep, NOW)} == set(kept)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_whatever_the_log_the_current_version_and_the_way_back_stay(
    steps: list[tuple[str, bool]], keep: int
) -> None:
    entries = log(" ".join(("<" if back else "") + name for name, back in steps))
    kept = history.kept(entries, keep, NOW)
    back = history.before(entries)

    assert entries[0].id in kept
    assert entries[0].replaces is None or entries[0].replaces in kept
    assert back is None or (back.id in kept and back.id != entries[0].id)
    assert back is None or not history.withdrawn(back.id, entries)


def test_a_long_log_is_not_read_to_its_end() -> None:
    entries, read = log("a b c d e f" * 100), list[int]()

    def reading() -> Iterator[Entry]:
        for entry in entries:
            read.append(entry.number)
            yield entry

    history.before(reading())
    history.kept(reading(), 3, NOW)
    history.of_build("nobody", reading(), entries[0].number - 3)
    history.withdrawn(entries[5].id, reading())
    assert len(read) < 30
