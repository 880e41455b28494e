"""Commands whose standard streams are closed, full or no longer read."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from mlgate.emulators.service_bus import Emulator, QueueConfig
from tests.e2e.commands import MLGATE, PATIENCE, commit, environment, message


def ended(folder: Path, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which $MLGATE is the program."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(folder, MLGATE=str(MLGATE), PYTHONUNBUFFERED="", **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(autouse=True)
def a_message(tmp_path: Path, repository: Path) -> None:
    """`message.json`, for a command of the repository."""
    (repository / "keep.txt").touch()
    commit(repository)
    message(tmp_path, repository, {"kind": "training", "command": "true"})


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$MLGATE run message.json >&-", 0),
        ("$MLGATE run message.json --json >&- 2>&-", 0),
        ("$MLGATE run message.json --quiet 2>&- <&-", 0),
        ("$MLGATE run message.json --json 2>/dev/full", 0),
        ("$MLGATE run - <&-", 2),
        ("$MLGATE run nothing.json 2>&-", 2),
        ("$MLGATE run message.json >/dev/full", 3),
        ("$MLGATE run message.json --json >/dev/full", 3),
        ("$MLGATE schema >&-", 0),
        ("$MLGATE schema >/dev/full 2>/dev/full", 3),
        ("$MLGATE builds >/dev/full", 3),
        ("$MLGATE --version >/dev/full 2>&1", 3),
        ("$MLGATE nosuch 2>/dev/full", 2),
        ("$MLGATE --help | true; exit ${PIPESTATUS[0]}", 130),
        ("$MLGATE validate message.json >/dev/full", 3),
        ("$MLGATE emulator --port 0 >/dev/full", 3),
        ("$MLGATE schema | true; exit ${PIPESTATUS[0]}", 130),
    ],
)
def test_the_exit_code_is_right_and_nothing_is_a_trace(
    tmp_path: Path, line: str, code: int
) -> None:
    done = ended(tmp_path, line)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if "/dev/full" in line and "2>" not in line:
        assert "No space left on device" in done.stderr


@pytest.mark.parametrize("stream", [">&-", ">/dev/full", "| true; exit ${PIPESTATUS[0]}"])
def test_what_was_sent_is_not_reported_as_not_sent(tmp_path: Path, stream: str) -> None:
    with Emulator([QueueConfig("function-queue")]) as emulator:
        bus = {"serviceBusConnectionString": emulator.connection_string}
        done = ended(tmp_path, f"$MLGATE publish message.json {stream}", **bus)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_a_worker_without_standard_error_works_and_ends(
    tmp_path: Path, repository: Path, stream: str
) -> None:
    with Emulator([QueueConfig("function-queue")]) as emulator:
        settings = {
            "serviceBusConnectionString": emulator.connection_string,
            "MLGATE_ALLOWED_REPOSITORIES": str(repository),
        }
        worker = subprocess.Popen(
            ["bash", "-c", f"exec $MLGATE worker {stream}"],
            cwd=tmp_path,
            env=environment(tmp_path, MLGATE=str(MLGATE), **settings),
        )
        try:
            sent = ended(tmp_path, "$MLGATE publish message.json --wait", **settings)
        finally:
            worker.send_signal(signal.SIGTERM)
        assert sent.returncode == 0, sent.stderr
        assert worker.wait(PATIENCE) == 0
