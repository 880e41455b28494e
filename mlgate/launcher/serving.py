"""Checks a kept model: loads and asks it in fresh processes, and records what it needs.

A model is code, and a server has only its files. So the check uses a copy of the files in a folder
of its own, away from the tree that trained it. The copy is hashed as it is made, and again once the
model's processes have ended. What they report is a claim (see `claims`).

Two processes answer the example, each twice: a server loads the model again and must get the
recorded answer before it accepts traffic, and it asks the model more than once. The first process
also answers each of the requests once. Without an example, the first request becomes the recorded
one. A load, if there is one, comes last: see `under_load`.

A serving run of a message fails if there is nothing to ask the model. The run that `promote` adds
does not: a model without an example only has to load, because nothing more can be checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from mlgate.launcher.checking import Check
from mlgate.launcher.claims import MOST_REQUESTS
from mlgate.launcher.log import Log
from mlgate.launcher.metrics import METRICS
from mlgate.launcher.outputs import OUTPUTS
from mlgate.launcher.processes import FIRST, peak_memory_mb
from mlgate.launcher.records import OF_THE_HOST, now
from mlgate.launcher.text import one_line
from mlgate.launcher.trying import said_by
from mlgate.launcher.under_load import under_load
from mlgate.launcher.values import Canceled, Failed, Place, Stopped, Task
from mlgate.scorer import candidates, examples, files, requests
from mlgate.scorer.errors import BadRequest, ScorerError
from mlgate.scorer.variables import for_model

T = TypeVar("T")
RECORD = f"{OUTPUTS}/model.json"
_MLMODEL_BYTES = 4 << 20
_REQUESTS_BYTES = 16 << 20
_SHOWN = 200  # characters of an answer in the log
_NAMED = 5  # files that a message names


async def run_serving(task: Task, place: Place, log: Log, stopped: Stopped) -> None:
    """Raises `Failed` or `Canceled`."""
    log.event("started", cells_total=None, at=now())
    scratch = Path(tempfile.mkdtemp(prefix="mlgate-model-"))
    try:
        check = await _prepared(task, place, scratch, log, stopped)
        try:
            await _try(check, task, place, scratch, log, stopped)
            if task.load is not None:
                await _load(check, task, place, scratch, log, stopped)
        except Failed:
            with contextlib.suppress(Failed):  # the first failure matters more
                _write(place, METRICS, check.metrics())
            raise
        _write(place, METRICS, check.metrics())
        _write(place, RECORD, check.record())
    except ScorerError as error:
        raise Failed("invalid", str(error)) from None
    except OSError as error:
        raise Failed("infrastructure", f"the model cannot be checked: {error}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for warning in check.warnings:
        log.warn(warning)


async def _prepared(task: Task, place: Place, scratch: Path, log: Log, stopped: Stopped) -> Check:
    """The candidate, copied, with its example. Raises ScorerError, OSError and `Canceled`."""
    kept = Path(place.environment.get(task.model_variable) or scratch / "nothing")
    names, others = await _apart(lambda: files.listed(kept), stopped)
    found = candidates.find([*names, *others], task.path or None)
    copy = scratch / "model"
    parts = await _apart(lambda: files.copied(kept / found.folder, found.files, copy), stopped)
    size = sum(part.size for part in parts)
    count = "1 file" if len(parts) == 1 else f"{len(parts)} files"
    log.line(f"model: {found.name} of {task.model} ({found.format}, {count}, {size:,} bytes)")
    check = Check(found, parts)
    if task.requests:
        check.asks = _asks(place.root / task.requests, task.requests)
    named = _example(task, kept, names, copy, check)
    if named is not None:
        content = files.read_bounded(named, examples.MOST_BYTES)
        check.example = examples.checked(content, named.name)
        log.line(f"example: {named.name}")
    elif check.asks is None and not task.must_answer:
        check.warnings.append(
            "the model was loaded but not asked, because it has no example: log it with MLflow's "
            "`input_example`, or have its run keep a file with a request body and name it in "
            "`example`"
        )
    return check


def _asks(path: Path, name: str) -> list[Any]:
    """The request bodies in a file of the repository. Raises BadRequest."""
    try:
        content = files.read_bounded(path, _REQUESTS_BYTES)
    except FileNotFoundError:
        raise BadRequest(f"there is no file {name} in the repository") from None
    if content is None:
        raise BadRequest(f"{name} has more than {_REQUESTS_BYTES >> 20} MiB of requests")
    try:
        found = requests.json_of(content)
    except BadRequest as error:
        raise BadRequest(f"{name} has no requests: {error}") from None
    if not isinstance(found, list) or not found:
        what = "an empty list" if found == [] else "not a list"
        raise BadRequest(
            f"{name} is {what}: write a list of request bodies, each as POST /predict accepts it"
        )
    if len(found) > MOST_REQUESTS:
        raise BadRequest(f"{name} has {len(found):,} requests, more than {MOST_REQUESTS:,}")
    return found


def _example(task: Task, kept: Path, names: list[str], copy: Path, check: Check) -> Path | None:
    """The file with the example; None if there is none."""
    if task.example:
        if task.example not in names:
            raise BadRequest(
                f"the example `{task.example}` is not among the outputs of {task.model}: have it "
                "write a request body there, as POST /predict accepts it"
            )
        return kept / task.example
    if check.candidate.format != candidates.MLFLOW:
        return None
    content = files.read_bounded(copy / candidates.MLMODEL, _MLMODEL_BYTES)
    text = (content or b"").decode("utf-8", "replace")
    name = examples.named_by_mlflow(text, [part.path for part in check.parts])
    return copy / name if name else None


async def _try(
    check: Check, task: Task, place: Place, scratch: Path, log: Log, stopped: Stopped
) -> None:
    """Loads and asks the model, which must not change its files.

    Raises `Failed`, `Canceled`, OSError and ScorerError.
    """
    model, source = scratch / "model", task.requests or ""
    for number in range(2):
        if number and check.example is None:
            break
        log.line("loading it in another process" if number else "loading it")
        asked = {
            "model": str(model / check.candidate.path),
            "format": check.candidate.format,
            "example": check.example,
            "requests": None if number else check.asks,
        }
        folder = scratch / f"trial-{number}"
        own = replace(place, environment=for_model(place.environment, task.variables))
        said, failed = await said_by(asked, source, folder, own, log, stopped)
        check.said.append(said)
        check.memory_mb = peak_memory_mb()
        if failed:
            check.failed = True
            if failed.traceback:
                log.line(failed.traceback)
            raise failed
        log.line(f"loaded in {said.load_seconds:.2f} s, peak memory {check.memory_mb:.0f} MiB")
        if said.answers:
            log.line(f"answered {one_line(json.dumps(said.answers[0]), _SHOWN)}")
        if said.number:
            log.line(f"answered {said.number} of {source} in {sum(said.seconds):.2f} s")
        await _look_for_changes(check, model, stopped)
        if check.example is None and check.asks is not None:
            _adopt(check.asks[0], check)
    if check.example is None and check.asks is None and task.must_answer:
        raise Failed(
            "invalid",
            "the model was loaded but not asked: it has no example, and its serving run names no "
            "`requests`. Name a file with a list of request bodies, or log the model with MLflow's "
            "`input_example`",
        )


async def _load(
    check: Check, task: Task, place: Place, scratch: Path, log: Log, stopped: Stopped
) -> None:
    """Puts the model under load from many callers. Raises the errors of `_try`."""
    check.under_load = True
    model = scratch / "model"
    asked = {
        "model": str(model / check.candidate.path),
        "format": check.candidate.format,
        "name": task.model,
        "number": 0,
        "example": check.example,
        "answer": None,
    }
    body = check.asks[0] if check.example is None and check.asks else check.example
    check.loaded = await under_load(asked, body, task, place, scratch, log, stopped)
    if check.loaded.failed:
        raise check.loaded.failed
    await _look_for_changes(check, model, stopped)


async def _look_for_changes(check: Check, model: Path, stopped: Stopped) -> None:
    """Raises `Failed` if the model has changed its own files, and `Canceled`."""
    after = await _apart(lambda: files.hashed(model), stopped)
    if changed := _changed(check.parts, after):
        raise Failed(
            "code",
            "the model changes its own files when it is loaded or asked: "
            f"{', '.join(changed[:_NAMED])}. A version must stay as it was checked: have the model "
            "write elsewhere",
        )


def _adopt(first: Any, check: Check) -> None:
    """Makes the first request, which was answered, the model's example."""
    if len(json.dumps(first)) <= examples.MOST_BYTES:
        check.example = first
        return
    check.warnings.append(
        f"no example is kept with the model: the first request has more than "
        f"{examples.MOST_BYTES >> 20} MiB, so put a smaller one first"
    )


def _changed(before: Sequence[files.Part], after: Sequence[files.Part]) -> list[str]:
    """The files that differ, except bytecode that Python has written beside a model's code."""
    names = {part.path for part in before}
    compiled = {part for part in after if _is_compiled(part.path) and part.path not in names}
    return sorted({part.path for part in {*before} ^ ({*after} - compiled)})


def _is_compiled(path: str) -> bool:
    return PurePosixPath(path).parent.name == "__pycache__" and path.endswith(".pyc")


async def _apart(work: Callable[[], T], stopped: Stopped) -> T:
    """The result of slow work in a thread. Raises `Canceled`, which leaves the thread behind."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    ends: set[asyncio.Future[Any]] = {working, stopped}
    await asyncio.wait(ends, return_when=FIRST)
    if stopped.done():
        raise Canceled
    return working.result()


def _write(place: Place, name: str, content: Mapping[str, Any]) -> None:
    """Writes an output, replacing what was there. Raises `Failed`."""
    path = place.directory / name
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(content, allow_nan=False), "utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        kind = "infrastructure" if error.errno in OF_THE_HOST else "invalid"
        why = error.strerror or error
        raise Failed(kind, f"{name} cannot be written into the repository's tree: {why}") from None
