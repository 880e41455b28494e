"""The files of a model's current version that are uploaded, for runs to compare theirs with."""

from __future__ import annotations

from pathlib import Path

from handlers.azureml_handler.snapshots import unstorable
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.models import is_id


def model_files(version: str, folder: Path) -> dict[str, Path]:
    """A version's files by their paths; raises Permanent if blob storage cannot store one."""
    if not is_id(version):
        raise Permanent(f"{version!r} is not the id of a model's version.")
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    if (name := unstorable(files)) is not None:
        raise Permanent(
            f"The current model has a file whose name Azure's storage cannot keep, {name!r}. "
            "Promote a version without backslashes, control characters and dots at the end of its "
            "names, from a build on another backend."
        )
    return files
