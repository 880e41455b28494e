"""The folder in which mlgate keeps what belongs to this machine: mirrors, runs, environments."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mlgate.hosts.usage import SettingsError, WrongSetting

DEFAULT_HOME = ".mlgate"


def home_of(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that these variables name, as an absolute path."""
    return Path(environ.get("MLGATE_HOME", "").strip() or DEFAULT_HOME).absolute()


def require(home: Path) -> None:
    """Make the folder if needed. Raises `SettingsError` if it cannot be written."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        what = f"{home} cannot be written: {error.strerror}"
        wrong = WrongSetting("MLGATE_HOME", what, "set it to another folder")
        raise SettingsError(wrong) from error


def keep_out_of_git(home: Path) -> None:
    """Make the folder with a `.gitignore`: it is often inside a repository that must not contain
    it."""
    ignored = home / ".gitignore"
    if not ignored.exists():
        with suppress(OSError):  # code that needs the home reports what is wrong with it
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            ignored.write_text("*\n")
