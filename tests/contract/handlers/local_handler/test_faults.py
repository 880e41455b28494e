"""Whatever a host lacks, the handler says so in the words of its port, and goes on afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.contract.handlers.local_handler.faulty import FAULTS, NOBODY
from tests.contract.handlers.local_handler.test_supervision import ROOT

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
MOUNT = 'mount -t tmpfs -o size=16m,nr_inodes=800 tmpfs "$1" && shift && exec "$@"'
OWN_DISK = ("full", "read_only")
# Root may read anything, but for this.
MORTAL = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
AS_NOBODY = f"""
import os, subprocess, sys
os.setgid({NOBODY})
os.setuid({NOBODY})
subprocess.run([sys.executable, "-c", ""], check=True)
"""
OURS = {"nothing", "Temporary", "Permanent", "UnfitHost"}


def faulty(name: str, folder: Path) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "tests.contract.handlers.local_handler.faulty",
        str(folder),
        name,
    ]
    if name in OWN_DISK:
        require(*NAMESPACE)
        command = [*NAMESPACE, "sh", "-c", MOUNT, "sh", str(folder), *command]
    if name == "without_rights" and os.getuid() == 0:
        require(*MORTAL)
        command = [*MORTAL, *command]
    if name == "processes" and os.getuid() == 0:
        require(sys.executable, "-c", AS_NOBODY)
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout.splitlines()


def require(*command: str) -> None:
    """Skip where this machine cannot do it."""
    ends = [*command, "true"] if command[-1] else command
    if (
        shutil.which(command[0]) is None
        or subprocess.run(ends, check=False, stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip(f"this machine cannot do {' '.join(command[:2])}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """One that another user may enter: nobody else may enter pytest's."""
    if os.getuid() != 0:
        yield tmp_path
        return
    made = Path(mkdtemp())
    yield made
    end = time.monotonic() + 60
    while made.exists() and time.monotonic() < end:
        # What a run left may be ending still, and write its last words there.
        shutil.rmtree(made, ignore_errors=True)
        time.sleep(0.01)
    assert not made.exists()


@pytest.mark.parametrize("name", FAULTS)
def test_what_comes_out_is_of_the_ports_errors_whatever_fails(name: str, folder: Path) -> None:
    *told, last = faulty(name, folder)
    assert last == "well"
    found = [line.split("\t") for line in told]
    assert [line for line in found if line[2] not in OURS] == []
    failed = {line[0] for line in found if line[2] != "nothing"}
    assert failed or name == "damaged"
