"""Gives each checkout a temporary folder, removed when it ends."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from handlers.repository_handler.locks import locked
from mlgate.orchestration.errors import Temporary


@dataclass(frozen=True, slots=True)
class FolderCheckout:
    """Implements `Checkout`: the exported files and their commit."""

    commit: str
    folder: Path
    warnings: tuple[str, ...]
    exported: tuple[str, ...]

    def files(self) -> Sequence[str]:
        return self.exported

    def read(self, path: str) -> bytes:
        if path not in self.exported:
            raise KeyError(path)
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise unusable(self.folder, error) from error


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder for one checkout. Also removes folders of processes that died."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for lock in parent.glob("*.lock"):
        with locked(lock) as abandoned:
            if abandoned:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink()
    with ExitStack() as stack:
        folder = parent / uuid.uuid4().hex
        # A process that looks for abandoned folders may get the lock first.
        while not stack.enter_context(locked(folder.with_suffix(".lock"))):
            folder = parent / uuid.uuid4().hex
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # the next checkout removes it
                folder.with_suffix(".lock").unlink(missing_ok=True)


def unusable(folder: Path, error: OSError) -> Temporary:
    why = error.strerror or type(error).__name__
    return Temporary(f"The folder {folder} for checkouts cannot be used: {why}.", 30)
