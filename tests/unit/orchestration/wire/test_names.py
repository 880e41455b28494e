"""Names of runs that were given none: valid, unique, independent of their order."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.planning.names import Unnamed, same, unique_names

VALID = re.compile("[a-z0-9][a-z0-9_-]{0,62}")


def names(*paths: str, taken: tuple[str, ...] = ()) -> list[str]:
    return unique_names([Unnamed(path) for path in paths], taken)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("notebooks/train.ipynb", "train"),
        ("01_Data Prep (final).ipynb", "01_data-prep-final"),
        ("_Ünïcode_.ipynb", "unicode"),
        ("a.b.ipynb", "a-b"),
    ],
)
def test_a_name_is_the_slug_of_the_stem(path: str, name: str) -> None:
    assert names(path) == [name]


def test_a_stem_without_a_letter_gives_way_to_the_path() -> None:
    assert names("notebooks/**/*.ipynb") == ["notebooks-ipynb"]


def test_a_path_without_a_letter_is_named_by_a_hash() -> None:
    (name,) = names("模型/模型")
    assert re.fullmatch("[0-9a-f]{8}", name)


def test_all_that_collide_take_the_whole_path() -> None:
    assert names("a/x.ipynb", "b/x.ipynb", "y.ipynb") == ["a-x-ipynb", "b-x-ipynb", "y"]


def test_names_that_differ_in_dash_and_underscore_collide() -> None:
    assert names("a_b.ipynb", "c/a-b.ipynb") == ["a_b-ipynb", "c-a-b-ipynb"]


def test_a_given_name_wins_over_a_made_one() -> None:
    assert names("a_b.ipynb", taken=("a-b",)) == ["a_b-ipynb"]


def test_paths_with_the_same_slug_are_told_apart_by_a_hash() -> None:
    first, second = names("a b.ipynb", "a-b.ipynb")
    assert first != second
    assert first.startswith("a-b-ipynb-")


def test_a_long_name_is_cut_and_told_apart_by_a_hash() -> None:
    first, second = names("x" * 80 + "1.ipynb", "x" * 80 + "2.ipynb")
    assert len(first) == len(second) == 63
    assert first[:50] == second[:50]
    assert first != second


def test_the_name_of_a_glob_comes_first() -> None:
    found = [Unnamed("n/a.ipynb", "nb"), Unnamed("n/b.ipynb", "nb"), Unnamed("m/b.ipynb", "nb")]
    assert unique_names(found, ["nb"]) == ["nb-a", "nb-n-b-ipynb", "nb-m-b-ipynb"]


paths = st.text("abAB_-. /ü模", min_size=1, max_size=90).map(lambda text: str(PurePosixPath(text)))


@given(st.lists(paths, unique=True, max_size=12), st.sampled_from(["", "nb", "n" * 63]))
def test_names_are_valid_and_unique_in_any_order(files: list[str], prefix: str) -> None:
    unnamed = [Unnamed(file, prefix) for file in files]
    found = dict(zip(files, unique_names(unnamed, ["a", "nb"]), strict=True))
    assert all(VALID.fullmatch(name) for name in found.values())
    assert len({same(name) for name in found.values()} | {"a", "nb"}) == len(files) + 2
    turned = dict(zip(files[::-1], unique_names(unnamed[::-1], ["a", "nb"]), strict=True))
    assert turned == found
