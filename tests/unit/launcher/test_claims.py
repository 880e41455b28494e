"""What a model's process says is believed as far as its types and sizes hold."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlgate.launcher.claims import MOST_BYTES, Miss, Said

DONE = {
    "step": "done",
    "load_seconds": 1.5,
    "answers": [[1], [1]],
    "signature": None,
    "distributions": {"numpy": "2.0"},
}
RAISED = {
    "name": "KeyError", "message": "'a'", "classes": ["builtins.KeyError"], "frames": [],
    "facts": {}, "causes": [], "members": [],
}  # fmt: skip


def test_what_holds_is_read(tmp_path: Path) -> None:
    (tmp_path / "said.json").write_text(json.dumps(DONE))

    said = Said.read(tmp_path / "said.json")

    assert (said.step, said.load_seconds, said.answers) == ("done", 1.5, ([1], [1]))
    assert said.distributions == {"numpy": "2.0"}


ASKED: dict[str, Any] = {
    "number": 2,
    "failed": 1,
    "answers": [[1]],
    "seconds": [0.5, 0.25],
    "misses": [{"number": 2, "refused": {"kind": "invalid", "message": "no"}}],
}


def test_what_came_of_requests_is_read(tmp_path: Path) -> None:
    (tmp_path / "said.json").write_text(json.dumps({**DONE, **ASKED}))
    said = Said.read(tmp_path / "said.json")

    assert (said.number, said.failed, said.seconds) == (2, 1, (0.5, 0.25))
    assert said.misses == (Miss(2, ("invalid", "no"), None),)

    under_way = {"step": "answering", "load_seconds": 1, "number": 3, "failed": 2}
    (tmp_path / "said.json").write_text(json.dumps(under_way))
    said = Said.read(tmp_path / "said.json")
    assert (said.step, said.number, said.failed) == ("answering", 3, 2)


def test_an_exception_is_read_with_its_traceback(tmp_path: Path) -> None:
    told = {"step": "loading", "raised": RAISED, "traceback": "KeyError: 'a'"}
    (tmp_path / "said.json").write_text(json.dumps(told))

    raised = Said.read(tmp_path / "said.json").raised

    assert raised is not None
    assert (str(raised), raised.traceback) == ("KeyError: 'a'", "KeyError: 'a'")


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "finished"},
        {"step": None},
        {"load_seconds": "1"},
        {"load_seconds": -1},
        {"load_seconds": True},
        {"answers": [[1]]},
        {"answers": {"0": 1, "1": 1}},
        {"signature": 1},
        {"distributions": {"numpy": 2}},
        {"distributions": {"numpy": "2" * 1000}},
        {"distributions": {"\ud800": "2"}},
        {"distributions": ["numpy"]},
        {"distributions": {str(number): "1" for number in range(2001)}},
        {"answer_bytes": "many"},
        {"refused": {"kind": "network", "message": "x"}},
        {"refused": "x"},
        {"raised": {}, "traceback": ""},
        {"raised": {**RAISED, "causes": [1]}, "traceback": ""},
        {**ASKED, "failed": 3},
        {**ASKED, "failed": 0},
        {**ASKED, "misses": []},
        {**ASKED, "misses": [{"number": 2}]},
        {**ASKED, "misses": ASKED["misses"] * 21},
        {**ASKED, "number": 100_001},
        {**ASKED, "seconds": [0.5, "1"]},
        {**ASKED, "seconds": [0.5]},
    ],
)
def test_what_does_not_hold_is_as_if_nothing_had_been_said(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    (tmp_path / "said.json").write_text(json.dumps({**DONE, **changes}))

    assert Said.read(tmp_path / "said.json") == Said()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        json.dumps(DONE).replace("1.5", "NaN").encode(),
        json.dumps(DONE).replace("[1]", "[1e999]").encode(),
        json.dumps(DONE).encode() + b" " * MOST_BYTES,
    ],
    ids=["empty", "half", "list", "deep", "NaN", "infinity", "large"],
)
def test_so_is_what_is_no_json_or_too_much(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "said.json").write_bytes(content)

    assert Said.read(tmp_path / "said.json") == Said()


def test_so_is_what_is_no_file(tmp_path: Path) -> None:
    assert Said.read(tmp_path / "missing") == Said()
    os.mkfifo(tmp_path / "pipe")
    assert Said.read(tmp_path / "pipe") == Said()
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert Said.read(tmp_path / "link") == Said()
