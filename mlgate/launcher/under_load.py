"""Puts a checked model under load: runs the process of a server, HTTP, and locust's callers.

The model and locust have their own processes, because neither the model nor a locustfile is
trusted. They end with the load in any case. The message says whether requests may fail. No requests
at all, or a locustfile that raises, is always a failure.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlgate.launcher.bridge import Bridge, bridge
from mlgate.launcher.command import Program
from mlgate.launcher.locust import locust
from mlgate.launcher.log import Log
from mlgate.launcher.processes import FIRST
from mlgate.launcher.served import Served, served
from mlgate.launcher.values import Canceled, Failed, Place, Stopped, Task
from mlgate.load.callers import STATS, STOP_SECONDS, TOLD, Callers, variables
from mlgate.load.stats import Limits, Measured, NoStats, faults, measured, shown, told
from mlgate.scorer import files
from mlgate.scorer.variables import for_model

_NEWS_SECONDS = 5.0  # between two lines of progress
# A little less than locust waits at the end: it only counts answered requests.
_HANGS_SECONDS = STOP_SECONDS - 1.0
_FILES = 512  # that a launcher and a model have open besides connections
_MOST_BYTES = 16 << 20  # of a file of locust's
# Variables that would change where locust's own interpreter finds modules.
_OF_INTERPRETERS = ("PYTHON", "VIRTUAL_ENV", "CONDA_")
_PROMISED = "MLGATE_"  # the prefix of the variables that each run is promised


@dataclass(frozen=True)
class Loaded:
    """The result of a load. `failed` is why the run fails; `memory_mb` is that of the model."""

    measured: Measured
    memory_mb: float
    failed: Failed | None

    def metrics(self) -> dict[str, float]:
        """The metrics; without answers there are no times."""
        names = ("requests", "failures", "failure_ratio", "requests_per_second")
        times = ("p50_ms", "p95_ms", "p99_ms")
        found = {name: getattr(self.measured, name) for name in (*names, *times)}
        return {name: float(value) for name, value in found.items() if value is not None}


async def under_load(
    asked: Mapping[str, Any],
    body: Any,
    task: Task,
    place: Place,
    scratch: Path,
    log: Log,
    stopped: Stopped,
) -> Loaded:
    """Puts a model under load.

    `asked` is as in `mlgate.scorer.child`; callers send `body` unless there is a locustfile. Raises
    `Failed` if nothing was measured, `Canceled` and OSError.
    """
    load = task.load or {}
    callers = Callers(int(load["users"]), float(load["spawn_rate"]), float(load["seconds"]))
    file = place.root / load["locustfile"] if load["locustfile"] else None
    if file is not None and not file.is_file():
        raise Failed("invalid", f"there is no file {load['locustfile']} in the repository")
    python = await locust(scratch, place, log, stopped)
    folder = scratch / "load"
    folder.mkdir()
    own = replace(place, environment=for_model(place.environment, task.variables))
    _make_room(callers.users)
    async with served(asked, scratch, own, log, stopped) as model:
        with bridge(model.socket, body) as made:
            content = json.dumps(body).encode()
            command = callers.command(python, folder, made.url, content, file)
            passed = _passed(place.environment, task)
            where = place.directory if file else folder
            at = replace(place, directory=where, environment=variables(passed, folder))
            log.line(f"load: {callers}")
            if (late := callers.users / callers.spawn_rate) > callers.seconds:
                log.warn(
                    f"at a spawn_rate of {callers.spawn_rate:g}, {callers.users} users take "
                    f"{late:g} s to begin: not all of them did in {callers.seconds:g} s"
                )
            program = Program(command, at, log, scratch=(str(scratch),))
            try:
                await _until_ended(program, model, made, callers, log, stopped)
            finally:
                waiting = made.waiting_seconds()
                code = await program.end(alone=False)
        memory = model.memory_mb()
    hangs = f"The model has answered nothing for {waiting:.0f} s, with requests under way."
    wrong = [hangs] if waiting > _HANGS_SECONDS else []
    asked_it = made.began is not None
    return _judged(folder, code, program.last, load, memory, wrong, log, asked=asked_it)


def _make_room(callers: int) -> None:
    """Allows two connections for each caller, here and in the model's process, if possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * callers + _FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _passed(environment: Mapping[str, str], task: Task) -> dict[str, str]:
    """The variables of a locustfile: the run's own, and those that each run is promised."""
    found = for_model(environment, task.variables)
    return {
        **{name: value for name, value in environment.items() if name.startswith(_PROMISED)},
        **{
            name: value
            for name, value in found.items()
            if name in task.variables or not name.startswith(_OF_INTERPRETERS)
        },
    }


async def _until_ended(
    program: Program, model: Served, made: Bridge, callers: Callers, log: Log, stopped: Stopped
) -> None:
    """Waits until locust has ended. Raises `Failed` if it does not end in time, and `Canceled`."""
    until = time.monotonic() + callers.limit
    ends: set[asyncio.Future[Any]] = {program.ended, model.ended, stopped}
    news = _NEWS_SECONDS
    while True:
        await asyncio.wait(ends, timeout=0.5, return_when=FIRST)
        if stopped.done():
            raise Canceled
        if model.ended.done():
            raise await model.death("while callers asked it")
        if program.ended.done():
            return
        if time.monotonic() > until:
            raise Failed(
                "timeout", f"locust did not end within {callers.limit:g} s: {program.last}"
            )
        gone = 0.0 if made.began is None else time.monotonic() - made.began
        if news <= gone < callers.seconds:
            log.line(f"{gone:.0f} of {callers.seconds:g} s, {made.answers:,} answers")
            news = gone // _NEWS_SECONDS * _NEWS_SECONDS + _NEWS_SECONDS


def _judged(
    folder: Path,
    code: int,
    last: str,
    load: Mapping[str, Any],
    memory: float,
    wrong: list[str],
    log: Log,
    *,
    asked: bool,
) -> Loaded:
    """The result of the load. `wrong` are the problems that were found without locust."""
    kind = "code" if load["locustfile"] else "infrastructure"
    try:
        content = files.read_bounded(folder / STATS, _MOST_BYTES) or b""
    except FileNotFoundError:
        said = f"locust ended with code {code} before it measured anything: {last}"
        raise Failed(kind, said) from None
    try:
        why = told(_told(folder))
        found = measured(content, why.seconds)
    except NoStats as error:
        raise Failed(kind, f"locust ended with code {code}, and {error}") from None
    rate = f"{found.requests_per_second:.1f} requests per second"
    log.line(f"{found.requests:,} requests, {found.failures:,} failures, {rate}")
    for reason in shown(why):
        log.line(reason)
    wrong = [*wrong, *faults(found, why, code, last, asked=asked)]
    if found.requests:
        limits = Limits(failures=None if load["may_fail"] else 0.0)
        wrong += [
            f"{each} {why.reasons[0]}" if why.reasons else each for each in limits.broken(found)
        ]
    return Loaded(found, memory, Failed("code", " ".join(wrong)) if wrong else None)


def _told(folder: Path) -> bytes:
    try:
        return files.read_bounded(folder / TOLD, _MOST_BYTES) or b""
    except FileNotFoundError:
        return b""
