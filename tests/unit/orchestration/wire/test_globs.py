"""Globs mean what they mean on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.orchestration.planning.globs import is_glob, matches

FILES = [
    ".hidden.ipynb",
    "a.ipynb",
    "b.py",
    "n/.ipynb_checkpoints/c-checkpoint.ipynb",
    "n/c.ipynb",
    "n/deep/d.ipynb",
    "n/deep/er/e1.ipynb",
    "n/deep/er/e2.ipynb",
]


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "*.ipynb",
        "**",
        "**/*.ipynb",
        "n/**/*.ipynb",
        "n/*/*.ipynb",
        "n/**/er/*",
        "**/e[12].ipynb",
        "**/e[!1].ipynb",
        "**/e?.ipynb",
        "n/**",
        "**/**/*.ipynb",
        "x/*",
        ".*",
        "n/.*/*",
        "A.ipynb",
    ],
)
def test_a_pattern_matches_what_it_matches_on_a_disk(pattern: str, tmp_path: Path) -> None:
    """Python's own glob, on real files, is the reference."""
    import glob

    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = glob.glob(pattern, root_dir=tmp_path, recursive=True)  # noqa: PTH207 -- has root_dir
    assert matches(pattern, FILES) == sorted({file for file in found if file in FILES})


@pytest.mark.parametrize(
    ("path", "expected"), [("a/b.ipynb", False), ("a/*", True), ("a[1]", True)]
)
def test_wildcards_make_a_glob(path: str, expected: bool) -> None:
    assert is_glob(path) is expected


@given(st.text("ab*?[]!/.-", max_size=60))
def test_any_pattern_is_decided(pattern: str) -> None:
    assert set(matches(pattern, FILES)) <= set(FILES)


def test_a_hostile_pattern_takes_no_time() -> None:
    name = "a" * 200
    assert matches("**/" * 30 + "*a" * 30 + "b", ["/".join([name] * 30)]) == []
