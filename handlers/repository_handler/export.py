"""A commit's tree as plain files: from the object database, never through a checkout.

A checkout obeys the repository (filters, end-of-line and export attributes, links); here a file
is its blob, byte for byte, and a link inside the tree is a copy of what it leads to.
"""

from __future__ import annotations

import io
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISLNK
from typing import TypeAlias

from handlers.repository_handler.client import Client
from handlers.repository_handler.lfs import LARGEST_POINTER, is_pointer
from mlgate.orchestration.errors import Permanent

_LINK_HOPS = 40  # as Linux has it
_LONGEST_LINK = 4096  # characters; likewise
_DEEPEST = 200  # folders within folders
_SHOWN = 5  # paths named in a warning

Parts: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A blob, or a link while its mode says so, and who can read it."""

    mode: int
    sha: str
    client: Client


class Folder(dict[str, "File | Folder"]):
    """What a tree holds, by name."""


@dataclass
class Listing:
    """A commit's tree; `submodules` maps the path of each to its commit."""

    root: Folder = field(default_factory=Folder)
    submodules: dict[Parts, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def list_tree(client: Client, commit: str) -> Listing:
    """Raises `Permanent` for a tree that git itself would not check out."""
    listing = Listing()
    for entry in client.tree(commit):
        try:
            path = entry.path.decode("utf-8")
        except UnicodeDecodeError:
            listing.unreadable.append(ascii(entry.path))
            continue
        parts = tuple(path.split("/"))
        if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
            raise _hostile(path)
        if entry.mode == 0o160000:
            listing.submodules[parts] = entry.sha
        else:
            graft(listing.root, parts, File(entry.mode, entry.sha, client))
    return listing


def graft(root: Folder, parts: Parts, node: File | Folder) -> None:
    """Put `node` at `parts` below `root`."""
    for part in parts[:-1]:
        below = root.setdefault(part, Folder())
        if not isinstance(below, Folder):
            raise _hostile("/".join(parts))
        root = below
    if parts[-1] in root:
        raise _hostile("/".join(parts))
    root[parts[-1]] = node


@dataclass
class Exporter:
    """Writes one tree; collects what the people should know of it."""

    root: Folder
    lfs: bool
    limit: int = 500_000  # files and folders: a few links can ask for more than any disk holds
    files: list[str] = field(default_factory=list)  # written, relative to the destination
    left_out: list[str] = field(default_factory=list)  # links that lead nowhere or out
    pointers: list[str] = field(default_factory=list)  # LFS files that are pointers still
    _links: dict[str, str] = field(default_factory=dict)  # text by SHA
    _seen: int = 0

    def write(self, subdirectory: str, destination: Path) -> bool:
        """Write what is in `subdirectory`; false when that is no folder of the tree."""
        at = self._resolve((), subdirectory)
        folder = self._at(at) if at is not None else None
        if at is None or not isinstance(folder, Folder):
            return False
        self._write_folder(folder, at, destination, "", frozenset({at}))
        self.files.sort()
        return True

    def warnings(self) -> list[str]:
        said = (
            (
                "Links that lead out of the repository, nowhere or in circles, were left out",
                self.left_out,
            ),
            ("LFS pointers stand for their content: set `repository.lfs`", self.pointers),
        )
        return [warning(text, paths) for text, paths in said if paths]

    def _write_folder(
        self, folder: Folder, real: Parts, destination: Path, shown: str, open_: frozenset[Parts]
    ) -> None:
        """`real` is where `folder` is in the tree; `open_` the folders being written around it."""
        destination.mkdir(exist_ok=True)
        self._seen += len(folder)
        if self._seen > self.limit or len(open_) > _DEEPEST:
            raise Permanent(
                f"The repository has more than {self.limit} files, or folders more than {_DEEPEST} "
                "deep, once its links are resolved: name a smaller `repository.subdirectory`."
            )
        for name, node in folder.items():
            place, label, target = destination / name, f"{shown}{name}", (*real, name)
            found: File | Folder | None = node
            if isinstance(node, File) and S_ISLNK(node.mode):
                resolved = self._resolve(real, self._text(node))
                found = self._at(resolved) if resolved is not None else None
                target = resolved or ()
            if isinstance(found, File):
                self._write_file(found, place, label)
            elif found is None or target in open_:
                self.left_out.append(label)
            else:
                self._write_folder(found, target, place, f"{label}/", open_ | {target})

    def _write_file(self, file: File, place: Path, label: str) -> None:
        with place.open("xb") as sink:
            file.client.write_blob(file.sha, sink)
        if place.stat().st_size < LARGEST_POINTER and is_pointer(place.read_bytes()):
            self._write_pointed(file, place, label)
        place.chmod(0o755 if file.mode & 0o100 else 0o644)
        self.files.append(label)

    def _write_pointed(self, file: File, place: Path, label: str) -> None:
        if not self.lfs:
            self.pointers.append(label)
            return
        with place.open("rb") as pointer:
            place.unlink()
            with place.open("xb+") as sink:
                file.client.write_lfs(pointer, sink)

    def _resolve(self, start: Parts, path: str) -> Parts | None:
        """Where `path`, seen from the folder `start`, really is; None when not in the tree."""
        if path.startswith("/"):
            return None
        current, pending, hops = list(start), deque(path.split("/")), 0
        while pending:
            part = pending.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                if not current:
                    return None
                current.pop()
                continue
            folder = self._at(tuple(current))
            node = folder.get(part) if isinstance(folder, Folder) else None
            if node is None:
                return None
            if isinstance(node, File) and S_ISLNK(node.mode):
                text = self._text(node)
                hops += 1
                if text.startswith("/") or hops > _LINK_HOPS:
                    return None
                pending.extendleft(reversed(text.split("/")))
            else:
                current.append(part)
        return tuple(current)

    def _at(self, parts: Parts) -> File | Folder | None:
        node: File | Folder | None = self.root
        for part in parts:
            node = node.get(part) if isinstance(node, Folder) else None
        return node

    def _text(self, link: File) -> str:
        if link.sha not in self._links:
            sink = io.BytesIO()
            link.client.write_blob(link.sha, sink)
            text = sink.getvalue()[: _LONGEST_LINK + 1].decode("utf-8", "replace")
            self._links[link.sha] = text if len(text) <= _LONGEST_LINK else "/"
        return self._links[link.sha]


def warning(text: str, paths: list[str]) -> str:
    """`text`, how many paths it is about, and the first of them."""
    more = ", ..." if len(paths) > _SHOWN else ""
    return f"{text} ({len(paths)}: {', '.join(paths[:_SHOWN])}{more})."


def _hostile(path: str) -> Permanent:
    return Permanent(
        f"The repository holds the path {path!a}, which git itself would not check out: "
        "remove it from the commit."
    )
