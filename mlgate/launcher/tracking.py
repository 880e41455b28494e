"""Metrics that a run has logged with MLflow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlgate.launcher.processes import FIRST, Process, exit_text, start_program
from mlgate.launcher.values import Place, Stopped

DATABASE_SECONDS = 10.0  # for all rows of a table
MLFLOW_SECONDS = 60.0  # for a tracking server to tell what the run has logged


# Milliseconds since 1970, step, key and value of a metric; a key may have several.
Row = tuple[float, float, str, float]


def latest(rows: Iterable[Row]) -> dict[str, float]:
    """The latest value of each key."""
    return {key: value for _, _, key, value in sorted(rows, key=lambda row: row[:2])}


def metrics_of_database(path: Path) -> tuple[dict[str, float], list[str]]:
    """The latest value of each key in a SQLite store."""
    rows, warnings = rows_of_database(path)
    return latest(rows), warnings


def rows_of_database(path: Path) -> tuple[list[Row], list[str]]:
    """Of MLflow's own table, which has the last row of each key of each of MLflow's runs."""
    query = "SELECT timestamp, step, key, value, is_nan FROM latest_metrics"
    deadline = time.monotonic() + DATABASE_SECONDS
    rows: list[Row] = []
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            # A view, which may have no end, can have that name as well.
            db.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            for at, step, key, value, nan in db.execute(query):
                if all(isinstance(number, (int, float)) for number in (at, step, value)):
                    rows.append((at, step, str(key), math.nan if nan else value))
    except sqlite3.Error as error:
        return [], [] if "no such table" in str(error) else [f"MLflow's metrics: {error}"]
    return rows, []


def database_of(place: Place) -> Path | None:
    """The SQLite store that the run was given, if it is one."""
    uri = place.environment.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith("sqlite:///"):
        return None
    return place.directory / uri[len("sqlite:///") :].partition("?")[0]


# Tells, a JSON value a line, of each metric of the run and of the runs nested in it; and, as text,
# what went wrong: no message of MLflow's, which may hold the credentials of the store. An MLflow
# that is not there, or does not know the store, has logged nothing to it.
ASK_MLFLOW = """
import sys
sys.path[:] = filter(None, sys.path)  # nothing of the working directory
import json, os

answer, nowhere = os.fdopen(os.dup(1), "w"), os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)
try:
    from mlflow.tracking import MlflowClient
except ImportError:
    sys.exit()

def tell(value):
    print(json.dumps(value), file=answer, flush=True)

def tell_metrics(run):
    for metric in run.data.to_proto().metrics:
        tell([metric.key, metric.value, metric.timestamp, metric.step])

try:
    client, token = MlflowClient(), None
    run = client.get_run(os.environ["MLFLOW_RUN_ID"])
    tell_metrics(run)
    nested = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    while True:
        page = client.search_runs([run.info.experiment_id], nested, page_token=token)
        for child in page:
            tell_metrics(child)
        token = page.token
        if not token:
            break
except Exception as error:
    name = type(error).__name__
    if not name.startswith("Unsupported"):
        tell(f"{name} {getattr(error, 'error_code', '')}".strip())
"""


async def metrics_of_server(
    place: Place, stopped: Stopped, seconds: float = MLFLOW_SECONDS
) -> tuple[dict[str, float], list[str]]:
    """The latest value of each key, as far as the environment's own MLflow can tell in time."""
    command = [sys.executable, "-c", ASK_MLFLOW]
    with tempfile.TemporaryFile() as answer:
        process = Process(
            start_program(command, place.directory, place.environment, answer.fileno())
        )
        ends: set[asyncio.Future[Any]] = {process.ended, stopped}
        await asyncio.wait(ends, timeout=seconds, return_when=FIRST)
        in_time = process.ended.done()
        code = await process.kill()
        answer.seek(0)
        lines = answer.read().decode("utf-8", "replace").splitlines()
    told = []
    for line in lines:
        with contextlib.suppress(ValueError):  # half a line
            told.append(json.loads(line))
    problems = [value for value in told if isinstance(value, str)]
    if not in_time:
        late = "the run was told to end" if stopped.done() else f"no answer in {seconds:g} seconds"
        problems.append(late)
    elif code:
        problems.append(f"the client {exit_text(code)}")
    rows = [(at, step, key, value) for key, value, at, step in filter(_is_row, told)]
    warnings = [f"metrics of MLflow's tracking server may be missing: {p}" for p in problems]
    return latest(rows), warnings


def _is_row(value: object) -> bool:
    return isinstance(value, list)


async def metrics_of_mlflow(place: Place, stopped: Stopped) -> tuple[dict[str, float], list[str]]:
    """What the run has logged: to a SQLite store of its own, or to the run that it was given."""
    if path := database_of(place):
        return metrics_of_database(path) if path.is_file() else ({}, [])
    uri = place.environment.get("MLFLOW_TRACKING_URI")
    if not uri or not place.environment.get("MLFLOW_RUN_ID") or stopped.done():
        return {}, []
    return await metrics_of_server(place, stopped)
