"""The stand-in as a program of its own: `python -m mlgate.emulators.azure_ml`."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from mlgate.emulators.azure_ml import Azurite
from tests.support.processes import started

COMMAND = [sys.executable, "-m", "mlgate.emulators.azure_ml"]


@pytest.fixture
def program(azurite: Azurite) -> Iterator[subprocess.Popen[str]]:
    with started(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running


def exports(program: subprocess.Popen[str]) -> dict[str, str]:
    """The variables it prints; the workspace is the last of them."""
    told: dict[str, str] = {}
    assert program.stdout is not None
    while "MLGATE_WORKSPACE" not in told:
        word, assignment = shlex.split(program.stdout.readline())
        assert word == "export"
        name, _, value = assignment.partition("=")
        told[name] = value
    return told


def ask(told: dict[str, str]) -> requests.Response:
    tenant = told["AZURE_TENANT_ID"]
    return requests.get(
        f"https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration",
        proxies={"https": told["HTTPS_PROXY"]},
        verify=told["REQUESTS_CA_BUNDLE"],
        timeout=30,
    )


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def test_it_serves_what_it_prints_until_it_is_interrupted(program: subprocess.Popen[str]) -> None:
    told = exports(program)
    assert ask(told).status_code == 200
    assert told["MLGATE_WORKSPACE"].count("/") == 2
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=20) == 0
    assert not Path(told["REQUESTS_CA_BUNDLE"]).exists()


def test_it_tells_at_the_end_what_should_not_have_been_asked(
    program: subprocess.Popen[str],
) -> None:
    told = exports(program)
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://example.org", proxies={"https": told["HTTPS_PROXY"]}, timeout=30)
    program.send_signal(signal.SIGTERM)
    _, complaints = program.communicate(timeout=20)
    assert complaints == "unknown host example.org:443\n"


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed by /proc")
def test_its_storage_ends_with_it_even_when_it_is_killed(program: subprocess.Popen[str]) -> None:
    exports(program)
    [storage] = children(program.pid)
    program.kill()
    program.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{storage}").exists():
        if ") Z " in Path(f"/proc/{storage}/stat").read_text():
            break
        assert time.monotonic() < deadline


def test_its_storage_ends_no_connection_that_is_quiet(azurite: Azurite) -> None:
    """A request on its way meanwhile would be sent again, and counted twice."""
    with requests.Session() as session:
        answer = session.get(f"{azurite.url}/{azurite.account}?comp=list", timeout=30)
    assert answer.headers["Connection"] == "keep-alive"
    assert "Keep-Alive" not in answer.headers, "it says after how many seconds"
