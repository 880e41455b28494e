"""Writes a commit's tree as plain files, from the object database and not by `git checkout`.

`git checkout` obeys the repository (filters, end-of-line and export attributes, links). Here a file
is its blob, byte for byte, and a link inside the tree becomes a copy of what it leads to.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from handlers.repository_handler.lfs import LARGEST_POINTER, is_pointer, size_of_content
from handlers.repository_handler.trees import File, Folder, LeftOut, Source, TooLarge

_LINK_HOPS = 40  # the same as Linux
_BLOCK = 4096  # bytes that the smallest file takes
_AT_A_TIME = 10_000  # files whose sizes are read together
_SHOWN = 5  # paths named in a warning
_SMALLER = "name a smaller `repository.subdirectory`, or keep what runs do not need out of it"


@dataclass(frozen=True, slots=True)
class Most:
    """The limits of a checkout, with links resolved and submodules included.

    `paths` counts files and folders, `size` is in bytes, `depth` is how deep folders are nested.
    """

    paths: int = 500_000
    size: int = 20 << 30
    depth: int = 200


@dataclass
class Exporter:
    """Writes one tree, and collects what to warn about.

    `make_room` is called with the bytes that the tree takes on disk, before anything is written.
    """

    root: Folder
    lfs: bool = False
    make_room: Callable[[int], None] = lambda _: None
    most: Most = field(default_factory=Most)
    files: list[str] = field(default_factory=list)  # written, relative to the destination
    left_out: list[str] = field(default_factory=list)  # links that lead nowhere or out of the tree
    submodules: list[str] = field(default_factory=list)  # left out because not requested
    unreadable: list[str] = field(default_factory=list)  # names that are not UTF-8
    pointers: list[str] = field(default_factory=list)  # LFS files written as pointers

    def write(self, subdirectory: str, destination: Path) -> bool:
        """Write what is in `subdirectory`; false if that is not a folder of the tree.

        Raises `TooLarge` before anything is written.
        """
        start = self._resolve(self.root, subdirectory)
        if not isinstance(start, Folder):
            return False
        self.make_room(self._measure(start))
        self.root.source.reading.restart()
        for warned in (self.left_out, self.submodules, self.unreadable):
            warned.clear()  # the second walk finds the same
        for label, node in self._walk(start):
            if isinstance(node, Folder):
                (destination / label).mkdir(exist_ok=True)
            else:
                self._write_file(node, destination / label, label)
        self.files.sort()
        return True

    def warnings(self) -> list[str]:
        said = (
            (
                "Links that lead out of the repository, nowhere or in circles, were left out",
                self.left_out,
            ),
            (
                "LFS pointers were written instead of their content: set `repository.lfs`",
                self.pointers,
            ),
            ("Submodules were left out: set `repository.submodules`", self.submodules),
            ("Files whose names are not UTF-8 were left out", self.unreadable),
        )
        return [warning(text, paths) for text, paths in said if paths]

    def _walk(self, start: Folder) -> Iterator[tuple[str, File | Folder]]:
        """Each folder, then what is in it, with its path below `start`; "" is `start` itself."""
        seen, above = (
            len(start.entries),
            {start.path},
        )  # the folders being walked: following a link to one of them would never end
        pending = [(start, "", self._names(start, ""))]
        yield "", start
        while pending:
            folder, label, names = pending[-1]
            name = next(names, None)
            if name is None:
                pending.pop()
                above.discard(folder.path)
                continue
            place = f"{label}{name}"
            node = folder.child(name)
            if isinstance(node, LeftOut):
                self.submodules.append(place)
                continue
            if isinstance(node, File) and node.is_link:
                node = self._resolve(folder, node.text)
            if node is None or (isinstance(node, Folder) and node.path in above):
                self.left_out.append(place)
                continue
            yield place, node
            if isinstance(node, Folder):
                pending.append((node, f"{place}/", self._names(node, f"{place}/")))
                above.add(node.path)
                seen += len(node.entries)
                self._check_paths(seen, len(pending))

    def _names(self, folder: Folder, label: str) -> Iterator[str]:
        entries = folder.entries
        self.unreadable += [ascii(label.encode() + name) for name in entries.unreadable]
        return iter(entries.named)

    def _check_paths(self, paths: int, depth: int) -> None:
        if paths > self.most.paths:
            raise TooLarge(
                f"The repository has more than {self.most.paths} files and folders, the most "
                f"that a checkout may have: {_SMALLER}."
            )
        if depth > self.most.depth:
            raise TooLarge(
                f"The repository has folders nested more than {self.most.depth} deep: {_SMALLER}."
            )

    def _measure(self, start: Folder) -> int:
        """The bytes on disk of everything that is to be written."""
        total, waiting = 0, Counter[tuple[Source, str]]()
        for number, (_, node) in enumerate(self._walk(start), 1):
            if isinstance(node, File):
                waiting[node.source, node.sha] += 1
            else:
                total += _BLOCK
            if number % _AT_A_TIME == 0:
                total += self._sizes(waiting)
                waiting.clear()
                self._check(total)
        total += self._sizes(waiting)
        self._check(total)
        return total

    def _check(self, size: int) -> None:
        if size > self.most.size:
            raise TooLarge(
                f"The repository has more than {self.most.size >> 20} MiB of files, the most that "
                f"a checkout may have: {_SMALLER}."
            )

    def _sizes(self, files: Counter[tuple[Source, str]]) -> int:
        total = 0
        for source in {source for source, _ in files}:
            shas = [sha for of, sha in files if of is source]
            for sha, size in zip(shas, source.client.sizes(shas), strict=True):
                content = size
                if self.lfs and size < LARGEST_POINTER:
                    content = size_of_content(source.client.read(sha, "blob", size) or b"") or size
                total += files[source, sha] * -(-content // _BLOCK) * _BLOCK
        return total

    def _write_file(self, file: File, place: Path, label: str) -> None:
        with place.open("xb") as sink:
            file.source.client.write_blob(file.sha, sink)
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
                file.source.client.write_lfs(pointer, sink)

    def _resolve(self, start: Folder, path: str) -> File | Folder | None:
        """What `path` leads to from the folder `start`; None if that is not in the tree."""
        if path.startswith("/"):
            return None
        node: File | Folder = start
        pending, hops = deque(path.split("/")), 0
        while pending:
            part = pending.popleft()
            self.root.source.reading.step()
            if part in ("", ".") and isinstance(node, Folder):
                continue
            if not isinstance(node, Folder):
                return None
            found = node.parent if part == ".." else node.child(part)
            if isinstance(found, File) and found.is_link:
                text = found.text
                hops += 1
                if text.startswith("/") or hops > _LINK_HOPS:
                    return None
                pending.extendleft(reversed(text.split("/")))
            elif found is None or isinstance(found, LeftOut):
                return None
            else:
                node = found
        return node


def warning(text: str, paths: list[str]) -> str:
    """`text` with the number of paths and the first of them."""
    more = ", ..." if len(paths) > _SHOWN else ""
    return f"{text} ({len(paths)}: {', '.join(paths[:_SHOWN])}{more})."
