"""Metrics and kept outputs, collected alike for notebooks and commands."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlgate.launcher.stores import elsewhere
from mlgate.launcher.tracking import metrics_of_database
from mlgate.launcher.values import Place
from tests.contract.launcher.harness import Start


def metrics_command(json_text: str) -> str:
    return f"mkdir -p outputs; printf '%s' '{json_text}' > outputs/metrics.json"


def store(path: Path, rows: list[tuple[str, float, int, int, bool, str]]) -> None:
    """A database with MLflow's table of latest metrics."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE latest_metrics (key VARCHAR(250), value DOUBLE, timestamp BIGINT, "
            "step BIGINT, is_nan BOOLEAN, run_uuid VARCHAR(32))"
        )
        connection.executemany("INSERT INTO latest_metrics VALUES (?, ?, ?, ?, ?, ?)", rows)


def test_only_finite_numbers_of_the_file_are_metrics(run_command: Start) -> None:
    text = '{"a": 1, "b": 0.5, "c": true, "d": "x", "e": NaN, "f": -Infinity, "g": {"h": 1}}'
    run = run_command(metrics_command(text))

    assert run.outcome["metrics"] == {"a": 1.0, "b": 0.5}
    assert run.outcome["warnings"] == [
        "not a number in outputs/metrics.json: d, g",
        "the metric `e` is left out: it is nan, not a finite number",
        "the metric `f` is left out: it is -inf, not a finite number",
    ]


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_broken_metrics_file_is_a_warning(run_command: Start, text: str) -> None:
    run = run_command(metrics_command(text))

    assert (run.outcome["status"], run.outcome["metrics"]) == ("succeeded", {})
    [warning] = run.outcome["warnings"]
    assert "outputs/metrics.json" in warning


