"""Executes one run, from its task to its outcome."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mlgate.launcher.command import run_training
from mlgate.launcher.log import Log
from mlgate.launcher.metrics import collect_metrics
from mlgate.launcher.notebook import NotebookRun
from mlgate.launcher.outputs import OUTPUTS, keep_outputs, states, unwritten
from mlgate.launcher.preparation import add_jupyter
from mlgate.launcher.processes import adopt_orphans, kill_children
from mlgate.launcher.records import OUTCOME, Records, make_executable, now
from mlgate.launcher.stores import elsewhere
from mlgate.launcher.tracking import metrics_of_mlflow, tagged
from mlgate.launcher.values import Canceled, Ended, Failed, Fork, Place, Stopped, Task

T = TypeVar("T")
CLOCK_SECONDS = 2.0  # how far clocks of file systems may differ, or how coarse they may be
SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def start(task: Task, place: Place, log: Log, stopped: Stopped) -> None:
    """Raises `Failed` or `Canceled`."""
    if not place.directory.is_dir():
        raise Failed("invalid", f"there is no working directory {task.directory} here")
    with contextlib.suppress(OSError):  # the tree may have a file of that name
        (place.directory / OUTPUTS).mkdir(exist_ok=True)
    if task.kind == "training":
        await run_training(task, place, log, stopped)
        return
    if task.kind == "serving":
        from mlgate.launcher.serving import run_serving

        await run_serving(task, place, log, stopped)
        return
    await add_jupyter(place, log, stopped)
    try:
        await NotebookRun(task, place, log, stopped).run()
    except ImportError as error:
        message = f"the environment's Jupyter cannot be imported: {error}"
        raise Failed("environment", message, None, traceback.format_exc()) from None


def outcome(
    started: str,
    ended: Ended,
    warnings: Sequence[str] = (),
    metrics: Mapping[str, float] | None = None,
    outputs: Sequence[str] = (),
) -> str:
    """The content of the outcome file."""
    names = ("kind", "message", "cell", "traceback")
    failed = ended.failed
    record = {
        "version": 1,
        "status": ended.status,
        "started_at": started,
        "finished_at": now(),
        "metrics": metrics or {},
        "outputs": outputs,
        "warnings": warnings,
        "failure": {name: getattr(failed, name) for name in names} if failed else None,
    }
    return json.dumps(record, indent=2, allow_nan=False)


async def attempt(
    task: Task, place: Place, log: Log, stopped: Stopped
) -> tuple[str, Failed | None]:
    """Runs the task to its end; returns the status of the run, and why it failed."""
    try:
        await start(task, place, log, stopped)
    except Canceled:
        failed = stopped.result()
        return ("failed", failed) if failed else ("canceled", None)
    except Failed as failed:
        log.line(f"failed: {failed.message}")
        return "failed", failed
    except Exception as error:  # noqa: BLE001 -- our own fault must not count as the run's
        trace = traceback.format_exc()
        log.line(trace)
        message = f"the launcher failed: {type(error).__name__}: {error}"
        return "failed", Failed("infrastructure", message, None, trace)
    return "succeeded", None


async def watch(log: Log, stopped: Stopped) -> None:
    """Ends the run when the output folder refuses its records for long."""
    while not stopped.done():
        await asyncio.sleep(1)
        log.retry()
        log.records.reserve()
        if (refusal := log.records.refusal(lasting=True)) and not stopped.done():
            stopped.set_result(Failed("infrastructure", refusal))


async def execute(task: Task, place: Place, log: Log, started: str) -> Ended:
    """Runs the task to its end, and reads the metrics that it has logged."""
    loop = asyncio.get_running_loop()
    stopped: Stopped = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)
            # At once, because the platform may not wait for the end. The real outcome replaces it.
            log.records.write(OUTCOME, outcome(started, Ended("canceled"), log.warnings))

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    beside = [
        asyncio.ensure_future(each) for each in (log.store_now_and_then(), watch(log, stopped))
    ]
    status, failed = await attempt(task, place, log, stopped)
    for each in beside:
        each.cancel()
    if task.kind == "serving":  # a model has no run to log to
        return Ended(status, failed)
    try:
        logged, warnings = await metrics_of_mlflow(place, stopped)
    except Exception as error:  # noqa: BLE001 -- missing metrics must not fail the run
        logged, warnings = {}, [f"MLflow's metrics cannot be read: {type(error).__name__}"]
    return Ended(status, failed, logged, warnings)


def run(task: Task, place: Place, log: Log) -> str:
    """Executes the run, keeps its outputs, and writes the outcome; returns the status of the run.

    Raises OSError if no outcome can be written.
    """
    started = now()
    adopt_orphans()
    before, began = states(place), time.time() - CLOCK_SECONDS
    # The loop is never closed, which would wait for threads that may hang: the process ends soon.
    ended = asyncio.new_event_loop().run_until_complete(execute(task, place, log, started))
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the run is about to end anyway
    kill_children()
    left = unwritten(place, before)
    own, notes = elsewhere(place, began)
    metrics, warnings = collect_metrics(place, {**own, **ended.logged}, left)
    warnings = [*ended.warnings, *warnings, *notes]
    for text in warnings:
        log.warn(text)
    try:
        outputs, warnings = interruptible(lambda: keep_outputs(task, place, left, log.records))
    except Canceled:
        ended, outputs, warnings = Ended("canceled"), [], ["outputs: some could not be kept"]
    for text in warnings:
        log.warn(text)
    ended = conclude(ended, log)
    if not log.records.write(OUTCOME, outcome(started, ended, log.warnings, metrics, outputs)):
        refused = Failed("infrastructure", log.records.refusal() or "")
        ended = Ended("failed", ended.failed or refused)
        log.records.write_over(OUTCOME, outcome(started, ended))
    return ended.status


def interruptible(work: Callable[[], T]) -> T:
    """The result of the work; raises `Canceled` if the run is asked to end meanwhile."""

    def stop(*_: object) -> None:
        raise Canceled

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        return work()
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def conclude(ended: Ended, log: Log) -> Ended:
    """Completes the log; a run whose records cannot be written has failed."""
    log.end()
    records = log.records
    while ended.status == "succeeded" and records.refusal() and not records.refusal(lasting=True):
        time.sleep(0.2)
        log.retry()
    log.store()
    refusal = records.refusal()
    if refusal and ended.status == "succeeded":
        return Ended("failed", Failed("infrastructure", refusal))
    if refusal and not (ended.failed and ended.failed.message == refusal):
        log.warnings.append(refusal)
    return ended


def variables_of_runs(found: Mapping[str, str]) -> dict[str, str]:
    """The variables of what a launcher starts that has found these itself."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{found.get('PATH', os.defpath)}"
    return {"PYTHONUNBUFFERED": "1", **found, "PATH": programs}


