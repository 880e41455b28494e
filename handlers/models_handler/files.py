"""Hashes a version's files while they are copied, and writes them to this host's disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from handlers.disk_faults import NO_NAME, fault_of_disk
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.models import Manifest, ModelFile, manifest_of


class Differs(Permanent):
    """A file's content is not what its version says."""


def hashed(parts: Iterable[bytes], file: ModelFile, whose: str) -> Iterator[bytes]:
    """The parts; raises `Differs`, by their end at the latest, if they are not the file's."""
    digest, size = hashlib.sha256(), 0
    for part in parts:
        size += len(part)
        if size > file.size:
            break
        digest.update(part)
        yield part
    if size != file.size:
        less = f"{size} bytes instead of {file.size}"
        found = f"more than {file.size} bytes" if size > file.size else less
        raise Differs(f"{whose}: {file.path} has {found}.")
    if digest.hexdigest() != file.sha256:
        raise Differs(
            f"{whose}: {file.path} has the SHA-256 {digest.hexdigest()} instead of {file.sha256}."
        )


def check_files(manifest: Manifest) -> None:
    """Raises `Permanent` for files that no folder can have, or that would be outside of it."""
    paths = {file.path for file in manifest.files}
    above = {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}
    if (
        manifest_of(manifest.content) is None
        or len(paths) != len(manifest.files)
        or paths & above
        or any("\ud800" <= char <= "\udfff" for path in paths for char in path)
    ):
        raise Permanent(
            f"The manifest of the version {manifest.id} lists files that no folder can have: each "
            "file needs a unique relative path in Unicode, without .. or \\."
        )


def write_new(path: Path, parts: Iterable[bytes]) -> None:
    """Write a new file on this host; nothing is left of it when `parts` raise."""
    with _local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(path, flags, 0o666), "wb")
    try:
        for part in parts:
            with _local(path):
                file.write(part)
        with _local(path):
            file.close()
    except BaseException:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            path.unlink()
        raise


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder on this host, which is removed afterwards."""
    with _local(Path(tempfile.gettempdir())):
        folder = Path(tempfile.mkdtemp(prefix="mlgate-model-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _local(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise Permanent(f"{path} exists already: a version needs an empty folder.") from error
    except OSError as error:
        if error.errno in NO_NAME:
            raise no_name(str(path), error.strerror or "") from error
        raise fault_of_disk(path, "written", error, None) from error
    except ValueError as error:
        raise no_name(str(path), str(error)) from error


def no_name(path: str, why: str) -> Permanent:
    return Permanent(f"No file of a model can have the name {path[:200]!a} here: {why}.")
