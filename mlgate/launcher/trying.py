"""One process of a model's, and why it failed."""

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
from mlgate.launcher.values import Failed, Place, Raised, Stopped
from mlgate.scorer.libraries import distribution_of

# What a platform gives a run for itself, and no served model finds.
_OF_THE_RUN = ("MLGATE_", "MLFLOW_", "AZUREML_", "AZUREAI_", "MSI_", "IDENTITY_", "OBO_")
_ADDED = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # MLflow tells its makers of its use
_DOING = {trial.LOADING: "while it was loaded", trial.ANSWERING: "while it answered the example"}
_NOT_DONE = {
    trial.LOADING: "the model could not be loaded",
    trial.ANSWERING: "the model could not answer the example",
}
_TRAVELS = (
    "The model's files alone are served: keep the code with it (MLflow's `code_paths`), or install "
    "it as a package"
)


async def said_by(
    asked: Mapping[str, Any], folder: Path, place: Place, log: Log, stopped: Stopped
) -> tuple[Said, Failed | None]:
    """What a process says that tries a model, and why it did not do all of it.

    `asked` is as of `trial`, which works in `folder`, to be made. Raises `Canceled`.
    """
    (folder / "work").mkdir(parents=True)
    (folder / trial.ASKED).write_text(json.dumps(asked), "utf-8")
    root = Path(__file__).parents[2]  # the archive, or what the package is in
    command = [sys.executable, "-c", trial.BOOT, str(root), str(folder)]
    own = replace(place, directory=folder / "work", environment=_variables(place.environment))
    kills = oom_kills()
    code, tail = await run_command(command, own, log, stopped)
    said = Said.read(folder / trial.SAID)
    if said.refused:
        return said, Failed(*said.refused)
    if said.raised:
        return said, _failure(said.step, said.raised, Origins(place))
    if code or said.step != trial.DONE:
        return said, _death(said.step, code, tail, oom_kills() > kills)
    return said, None


def _variables(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in given.items() if not name.startswith(_OF_THE_RUN)}
    return {**kept, **_ADDED}


def _failure(step: str, error: Raised, origins: Origins) -> Failed:
    """Of what the model raised."""
    kind = classify(error, origins)
    message = f"{_NOT_DONE.get(step, 'the model failed')}: {explained(error)}"
    module = str(error.facts.get("module") or "") if error.name == "ModuleNotFoundError" else ""
    if "<module '__main__'" in error.message:
        message = f"{message}. It is of the script that trained. {_TRAVELS}"
    elif module and origins.own_module(module):
        kind, message = "code", f"{message}. It is a module of the repository. {_TRAVELS}"
    elif module and kind == "dependency":
        message = f"{message}. Add {distribution_of(module)} to the environment"
    return Failed(kind, message, None, error.traceback)


def _death(step: str, code: int, tail: str, out_of_memory: bool) -> Failed:
    """Of a process that ended without a word: a negative code is the signal that ended it."""
    if not step:
        last = (tail.strip().splitlines() or ["no output"])[-1]
        return Failed("infrastructure", f"the model was not tried: {exit_text(code)}: {last}")
    doing = _DOING.get(step, "after it had answered")
    if (code == -signal.SIGKILL and out_of_memory) or (
        code == -signal.SIGABRT and "std::bad_alloc" in tail
    ):
        how = f"{exit_text(code)}, peak memory {peak_memory()}"
        return Failed("out_of_memory", f"memory ran out {doing}: the model's process was {how}")
    if code < 0:
        return Failed("code", f"the model's process was {exit_text(code)} {doing}")
    return Failed("code", f"the model ended its process {doing}: it {exit_text(code)}")
