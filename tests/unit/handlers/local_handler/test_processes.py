"""Processes are told apart for good, and ended with all that descends from them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from handlers.local_handler import processes

WAITS = "print('up', flush=True); import time; time.sleep(600)"


def started(code: str = WAITS, **variables: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, **variables}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.stdout.close()
    return process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = started()
    yield process
    process.kill()
    process.wait()


def test_a_process_is_alive_until_it_ends_though_its_zombie_stays(
    child: subprocess.Popen[bytes],
) -> None:
    who = processes.identity(child.pid)
    assert who is not None
    assert processes.alive(who)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not reaped
    assert not processes.alive(who)
    assert processes.identity(child.pid) is None


def test_another_start_or_another_boot_is_another_process(child: subprocess.Popen[bytes]) -> None:
    who = processes.identity(child.pid)
    assert who is not None
    assert not processes.alive(who._replace(started="1"))
    assert not processes.alive(who._replace(boot="another"))


def test_descendants_are_found_however_deep() -> None:
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"
    top = started(nested)
    below = processes.descendants(top.pid)
    assert len(below) == 1
    assert below < processes.descendants(os.getpid())
    assert processes.end_all(lambda: processes.descendants(top.pid))
    top.wait()


def test_what_was_started_for_an_attempt_is_found_by_its_mark() -> None:
    one, other = started(MLGATE_ATTEMPT="abc-1"), started(MLGATE_ATTEMPT="abc-11")
    try:
        assert processes.marked("abc-1") == {one.pid}
    finally:
        for process in (one, other):
            process.kill()
            process.wait()


def test_who_ignores_being_asked_is_killed() -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS
    process = started(code, MLGATE_ATTEMPT="stubborn")
    assert processes.end_all(lambda: processes.marked("stubborn"), grace=0.1)
    assert process.wait() == -signal.SIGKILL


def test_who_cannot_be_ended_is_given_up() -> None:
    gone = 2**22 + 1  # above the highest process id of Linux
    assert not processes.end_all(lambda: {gone}, patience=0.05)


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps, as other systems have it")
def test_ps_tells_the_same_as_proc(child: subprocess.Popen[bytes]) -> None:
    assert processes._listed("-A")[child.pid].parent == os.getpid()
    assert set(processes._listed(f"-p{child.pid}")) == {child.pid}
