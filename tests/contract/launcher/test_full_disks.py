"""An output folder that takes no more ends the run with that reason; no run fills the disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgate.launcher.log import Log
from mlgate.launcher.records import Records
from tests.contract.launcher.harness import LIMIT, Start, notebook

# With less patience than runs have, and on a folder of a few kilobytes where that can be made.
IMPATIENT = """
import os, sys
from mlgate.launcher import records, run
records.PATIENCE_SECONDS = float(sys.argv.pop(1))
os._exit(run.main(sys.argv[1:]))
"""
FULL = "No space left on device"
FOREVER = "import time; time.sleep(600)"
FILLS = "for _ in range(7000): print('x' * 100)"
MOUNT = 'mount -t tmpfs -o size=512k tmpfs "$0" && exec "$@"'


def can_mount() -> bool:
    command = ["unshare", "--mount", "--map-root-user", "/bin/sh", "-c", MOUNT, "/mnt", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class Small:
    """Runs whose output is a file system of 512 KiB; what they leave is seen by `look` alone."""

    def __init__(self, folder: Path) -> None:
        self.root, self.output = folder / "root", folder / "output"
        self.root.mkdir()
        self.output.mkdir()

    def run(self, task: Mapping[str, Any], patience: float = 1.0) -> tuple[dict[str, Any], float]:
        """The outcome, and how many seconds it took."""
        task = {"kind": "notebook", "path": "notebook.ipynb", **task}
        launch = [sys.executable, "-c", IMPATIENT, str(patience), "--task", json.dumps(task)]
        launch += ["--root", str(self.root), "--output", str(self.output)]
        mounted = ["unshare", "--mount", "--map-root-user", "/bin/sh", "-c", MOUNT]
        show = f'"$@"; cat {self.output}/outcome.json'
        started = time.monotonic()
        done = subprocess.run(
            [*mounted, str(self.output), "/bin/sh", "-c", show, "sh", *launch],
            stdout=subprocess.PIPE,
            check=True,
            timeout=LIMIT,
        )
        return json.loads(done.stdout), time.monotonic() - started


@pytest.fixture
def small(tmp_path: Path) -> Small:
    if not can_mount():
        pytest.skip("this machine does not let us mount a small file system")
    return Small(tmp_path)


@pytest.mark.parametrize(
    "cells",
    [
        (FILLS, FOREVER),
        (FILLS, "1"),
        ("import os\nfor _ in range(7000): os.write(1, b'y' * 99 + b'\\n')", FOREVER),
        ("display({'text/plain': 'x' * 700_000}, raw=True)", FOREVER),
    ],
    ids=["printed", "printed before the end", "written past the kernel", "displayed"],
)
def test_a_notebook_on_a_full_disk_ends_with_that_reason(
    small: Small, cells: tuple[str, ...]
) -> None:
    (small.root / "notebook.ipynb").write_text(json.dumps(notebook(*cells)))
    outcome, seconds = small.run({})

    assert outcome["failure"]["kind"] == "infrastructure"
    assert FULL in outcome["failure"]["message"]
    assert seconds < 40


def test_a_command_on_a_full_disk_ends_with_that_reason(small: Small) -> None:
    command = f'{sys.executable} -c "{FILLS}"; sleep 600'
    outcome, _ = small.run({"kind": "training", "command": command})

    assert outcome["failure"]["kind"] == "infrastructure"
    assert FULL in outcome["failure"]["message"]


def test_a_run_whose_outputs_find_no_room_has_failed(small: Small) -> None:
    command = "head -c 700000 /dev/zero > outputs/model; echo hi > outputs/text"
    outcome, _ = small.run({"kind": "training", "command": command})

    assert outcome["failure"]["message"] == f"outputs/model cannot be written: {FULL}"
    assert outcome["outputs"] == ["outputs/text"]


def test_the_reason_of_the_run_itself_comes_first(small: Small) -> None:
    cells = (FILLS, "raise KeyError('price')")
    (small.root / "notebook.ipynb").write_text(json.dumps(notebook(*cells)))
    outcome, _ = small.run({}, patience=6.0)

    assert (outcome["failure"]["kind"], outcome["failure"]["cell"]) == ("code", 2)
    assert any(FULL in warning for warning in outcome["warnings"])


@pytest.mark.parametrize("cell", [FILLS, "1"])
def test_a_run_on_a_full_disk_hears_that_it_shall_end(
    start: Start, tmp_path: Path, cell: str
) -> None:
    """Here the log alone is refused, as a device is that is always full."""
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "log.txt").symlink_to("/dev/full")
    run = start({"notebook.ipynb": notebook(cell, "open('up', 'w')", FOREVER)})
    run.wait_for(lambda run: (run.root / "up").exists())
    run.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    run.wait()

    assert run.outcome["status"] == "canceled"
    assert time.monotonic() - started < 15


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr("mlgate.launcher.log.HEAD_BYTES", 3000)
    monkeypatch.setattr("mlgate.launcher.log.TAIL_BYTES", 1000)
    return Log(Records(tmp_path), os.devnull)


def written(log: Log) -> str:
    log.end()
    return (log.records.folder / "log.txt").read_text()


def test_a_log_that_has_room_is_whole(log: Log) -> None:
    for number in range(400):
        log.write(f"{number:09}\n")

    assert written(log) == "".join(f"{number:09}\n" for number in range(400))
    assert log.warnings == []


@pytest.mark.parametrize("size", [1, 10, 999, 5000, 100_000])
def test_a_log_that_is_too_long_has_its_beginning_and_its_end(log: Log, size: int) -> None:
    text = "".join(f"{number:09}\n" for number in range(10_000))
    for begin in range(0, len(text), size):
        log.write(text[begin : begin + size])
    found = written(log)

    left_out = len(text) - 4000
    assert found == f"{text[:3000]}\n[{left_out} bytes are left out here]\n{text[-1000:]}"
    assert log.warnings == [f"the log is too long: {left_out} bytes are left out of its middle"]


def test_what_was_refused_follows_when_it_is_taken(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
        log.write("0123456789")
        assert path.read_text() == "01234"
        assert log.records.refusal() == "log.txt cannot be written: File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.retry()

    assert path.read_text() == "0123456789"
    assert log.records.refusal() is None
