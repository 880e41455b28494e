"""What the server answers when something fails that nobody foresaw."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from mlgate.hosts.serving.app import App
from mlgate.hosts.serving.keeper import Keeper
from tests.support.stores import Store


def test_an_error_that_nobody_foresaw_has_a_number_in_the_answer_and_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise RuntimeError("the loop is out of files")

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    async def ask() -> None:
        models = Store(tmp_path / "models").models
        python = lambda _: sys.executable  # noqa: E731 -- one line where a function has four
        keeper = Keeper(models, "churn", None, python, (), tmp_path, refresh=1.0, swap_wait=1.0)
        scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
        await App(keeper, 1000)(scope, receive, send)

    asyncio.run(ask())

    start, body = sent
    said = json.loads(body["body"])
    assert (start["status"], said["error_code"]) == (500, "INTERNAL_ERROR")
    number = said["message"].split()[1].rstrip(":")
    assert f"error {number}: POST /predict could not be answered" in caplog.text
    assert "the loop is out of files" in caplog.text
    assert "out of files" not in said["message"]
