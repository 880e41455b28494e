"""A model store whose versions are a few lines each."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handlers.models_handler import Folder, ModelStore
from mlgate.orchestration.models import Entry, EntryKind, Manifest, ModelFile
from tests.support.models import pickled

EXAMPLE = {"instances": [[1, 2]]}
MODEL = "churn"


def answering(number: int, before: str = "", meanwhile: str = "pass") -> str:
    """A model whose every answer is its own number; `before` is executed when it is loaded, and
    `meanwhile` for each request."""
    lines = ["class Model:", "    def predict(self, rows):", f"        {meanwhile}"]
    return "\n".join((before, *lines, f"        return [{number}] * len(rows)"))


class Store:
    """A folder of models, of which this one has a log."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = ModelStore(Folder(root))
        self.models.init()

    def keep(self, source: str, *, payload: bytes = b"", **fields: Any) -> Manifest:
        """A version whose model is this source; nobody names it yet."""
        content = pickled(source, payload=payload)
        file = ModelFile("model.pkl", len(content), hashlib.sha256(content).hexdigest())
        plain = Manifest(
            "pickle", file.path, platform.python_version(), "linux", {}, (file,), example=EXAMPLE
        )
        manifest = replace(plain, **fields)
        self.models.keep(MODEL, manifest, lambda _: [content])
        return manifest

    def name(self, manifest: Manifest, kind: EntryKind = EntryKind.PROMOTED) -> Entry:
        """The next entry of the log, so that the version is the current one."""
        head = self.models.head(MODEL)
        entry = Entry(
            head.taken + 1,
            MODEL,
            kind,
            manifest.id,
            manifest.digest,
            head.entry.id if head.entry else None,
            datetime.now(UTC),
        )
        assert self.models.append(entry)
        return entry

    def promote(self, source: str, **fields: Any) -> Entry:
        return self.name(self.keep(source, **fields))

    def files(self, entry: Entry) -> Path:
        return self.root / MODEL / "versions" / entry.id / "files"
