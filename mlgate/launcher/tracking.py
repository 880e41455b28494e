"""Reads the metrics that a run has logged with MLflow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlgate.launcher.processes import FIRST, Process, exit_text, start_program
from mlgate.launcher.values import Place, Stopped

DATABASE_SECONDS = 10.0  # to read all rows of a table
MLFLOW_SECONDS = 60.0  # for a tracking server to return what the run has logged


# Milliseconds since 1970, step, key and value of a metric; a key may have several rows.
Row = tuple[float, float, str, float]


def latest(rows: Iterable[Row]) -> dict[str, float]:
    """The latest value of each key."""
    return {key: value for _, _, key, value in sorted(rows, key=lambda row: row[:2])}


def metrics_of_database(path: Path) -> tuple[dict[str, float], list[str]]:
    """The latest value of each key in a SQLite store."""
    rows, warnings = rows_of_database(path)
    return latest(rows), warnings


def rows_of_database(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of MLflow's own table, which has the last one of each key in each MLflow run."""
    query = "SELECT timestamp, step, key, value, is_nan FROM latest_metrics"
    deadline = time.monotonic() + DATABASE_SECONDS
    rows: list[Row] = []
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            # Limits the time, because a view without end can have that name as well.
            db.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            for at, step, key, value, nan in db.execute(query):
                if all(isinstance(number, (int, float)) for number in (at, step, value)):
                    rows.append((at, step, str(key), math.nan if nan else value))
    except sqlite3.Error as error:
        return [], [] if "no such table" in str(error) else [f"MLflow's metrics: {error}"]
    return rows, []


def database_of(place: Place) -> Path | None:
    """The store that the run was given, if it is a SQLite store."""
    uri = place.environment.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith("sqlite:///"):
        return None
    return place.directory / uri[len("sqlite:///") :].partition("?")[0]


# A tag of the MLflow runs that a run starts; its value is the id of the one that it was given.
TAG = "mlgate_run"

# Prints each metric of the run, of its nested runs and of others that it has made as a line of
# JSON, and problems as strings. These are not MLflow's messages, which may have the store's
# credentials. If MLflow is not installed, or does not know the store, nothing was logged there.
# A search finds runs, but in Azure ML not always all of their metrics, so each run is asked for
# after all searches (Azure/azure-sdk-for-python#39198). The argument is `TAG`.
ASK_MLFLOW = """
import sys
sys.path[:] = filter(None, sys.path)  # import nothing from the working directory
import json, os

answer, nowhere = os.fdopen(os.dup(1), "w"), os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)
try:
    from mlflow.tracking import MlflowClient
except ImportError:
    sys.exit()

def report(value):
    print(json.dumps(value), file=answer, flush=True)

def report_metrics(run):
    for metric in run.data.to_proto().metrics:
        report([metric.key, metric.value, metric.timestamp, metric.step])

try:
    client = MlflowClient()
    run = client.get_run(os.environ["MLFLOW_RUN_ID"])
    report_metrics(run)
    own, others = run.info.run_id, {}
    for tag in ("mlflow.parentRunId", sys.argv[1]):
        token = None
        while True:
            found = f"tags.{tag} = '{own}'"
            page = client.search_runs([run.info.experiment_id], found, page_token=token)
            for other in page:
                report_metrics(other)
                others[other.info.run_id] = True
            token = page.token
            if not token:
                break
    for other in others:
        report_metrics(client.get_run(other))
except Exception as error:
    name = type(error).__name__
    if not name.startswith("Unsupported"):
        report(f"{name} {getattr(error, 'error_code', '')}".strip())
"""


def tagged(found: Mapping[str, str]) -> dict[str, str]:
    """The variables with which MLflow's `start_run` gives each run there `TAG`.

    MLflow takes the run that it was given once; the next one that is started is another, which
    nothing else connects with it (`start_run` in mlflow/tracking/fluent.py).
    """
    given = found.get("MLFLOW_RUN_ID")
    if not given or "MLFLOW_RUN_CONTEXT" in found:
        return {**found}
    return {**found, "MLFLOW_RUN_CONTEXT": json.dumps({TAG: given})}


async def metrics_of_server(
    place: Place, stopped: Stopped, seconds: float = MLFLOW_SECONDS
) -> tuple[dict[str, float], list[str]]:
    """The latest value of each key, as far as the environment's own MLflow returns them in time."""
    command = [sys.executable, "-c", ASK_MLFLOW, TAG]
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
    values = []
    for line in lines:
        with contextlib.suppress(ValueError):  # an incomplete line
            values.append(json.loads(line))
    problems = [value for value in values if isinstance(value, str)]
    if not in_time:
        late = "the run had to end" if stopped.done() else f"no answer in {seconds:g} seconds"
        problems.append(late)
    elif code:
        problems.append(f"the client {exit_text(code)}")
    rows = [(at, step, key, value) for key, value, at, step in filter(_is_row, values)]
    warnings = [f"metrics of MLflow's tracking server may be missing: {p}" for p in problems]
    return latest(rows), warnings


def _is_row(value: object) -> bool:
    return isinstance(value, list)


async def metrics_of_mlflow(place: Place, stopped: Stopped) -> tuple[dict[str, float], list[str]]:
    """What the run has logged, to its own SQLite store or to the MLflow run that it was given."""
    if path := database_of(place):
        return metrics_of_database(path) if path.is_file() else ({}, [])
    uri = place.environment.get("MLFLOW_TRACKING_URI")
    if not uri or not place.environment.get("MLFLOW_RUN_ID") or stopped.done():
        return {}, []
    return await metrics_of_server(place, stopped)
