"""Metrics and kept outputs, collected alike for notebooks and commands."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

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
    run = run_command("mkdir outputs; touch outputs/part; exit 1")

    assert run.outcome["status"] == "failed"
    assert run.outcome["outputs"] == ["outputs/part"]


def test_no_pattern_and_no_link_leads_out_of_the_root(run_command: Start, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("s")
    run = run_command(
        f"mkdir outputs; ln -s {tmp_path}/secret/key outputs/file; "
        f"ln -s {tmp_path}/secret outputs/folder; ln -s . outputs/loop; touch outputs/own",
        outputs=["../secret/*", f"{tmp_path}/secret/*"],
    )

    assert run.outcome["outputs"] == ["outputs/own"]
    assert len(run.outcome["warnings"]) == 2
