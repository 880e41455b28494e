"""What `mlgate run` begins before it has read the message."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mlgate.hosts.head_start import head_start, likely_kind
from mlgate.orchestration.runs import RunKind
from tests.contract.handlers.local_handler.warmth import LINUX_ALONE

NOTEBOOK: dict[str, Any] = {"kind": "notebook", "path": "a.ipynb"}
TRAINING: dict[str, Any] = {"kind": "training", "name": "t", "command": "true"}
OWN = {"environment": {"requirements": "requirements.txt"}}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"runs": [NOTEBOOK]}, RunKind.NOTEBOOK),
        ({"runs": [TRAINING, NOTEBOOK]}, RunKind.NOTEBOOK),
        ({"runs": [TRAINING]}, RunKind.TRAINING),
        ({"runs": [TRAINING, {**NOTEBOOK, **OWN}]}, RunKind.TRAINING),
        ({"runs_from": "mlgate.json"}, RunKind.NOTEBOOK),
        ({"kind": "start", "backend": "local", "runs": [NOTEBOOK]}, RunKind.NOTEBOOK),
        ({"kind": "start"}, None),
        ({"runs": [{**NOTEBOOK, **OWN}]}, None),
        ({"runs": [NOTEBOOK], "defaults": OWN}, None),
        ({"runs": [NOTEBOOK], "backend": "azureml"}, None),
        ({"kind": "promote", "model": "m", "build": "7"}, None),
        ({"runs": [{"path": "a.ipynb"}]}, None),
        ({"runs": 7}, None),
        ({"runs": [NOTEBOOK], "defaults": 7}, None),
        ([NOTEBOOK], None),
        ("notebook", None),
    ],
)
def test_the_message_says_which_runs_there_may_be(message: Any, kind: RunKind | None) -> None:
    assert likely_kind(json.dumps(message).encode(), None) is kind


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_an_unreadable_message_begins_nothing(body: bytes) -> None:
    assert likely_kind(body, None) is None


def test_an_option_and_a_setting_name_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"runs": [NOTEBOOK]}).encode()
    there = json.dumps({"runs": [NOTEBOOK], "backend": "azureml"}).encode()
    monkeypatch.setenv("MLGATE_BACKEND", "azureml")

    assert likely_kind(body, None) is None
    assert likely_kind(body, "local") is RunKind.NOTEBOOK
    assert likely_kind(there, "local") is RunKind.NOTEBOOK


@LINUX_ALONE
def test_what_was_begun_ends_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLGATE_HOME", str(tmp_path / "home"))
    body = json.dumps({"runs": [TRAINING]}).encode()
    before = gc.get_threshold(), sys.getswitchinterval()
    kept = []

    def fail() -> None:
        with head_start(body, None) as begun:
            assert begun is not None
            assert not begun.ended()
            kept.append(begun)
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert kept[0].ended()
    assert (gc.get_threshold(), sys.getswitchinterval()) == before
    assert not (tmp_path / "home").exists()  # nobody knows yet whether the message is valid
