"""A folder with a file for each token, because an unlinked file is gone."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from mlgate.orchestration.errors import Temporary

_SCRATCH = timedelta(hours=1)  # an older one is of a killed process: writing takes milliseconds


class TokenFolder:
    """Readable by this user alone. Raises `Temporary` when the disk fails."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError when the folder cannot be created."""
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        for scratch in folder.glob(".*"):
            if _older(scratch, _SCRATCH):
                with suppress(OSError):
                    scratch.unlink()

    def read(self, key: str) -> SecretStr | None:
        with _translated(self._folder):
            try:
                return SecretStr((self._folder / key).read_text("utf-8"))
            except FileNotFoundError:
                return None

    def forget(self, key: str) -> None:
        with _translated(self._folder):
            (self._folder / key).unlink(missing_ok=True)

    def write(self, key: str, token: SecretStr) -> bool:
        """Whether the file is new; an existing one belongs to the same identity and stays."""
        scratch = self._folder / f".{uuid.uuid4().hex}"
        with _translated(scratch):
            try:
                descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(token.get_secret_value())
                (self._folder / key).hardlink_to(scratch)
            except FileExistsError:
                return False
            finally:
                scratch.unlink(missing_ok=True)
        return True

    def has(self, key: str) -> bool:
        with _translated(self._folder):
            return (self._folder / key).exists()

    def older(self, age: timedelta) -> list[str]:
        """The keys of tokens that are older than `age`."""
        return [file.name for file in self._folder.glob("[!.]*") if _older(file, age)]


def _older(file: Path, age: timedelta) -> bool:
    try:
        return file.stat().st_mtime < time.time() - age.total_seconds()
    except OSError:
        return False


@contextmanager
def _translated(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Temporary(f"{place} cannot be read or written: {error.strerror}.") from error
