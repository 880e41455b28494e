"""Messages, trees and notebooks to vary, and the bodies a .NET sender makes of a text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.planning.plan import Plan
from mlgate.orchestration.wire.messages import StartMessage, read

GUIDS = [f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "1234a"]

PROPERTIES = {
    "PlanUrl": "https://dev.azure.com/contoso/",
    "ProjectId": GUIDS[0],
    "HubName": "build",
    "PlanId": GUIDS[1],
    "JobId": GUIDS[2],
    "TimelineId": GUIDS[3],
    "TaskInstanceName": "PublishToAzureServiceBus",
    "TaskInstanceId": GUIDS[4],
    "AuthToken": "made-up-token",
}

_NAMESPACE = b"http://schemas.microsoft.com/2003/10/Serialization/"
STRING_HEADER = b"\x40\x06string\x08\x33" + _NAMESPACE
BYTES_HEADER = b"\x40\x0cbase64Binary\x08\x33" + _NAMESPACE


def notebook_run(path: str = "a.ipynb", **fields: Any) -> dict[str, Any]:
    return {"kind": "notebook", "path": path, **fields}


def training_run(command: str = "python train.py", **fields: Any) -> dict[str, Any]:
    return {"kind": "training", "command": command, **fields}


def serving_run(model: str = "train", **fields: Any) -> dict[str, Any]:
    return {"kind": "serving", "model": model, **fields}


def request(*runs: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A valid message with these runs (one notebook when there are none), and other fields."""
    message: dict[str, Any] = {
        "version": 1,
        "repository": {"url": "https://dev.azure.com/contoso/sales/_git/sales"},
    }
    if runs or "runs_from" not in fields:
        message["runs"] = list(runs) or [notebook_run()]
    return {**message, **fields}


def body(message: object) -> bytes:
    return json.dumps(message).encode()


def start(*runs: Mapping[str, Any], **fields: Any) -> StartMessage:
    message = read(body(request(*runs, **fields))).message()
    assert isinstance(message, StartMessage)
    return message


def findings_of(action: Callable[..., object], *arguments: Any) -> tuple[Finding, ...]:
    """The findings that an action refuses its arguments with; none when it does not."""
    try:
        action(*arguments)
    except BadMessage as error:
        return error.findings
    return ()


def refused(data: bytes) -> tuple[Finding, ...]:
    """The findings that a body is refused with; none when it is not."""
    return findings_of(lambda: read(data).message())


def places(findings: Sequence[Finding]) -> set[tuple[str, str]]:
    return {(finding.code, finding.pointer) for finding in findings}


def names(planned: Plan) -> list[str]:
    return [run.spec.name for run in planned.runs]


@dataclass
class Files:
    """A tree in memory: path -> content."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def files(self) -> Sequence[str]:
        return sorted(self.contents)

    def read(self, path: str) -> bytes:
        return self.contents[path]


def tree(*paths: str, contents: Mapping[str, bytes] | None = None) -> Files:
    """Empty notebooks at `paths`, and other files with their contents."""
    return Files({path: notebook() for path in paths} | dict(contents or {}))


def notebook(*cells: str | tuple[str, list[str]], **metadata: Any) -> bytes:
    """A notebook of format 4; a cell is its source, or its source and tags."""
    sources = [cell if isinstance(cell, tuple) else (cell, []) for cell in cells]
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": metadata,
            "cells": [
                {"cell_type": "code", "source": source, "metadata": {"tags": tags}, "outputs": []}
                for source, tags in sources
            ],
        }
    ).encode()


def wrapped(text: str) -> bytes:
    """The body that .NET's DataContractSerializer over a binary XML writer makes of a string."""
    record, content, sized = _record(text)
    if len(text) >= 150:  # the writer's buffer was flushed: the end cannot join the record
        return STRING_HEADER + bytes([record]) + sized + content + b"\x01"
    return STRING_HEADER + bytes([record + 1]) + sized + content


def _record(text: str) -> tuple[int, bytes, bytes]:
    special = {"": 0xA8, "0": 0x80, "1": 0x82}
    if text in special:
        return special[text], b"", b""
    content, records = text.encode(), (0x98, 0x9A, 0x9C)
    utf_16 = text.encode("utf-16-le")
    if len(content) // 2 > len(utf_16) // 2:
        content, records = utf_16, (0xB6, 0xB8, 0xBA)
    widths = zip(records, (1, 2, 4), strict=True)
    record, width = next(each for each in widths if len(content) < 256 ** each[1])
    return record, content, len(content).to_bytes(width, "little")
