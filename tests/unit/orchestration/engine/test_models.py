"""What a store keeps, as bytes: the same for the same content, and nothing for what was changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mlgate.orchestration.models import (
    BuildOfEntry,
    Compared,
    Entry,
    EntryKind,
    Manifest,
    ModelFile,
    RepositoryOfEntry,
    Weight,
    canonical,
    entry_of,
    is_id,
    is_name,
    manifest_of,
)

MANIFEST = Manifest(
    "pickle",
    "model.pkl",
    "3.11.7",
    "linux-x86_64",
    {"scikit-learn": "1.5.2"},
    (ModelFile("model.pkl", 3, "ab" * 32),),
    example={"inputs": [[1.0, None]], "who": "é\ud800"},
    answer=[0.5],
)
ENTRY = Entry(
    42,
    "churn",
    EntryKind.PROMOTED,
    MANIFEST.id,
    MANIFEST.digest,
    "0" * 12,
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    BuildOfEntry("0123", "b-1", "train"),
    "Ada",
    RepositoryOfEntry("https://example.com/r.git", "f" * 40),
    "train",
    None,
    {"train": {"accuracy": 0.9}},
    "3 of 3 runs passed.",
    (Compared("train", "accuracy", 0.9, 0.8, False, Weight.BETTER),),
    "It is better.",
)


def changed(content: bytes, **fields: Any) -> bytes:
    return canonical({**json.loads(content), **fields})


def test_what_was_written_is_read_again() -> None:
    assert manifest_of(MANIFEST.content) == MANIFEST
    assert entry_of(ENTRY.content) == ENTRY
    assert is_id(MANIFEST.id)


def test_the_order_of_what_is_told_makes_no_other_version() -> None:
    said = json.loads(MANIFEST.content)
    again = manifest_of(json.dumps(dict(reversed(said.items()))).encode())

    assert again is not None
    assert again.digest == MANIFEST.digest


def test_an_entry_has_the_public_fields() -> None:
    assert set(json.loads(ENTRY.content)) == {
        "version",
        "number",
        "model",
        "kind",
        "id",
        "digest",
        "replaces",
        "at",
        "build",
        "person",
        "repository",
        "run",
        "studio_url",
        "metrics",
        "gate",
        "comparison",
        "reason",
        "sha256",
    }


def test_every_cut_and_every_change_of_an_entry_makes_it_void() -> None:
    content = ENTRY.content
    for length in range(len(content)):
        assert entry_of(content[:length]) is None
    for at in range(0, len(content), 7):
        other = bytes([content[at] ^ 1])
        assert entry_of(content[:at] + other + content[at + 1 :]) is None


def test_an_entry_of_a_later_version_that_says_more_is_read() -> None:
    """Its checksum is over all that it says."""
    said = {**json.loads(ENTRY.content), "mood": "good"}
    del said["sha256"]
    import hashlib

    said["sha256"] = hashlib.sha256(canonical(said)).hexdigest()
    assert entry_of(canonical(said)) == ENTRY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        changed(MANIFEST.content, version=2),
        changed(MANIFEST.content, files=None),
        changed(MANIFEST.content, files=[{"path": "a", "size": "many", "sha256": ""}]),
        changed(MANIFEST.content, format=None),
    ],
)
def test_what_is_no_manifest_is_none(content: bytes) -> None:
    assert manifest_of(content) is None
    assert entry_of(content) is None


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a\\b", "a\0b"])
def test_a_manifest_whose_files_lie_elsewhere_is_none(path: str) -> None:
    files = [{"path": path, "size": 1, "sha256": "ab"}]
    assert manifest_of(changed(MANIFEST.content, files=files)) is None


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("churn", True),
        ("0-a_b", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("Churn", False),
        ("-a", False),
        ("", False),
        ("a/b", False),
        ("a\n", False),
        ("..", False),
    ],
)
def test_names(name: str, good: bool) -> None:
    assert is_name(name) is good
