"""The output on a mounted store, as of Azure ML: not all that a file system does, it does."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.contract.launcher.harness import Start, notebook

# Imported by every interpreter that starts with this on its path: refuses what a mount may.
MOUNT = """
import errno, os, sys

def refuse(event, arguments):
    if event in {events!r} and any(str(a).startswith({output!r}) for a in arguments):
        raise OSError(errno.ENOTSUP, "the mounted store cannot do that", event)

sys.addaudithook(refuse)
"""
NEVER = ("os.link", "os.symlink", "os.chmod", "os.chown", "os.utime", "os.setxattr")
WRITE = "import os; os.makedirs('outputs/sub'); open('outputs/sub/a', 'w').write('kept')"


@pytest.mark.parametrize("events", [NEVER, (*NEVER, "os.rename")], ids=["usual", "no rename"])
def test_the_evidence_needs_no_more_than_a_mounted_store_can(
    start: Start, tmp_path: Path, events: tuple[str, ...]
) -> None:
    (tmp_path / "path").mkdir()
    mount = MOUNT.format(events=events, output=str(tmp_path / "output"))
    (tmp_path / "path" / "sitecustomize.py").write_text(mount)
    run = start(
        {"notebook.ipynb": notebook("print('hello')", WRITE)},
        {"PYTHONPATH": str(tmp_path / "path")},
    ).wait()

    assert run.outcome["status"] == "succeeded", run.printed
    assert run.outcome["outputs"] == ["outputs/sub/a"]
    assert run.statuses == ["succeeded", "succeeded"]
    names = {path.name for path in run.output.iterdir()}
    assert names == {"log.txt", "executed.ipynb", "executed.html", "kept", "outcome.json"}


def test_the_outcome_is_there_as_soon_as_the_run_is_told_to_end(start: Start) -> None:
    """The platform may end everything before what runs has let go."""
    command = (
        "trap '' TERM; echo up; until [ -e ../output/outcome.json ]; do sleep 0.1; done; "
        "grep status ../output/outcome.json; touch outputs/late"
    )
    run = start({}, kind="training", command=command)
    run.wait_for(lambda run: "up" in run.log)
    run.process.send_signal(signal.SIGTERM)
    run.wait()

    assert '"status": "canceled"' in run.log
    assert (run.outcome["status"], run.outcome["outputs"]) == ("canceled", ["outputs/late"])
