"""Packs the launcher into one file that travels with runs: a zip application (PEP 441)."""

from __future__ import annotations

import functools
import importlib.util
import io
import marshal
import zipfile
from collections.abc import Mapping
from pathlib import Path

_FIRST = (1980, 1, 1, 0, 0, 0)  # the earliest date in the zip format
_MODE = 0o644 << 16  # see `ZipInfo.external_attr`
_UNIX = 3


@functools.cache
def archive() -> bytes:
    """The bytes of the file. Staged files are named by them, so they depend only on the sources.

    It is not compressed, because compression libraries produce different bytes. It includes the
    scorer and the load, which serving runs need.
    """
    return _zipped(_sources())


def compiled() -> bytes:
    """The same with this Python's bytecode beside each module, which halves the start-up time.

    Another Python ignores the bytecode: zipimport reads the source if the magic number is not its
    own. The bytecode is marked as unchecked, so it is not compared with the source.
    """
    members = _sources()
    unchecked = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    for name, source in _sources().items():
        if "/" in name:  # not __main__.py, which Pythons too old for the rest must read
            code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
            members[f"{name}c"] = unchecked + importlib.util.source_hash(source) + code
    return _zipped(members)


def _sources() -> dict[str, bytes]:
    folder = Path(__file__).parent
    start = folder / "__main__.py"
    members = {start.name: start.read_bytes(), "mlgate/__init__.py": b""}
    for name in ("launcher", "load", "scorer"):
        for path in folder.with_name(name).glob("*.py"):
            if path != start:
                members[f"mlgate/{name}/{path.name}"] = path.read_bytes()
    return members


def _zipped(members: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, source in sorted(members.items()):
            member = zipfile.ZipInfo(name, _FIRST)
            member.create_system, member.external_attr = _UNIX, _MODE
            made.writestr(member, source)
    return content.getvalue()
