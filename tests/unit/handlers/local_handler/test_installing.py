"""Which Python an environment gets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from uv import find_uv_bin

from handlers.local_handler.installing import Installer

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


class Programs:
    """The supervisor's part."""

    def execute(self, command: Sequence[str], directory: Path, more: Mapping[str, str]) -> int:
        variables = {**os.environ, **more}
        done = subprocess.run(
            command, cwd=directory, env=variables, check=False, capture_output=True
        )
        return done.returncode

    def attend(self, seconds: float = 0.0) -> None:
        raise AssertionError


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with no Python but the one that executes it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path))


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("asked", [OWN, f"=={OWN}.*", f">={OWN}"])
def test_a_host_has_its_own_python_wherever_it_is(asked: str, tmp_path: Path) -> None:
    assert made(asked, tmp_path / "made") == []


@pytest.mark.usefixtures("bare")
def test_without_the_python_that_is_asked_for_it_is_the_hosts_with_a_warning(
    tmp_path: Path,
) -> None:
    [warning] = made("==3.99.*", tmp_path / "made")
    assert "==3.99.*" in warning


def made(asked: str, folder: Path) -> list[str]:
    """The warnings of an environment that is made; it has the version of this Python."""
    installer = Installer(
        find_uv_bin(), Programs(), folder / "log.txt", {"python": asked}, sys.executable, folder
    )
    warnings = installer.make_empty(folder)
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    command = [str(folder / "venv/bin/python"), "-c", code]
    assert subprocess.check_output(command, text=True).strip() == OWN
    return warnings
