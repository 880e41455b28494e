"""Runs one process that tries a model, and finds out why it failed."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlgate.launcher import trial
from mlgate.launcher.claims import Said
from mlgate.launcher.command import run_command
from mlgate.launcher.log import Log
from mlgate.launcher.origins import Origins
from mlgate.launcher.processes import exit_text, oom_kills, peak_memory
from mlgate.launcher.reasons import classify, explained
from mlgate.launcher.text import one_line
from mlgate.launcher.values import MESSAGE_CHARACTERS, Failed, Place, Raised, Stopped
from mlgate.scorer.libraries import distribution_of

_EXAMPLE = "the example"
_TRAVELS = (
    "Only the model's files are served: keep the code with them (MLflow's `code_paths`), or "
    "install it as a package"
)


async def said_by(
    asked: Mapping[str, Any], source: str, folder: Path, place: Place, log: Log, stopped: Stopped
) -> tuple[Said, Failed | None]:
    """What a process that tries a model says, and why it did not finish.

    `asked` is as in `trial`, which works in `folder`. The folder is created here, and its parent is
    removed if the launcher is killed. `source` is the name of the file with its requests. The
    process gets the environment of `place`. Raises `Canceled`.
    """
    (folder / "work").mkdir(parents=True)
    (folder / trial.ASKED).write_text(json.dumps(asked), "utf-8")
    root = Path(__file__).parents[2]  # the archive, or the folder of the package
    command = [sys.executable, "-c", trial.BOOT, str(root), str(folder)]
    own = replace(place, directory=folder / "work")
    kills = oom_kills()
    code, tail = await run_command(command, own, log, stopped, scratch=(str(folder.parent),))
    said = Said.read(folder / trial.SAID)
    if said.refused:
        return said, Failed(*said.refused)
    what = f"request {said.number} of {source}" if said.number else _EXAMPLE
    if said.raised:
        done = "be loaded" if said.step == trial.LOADING else f"answer {what}"
        return said, _failure(f"the model could not {done}", said.raised, Origins(place))
    if code or said.step != trial.DONE:
        doing = {trial.LOADING: "while it was loaded", trial.ANSWERING: f"while it answered {what}"}
        return said, death(said.step, doing, code, tail, oom_kills() > kills)
    if said.failed:
        return said, _missed(said, source, log, Origins(place))
    return said, None


def _missed(said: Said, source: str, log: Log, origins: Origins) -> Failed:
    """Why requests failed: the first failure with their number; the log has the others."""
    found = []
    for miss in said.misses:
        what = f"request {miss.number} of {source}"
        if miss.refused:
            found.append(Failed(miss.refused[0], f"{what} was refused: {miss.refused[1]}"))
        elif miss.raised:
            found.append(_failure(f"the model could not answer {what}", miss.raised, origins))
    for each in found:
        log.line(each.message)
    first = found[0]
    if said.failed > 1:
        first.message = one_line(
            f"{said.failed} of {said.number} requests failed. The first: {first.message}",
            MESSAGE_CHARACTERS,
        )
    return first


def _failure(what: str, error: Raised, origins: Origins) -> Failed:
    """The failure for what the model raised."""
    kind = classify(error, origins)
    message = f"{what}: {explained(error)}"
    module = str(error.facts.get("module") or "") if error.name == "ModuleNotFoundError" else ""
    if "<module '__main__'" in error.message:
        message = f"{message}. It is defined in the script that trained the model. {_TRAVELS}"
    elif module and origins.own_module(module):
        kind, message = "code", f"{message}. It is a module of the repository. {_TRAVELS}"
    elif module and kind == "dependency":
        message = f"{message}. Add {distribution_of(module)} to the environment"
    return Failed(kind, message, None, error.traceback)


def death(step: str, doing: Mapping[str, str], code: int, tail: str, out_of_memory: bool) -> Failed:
    """Why a process ended without a report; a negative code is the signal that ended it.

    `doing` has a phrase for each step.
    """
    if not step:
        last = (tail.strip().splitlines() or ["no output"])[-1]
        return Failed("infrastructure", f"the model was not tried: {exit_text(code)}: {last}")
    when = doing.get(step, "after it had answered")
    if (code == -signal.SIGKILL and out_of_memory) or (
        code == -signal.SIGABRT and "std::bad_alloc" in tail
    ):
        how = f"{exit_text(code)}, peak memory {peak_memory()}"
        return Failed("out_of_memory", f"memory ran out {when}: the model's process was {how}")
    if code < 0:
        return Failed("code", f"the model's process was {exit_text(code)} {when}")
    return Failed("code", f"the model ended its process {when}: it {exit_text(code)}")
