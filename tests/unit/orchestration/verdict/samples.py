"""Builds and executed notebooks, as the backends leave them, for the tests of the reports."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlgate.orchestration.builds import (
    Build,
    Gate,
    GateMetric,
    MetricCheck,
    RepositoryRequest,
    RunState,
    Verdict,
)
from mlgate.orchestration.runs import Failure, FailureKind, RunKind, RunSpec, RunStatus
from mlgate.orchestration.verdict.evidence import Read

BEGIN = datetime(2025, 5, 6, 8, 3, 11, tzinfo=UTC)

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "\x00\x08\x0b\ufffe\udc80 controls",
    "| pipe | `tick` ``` **bold** [a](https://evil.example) ![i](https://evil.example/i.png)",
    "first\n\n# heading\n<b>html</b>\n```\nfence\n| --- |",
    "]]> <!-- <![CDATA[ &amp; &#0;",
    "~~~\n````\n$x$ @team #12 www.evil.example",
    "",
)

TRACEBACK = """KeyError                                  Traceback (most recent call last)
Cell In[3], line 1
----> 1 frame["demand"]

KeyError: 'demand'"""


def png(width: int = 40, height: int = 30) -> bytes:
    """A blue picture of that size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\x00" + b"\x1f\x77\xb4" * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def plot(media_type: str = "image/png", content: bytes | None = None) -> dict[str, Any]:
    """The output of a cell that plots."""
    data = base64.b64encode(png() if content is None else content).decode()
    return {"output_type": "display_data", "data": {media_type: data, "text/plain": "<Figure>"}}


def code_cell(
    number: int | None, status: str = "succeeded", source: str | list[str] = "", **fields: Any
) -> dict[str, Any]:
    note = {"number": number, "status": status, "seconds": 0.5}
    return {
        "cell_type": "code",
        "source": source or f"step({number})",
        "outputs": [],
        "metadata": {"mlgate": note} if number is not None else {"tags": ["injected-parameters"]},
        **fields,
    }


def notebook(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def executed(cells: int, failing: int | None = None, plotting: Collection[int] = ()) -> bytes:
    """An executed notebook of so many code cells, which ended at the failing one."""

    def status(number: int) -> str:
        if failing is None or number < failing:
            return "succeeded"
        return "failed" if number == failing else "not_run"

    return notebook(
        *(
            code_cell(number, status(number), outputs=[plot()] if number in plotting else [])
            for number in range(1, cells + 1)
        )
    )


def a_run(
    name: str = "explore",
    kind: RunKind = RunKind.NOTEBOOK,
    status: RunStatus = RunStatus.SUCCEEDED,
    *,
    seconds: float = 90.0,
    needs: tuple[str, ...] = (),
    **fields: Any,
) -> RunState:
    """A run that was submitted, a minute after its build."""
    start = BEGIN + timedelta(minutes=1)
    run = RunState(
        RunSpec(name, kind, path=f"{name}.ipynb", needs=needs),
        status=status,
        submitted=True,
        started_at=start,
        finished_at=start + timedelta(seconds=seconds),
    )
    return replace(run, **fields)


def a_failure(**fields: Any) -> Failure:
    given = {"kind": FailureKind.CODE, "message": "KeyError: 'demand'", "cell": 3}
    return Failure(**{**given, "traceback": TRACEBACK, **fields})


def failed_run(name: str = "explore", **fields: Any) -> RunState:
    return a_run(name, status=RunStatus.FAILED, failure=a_failure(**fields))


def skipped_run(name: str, needs: tuple[str, ...]) -> RunState:
    return a_run(
        name,
        status=RunStatus.SKIPPED,
        needs=needs,
        submitted=False,
        started_at=None,
        finished_at=None,
    )


def a_build(*runs: RunState, **fields: Any) -> Build:
    build = Build(
        key="0123456789abcdef",
        build_id="20418",
        request={},
        repository=RepositoryRequest("https://dev.azure.com/contoso/models/_git/models"),
        backend="azureml",
        received_at=BEGIN,
        deadline=BEGIN + timedelta(days=1),
        commit="9fceb02d0ae598e95dc970b74767f19372d61af8",
        runs=runs,
        verdict=Verdict.SUCCEEDED,
        reason=f"{len(runs)} of {len(runs)} runs passed.",
        finished_at=BEGIN + timedelta(minutes=42),
    )
    return replace(build, **fields)


def leaving(build: Build, files: Mapping[str, Collection[str]]) -> Build:
    """The build whose runs left these files, by name, relative to their folders."""
    runs = (
        replace(
            run, evidence=tuple(f"runs/{run.spec.name}/{file}" for file in files[run.spec.name])
        )
        if run.spec.name in files
        else run
        for run in build.runs
    )
    return replace(build, runs=tuple(runs))


def with_notebooks(build: Build, notebooks: Mapping[str, bytes]) -> tuple[Build, Read]:
    """The build whose runs left these executed notebooks, by name, and how they are read."""
    left = leaving(build, {name: ["executed.ipynb"] for name in notebooks})
    return left, lambda run: notebooks.get(run.spec.name)


def hostile_build(text: str) -> Build:
    """A failed build in which everything that others can write is this text."""
    metric = GateMetric(text, text, at_least=0.5)
    failure = a_failure(message=text, traceback=text)
    failed = a_run(
        text,
        status=RunStatus.FAILED,
        failure=failure,
        metrics={text: 1.5},
        outputs=(f"runs/{text}", text),
        warnings=(text,),
        studio_url=text,
    )
    skipped = skipped_run("skipped", needs=(text,))
    return a_build(
        failed,
        skipped,
        build_id=text,
        repository=RepositoryRequest(text, subdirectory=text),
        backend=text,
        commit=text,
        verdict=Verdict.FAILED,
        reason=text,
        warnings=(text,),
        gate=Gate("all_pass", (metric,)),
        metric_checks=(MetricCheck(metric, None, False, text),),
    )


def hostile_notebooks(text: str) -> Mapping[str, bytes]:
    return {text: notebook(code_cell(1, source=text), code_cell(3, "failed", source=text))}
