"""Writes git objects one by one, each under the hash of what was received.

Format: gitformat-loose(5), and the tree object of gitdatamodel(7). Sizes are in bytes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from handlers.repository_handler.azure_rest import Listed

_FASTEST = 1  # of zlib's levels


def write_object(
    objects: Path, kind: str, size: int, content: Iterable[bytes], wanted: Container[str]
) -> str | None:
    """Store `content` in the folder `objects` if its hash is in `wanted`; returns the hash, or None
    if it is not."""
    head = b"%s %d\0" % (kind.encode(), size)
    digest, packing = hashlib.sha1(head, usedforsecurity=False), zlib.compressobj(_FASTEST)
    written = 0
    with tempfile.NamedTemporaryFile(dir=objects, prefix="tmp_obj_", delete=False) as file:
        new = Path(file.name)
        try:
            file.write(packing.compress(head))
            for chunk in content:
                digest.update(chunk)
                written += len(chunk)
                file.write(packing.compress(chunk))
            file.write(packing.flush())
            file.flush()
            sha = digest.hexdigest()
            if written != size or sha not in wanted:
                return None
            place = objects / sha[:2] / sha[2:]
            place.parent.mkdir(exist_ok=True)
            os.replace(new, place)  # noqa: PTH105 -- new must not be unlinked below
        finally:
            new.unlink(missing_ok=True)
    return sha


def folders(listed: Iterable[Listed]) -> Mapping[str, bytes]:
    """The tree objects of these paths, by their hashes; includes the root's."""
    below: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
    below[""] = []
    for entry in listed:
        parent, _, name = entry.path.rpartition("/")
        raw = name.encode("utf-8", "surrogatepass")
        line = b"%s %s\0" % (entry.mode.encode(), raw) + bytes.fromhex(entry.sha)
        below[parent].append((raw + b"/" * (entry.kind == "tree"), line))
        if entry.kind == "tree":
            below[entry.path]  # an empty folder has a tree as well
    trees = [b"".join(line for _, line in sorted(lines)) for lines in below.values()]
    return {_hash(tree): tree for tree in trees}


def _hash(tree: bytes) -> str:
    return hashlib.sha1(b"tree %d\0" % len(tree) + tree, usedforsecurity=False).hexdigest()