def test_mlflow_s_latest_values_count_and_the_file_wins(start: Start, tmp_path: Path) -> None:
    store(
        tmp_path / "mlflow.db",
        [
            ("loss", 0.3, 2000, 0, False, "second"),
            ("loss", 0.7, 1000, 9, False, "first"),
            ("accuracy", 0.1, 1000, 0, False, "first"),
            ("broken", 0.0, 1000, 0, True, "first"),
            ("infinite", 1.7976931348623157e308, 1000, 0, False, "first"),
        ],
    )
    run = start(
        {},
        {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
        kind="training",
        command=metrics_command('{"accuracy": 0.9}'),
    ).wait()

    assert run.outcome["metrics"] == {"loss": 0.3, "accuracy": 0.9}
    assert len(run.outcome["warnings"]) == 2


@pytest.mark.parametrize("uri", ["sqlite:////no/such/mlflow.db", "azureml://x", ""])
def test_a_store_that_is_not_there_gives_no_metrics(start: Start, uri: str) -> None:
    run = start({}, {"MLFLOW_TRACKING_URI": uri}, kind="training", command="true").wait()

    assert (run.outcome["metrics"], run.outcome["warnings"]) == ({}, [])


def test_outputs_are_kept_by_pattern_and_the_folder_outputs_always(run_command: Start) -> None:
    run = run_command(
        "mkdir -p outputs/.hidden sub/deep; touch outputs/a outputs/.hidden/b sub/deep/c.csv d.txt",
        directory="work",
        files={"work/keep": ""},
        outputs=["sub/**/*.csv", "*.txt", "*.none"],
    )

    assert run.outcome["outputs"] == ["d.txt", "outputs/.hidden/b", "outputs/a", "sub/deep/c.csv"]
    assert (run.output / "kept/sub/deep/c.csv").is_file()
    assert run.outcome["warnings"] == ["outputs: no file matches `*.none`"]


def test_outputs_of_a_failed_run_are_kept_too(run_command: Start) -> None:
    run = run_command("touch outputs/part; exit 1")

    assert run.outcome["status"] == "failed"
    assert run.outcome["outputs"] == ["outputs/part"]


def test_no_pattern_and_no_link_leads_out_of_the_root(run_command: Start, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("s")
    run = run_command(
        f"ln -s {tmp_path}/secret/key outputs/file; "
        f"ln -s {tmp_path}/secret outputs/folder; ln -s . outputs/loop; touch outputs/own",
        outputs=["../secret/*", f"{tmp_path}/secret/*"],
    )

    assert run.outcome["outputs"] == ["outputs/own"]
    assert len(run.outcome["warnings"]) == 2


BROUGHT = {"outputs/metrics.json": '{"accuracy": 0.99}', "outputs/old.bin": "o", "model.bin": "m"}
UNWRITTEN = "outputs/metrics.json was ignored: this run did not write it"


@pytest.mark.parametrize(
    "command",
    ["true", "cat outputs/* > /dev/null; chmod 700 outputs/*", "mkdir other; echo 1 > other/new"],
)
def test_what_the_tree_brought_into_outputs_unchanged_counts_for_nothing(
    run_command: Start, command: str
) -> None:
    run = run_command(command, files=BROUGHT, outputs=["*.bin", "out*/*.json"])

    assert (run.outcome["metrics"], run.outcome["outputs"]) == ({}, ["model.bin"])
    assert run.outcome["warnings"] == [
        UNWRITTEN,
        "outputs: this run wrote no file that matches `out*/*.json`",
    ]


@pytest.mark.parametrize(
    "command",
    [
        """printf '%s' '{"accuracy": 0.99}' > outputs/metrics.json""",  # the same numbers again
        """printf '%s' '{"accuracy": 0.11}' > outputs/metrics.json""",
        """printf '%s' '{"accuracy": 0.99}' > m; mv m outputs/metrics.json""",
        "cp outputs/metrics.json m; cp -p m outputs/metrics.json",
        "python -c 'import os; os.utime(\"outputs/metrics.json\")'",
    ],
)
def test_what_the_run_wrote_over_it_counts(run_command: Start, command: str) -> None:
    run = run_command(command, files=BROUGHT)

    assert run.outcome["metrics"].keys() == {"accuracy"}
    assert run.outcome["outputs"] == ["outputs/metrics.json"]
    assert run.outcome["warnings"] == []


def test_a_file_that_the_run_moved_there_is_its_output(run_command: Start) -> None:
    run = run_command("mv model.bin outputs/", files=BROUGHT)

    assert run.outcome["outputs"] == ["outputs/model.bin"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000])
def test_metrics_that_are_nested_without_end_are_a_warning(run_command: Start, text: str) -> None:
    run = run_command("mv text outputs/metrics.json", files={"text": text})

    assert (run.outcome["status"], run.outcome["metrics"]) == ("succeeded", {})
    [warning] = run.outcome["warnings"]
    assert warning.startswith("outputs/metrics.json cannot be read: ")


@pytest.mark.parametrize(
    "command",
    [f"{makes} outputs/metrics.json" for makes in ("mkfifo", "ln -s /dev/zero", "truncate -s 64M")],
)
def test_a_metrics_file_that_never_ends_is_not_waited_for(run_command: Start, command: str) -> None:
    run = run_command(command)

    assert (run.outcome["status"], run.outcome["metrics"]) == ("succeeded", {})


LOGS = """
import mlflow, sqlite3, sys, time
store = sys.argv[1]
if store.endswith(".db"):  # as MLflow makes it, which needs SQLAlchemy
    with sqlite3.connect(store) as db:
        db.execute("CREATE TABLE latest_metrics (key, value, timestamp, step, is_nan)")
        for key in ("rmse", "val/r2"):
            db.execute("INSERT INTO latest_metrics VALUES (?, 0.3, 1, 0, 0)", [key + " before"])
            row = [key, {"rmse": 0.5, "val/r2": 0.9}[key], time.time() * 1000]
            db.execute("INSERT INTO latest_metrics VALUES (?, ?, ?, 0, 0)", row)
else:
    mlflow.set_tracking_uri(store)
    mlflow.log_metrics({"rmse": 0.5, "val/r2": 0.9})
"""
ELSEWHERE = (
    "metrics were logged to {}, the run's own MLflow tracking store, and count (rmse, val/r2). "
    "To log them where other runs do, do not set a tracking URI"
)


@pytest.mark.parametrize(
    ("uri", "where"),
    [
        ("tracking.db", "work/tracking.db"),
        ("../any name.db", "any name.db"),
        ("file:./mlruns", "work/mlruns"),
        ("./deep/own store", "work/deep/own store"),
    ],
)
def test_metrics_in_a_store_of_the_run_s_own_count_with_a_warning_that_says_where(
    start: Start, tmp_path: Path, uri: str, where: str
) -> None:
    variables = {
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/m",
    }
    run = start(
        {"work/log.py": LOGS},
        variables,
        kind="training",
        directory="work",
        command=f"python log.py '{uri}'",
    ).wait()

    assert run.outcome["status"] == "succeeded", run.log
    assert run.outcome["metrics"] == {"rmse": 0.5, "val/r2": 0.9}
    assert run.outcome["warnings"] == [ELSEWHERE.format(where)]


def put_run(store: Path, metric: str) -> None:
    """As MLflow lays out a store of files."""
    metrics = store / "123" / "abcdef" / "metrics"
    metrics.mkdir(parents=True)
    (metrics.parent / "meta.yaml").touch()
    (metrics / metric).write_text("1700000000000 0.5 0")


def test_only_what_the_run_logged_to_stores_of_its_own_counts(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path, tmp_path / "output", None, {}, None)
    began = time.time() + 10
    now = int(began * 1000) + 1
    store(tmp_path / "untouched.db", [("a", 0.1, now, 0, False, "x")])
    put_run(tmp_path / "committed", "a")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE metrics (key)")
    store(tmp_path / "empty.db", [])
    store(tmp_path / "older.db", [("a", 0.2, now - 60_000, 0, False, "x")])
    store(tmp_path / "given.db", [("a", 0.3, now, 0, False, "x"), ("b", 1, 9, 0, False, "x")])
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0 and no more")
    (tmp_path / "metrics" / "meta.yaml").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe.db")
    for name in ("other.db", "empty.db", "older.db", "given.db", "broken.db"):
        os.utime(tmp_path / name, (began, began))
    given = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/given.db"}

    assert elsewhere(replace(place, environment=given), began) == ({}, [])
    metrics, [warning] = elsewhere(place, began)  # nobody gave it that one
    assert metrics == {"a": 0.3}
    assert "given.db" in warning
    assert len(elsewhere(place, 0.0)[1]) == 4


def test_a_store_that_never_ends_is_not_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlgate.launcher.tracking.DATABASE_SECONDS", 0.2)
    with sqlite3.connect(tmp_path / "endless.db") as endless:
        endless.execute(
            "CREATE VIEW latest_metrics AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 "
            "FROM n) SELECT 'k' AS key, 'text' AS value, 0 AS is_nan, i AS timestamp, i AS step "
            "FROM n"
        )
    metrics, [warning] = metrics_of_database(tmp_path / "endless.db")

    assert (metrics, warning) == ({}, "MLflow's metrics: interrupted")