def main(arguments: Sequence[str], fork: Fork | None = None) -> int:
    """Runs the launcher; returns the exit code. `fork` may start the kernel.

    Raises `SystemExit` (2) for wrong arguments.
    """
    parser = argparse.ArgumentParser(description="Runs one notebook, training or model.")
    parser.add_argument("--task", required=True, help="a JSON file, or JSON")
    parser.add_argument("--root", required=True, type=Path, help="the tree to run in")
    parser.add_argument("--output", required=True, type=Path, help="the folder for its results")
    parser.add_argument("--events", default=os.devnull, help="a file for events, as JSON lines")
    parser.add_argument("--overlay", type=Path, help="a folder to install missing Jupyter into")
    parser.add_argument("--locust", type=Path, help="an interpreter that has locust")
    parser.add_argument("--executable", type=Path, help="a JSON list of files in the tree")
    options = parser.parse_args(arguments)
    try:
        task = Task.read(options.task)
        output, root = options.output.resolve(), options.root.resolve()
        output.mkdir(parents=True, exist_ok=True)
        if options.executable:
            make_executable(root, options.executable)
        environment = tagged(variables_of_runs(os.environ))
        overlay = options.overlay and options.overlay.resolve()
        directory = root / task.directory
        place = Place(root, directory, output, overlay, environment, fork, options.locust)
        return 0 if run(task, place, Log(Records(output), options.events)) == "succeeded" else 1
    except Exception:  # noqa: BLE001 -- Python's own exit code would mean a failed run
        traceback.print_exc()
        return 3
