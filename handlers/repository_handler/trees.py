"""Reads a commit's tree lazily, folder by folder.

A few hundred bytes of objects can describe more paths than any disk holds: the same folder under
many names, at many levels, in submodules of submodules. So a tree is never listed as a whole. The
caller that walks it counts and stops at a limit, and a folder that is not opened costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from stat import S_ISDIR, S_ISLNK
from typing import TypeAlias

from handlers.repository_handler.client import Broken, Client
from mlgate.orchestration.errors import Permanent

_LARGEST_FOLDER = 32 << 20  # bytes of one tree object: some 500,000 names
_NAMES_HELD = 200_000  # names of the folders opened last, kept in memory
_LONGEST_LINK = 4096  # bytes, the same as Linux
_LINKS_HELD = 1000  # targets of links, kept in memory
_SUBMODULE = 0o160000
_SHA_BYTES = 20

Parts: TypeAlias = tuple[str, ...]


class TooLarge(Permanent):
    """The repository is larger than a checkout may be, or than this host has room for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a tree object has for one name."""

    mode: int
    sha: str


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of one folder; the names in `unreadable` are not UTF-8."""

    named: Mapping[str, Entry]
    unreadable: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.named) + len(self.unreadable)


class Reading:
    """Reads and caches the trees of one checkout, submodules included.

    Each name that is read, and each part of a link that is followed, is a step. At most `most`
    steps are allowed.
    """

    def __init__(self, most: int = 10_000_000) -> None:
        self._most = most
        self._steps = 0
        self._folders = dict[tuple[Client, str], Entries]()  # the last used is the last
        self._held = 0
        self._links = dict[tuple[Client, str], str]()

    def restart(self) -> None:
        """Count from 0 again, for another walk over the same trees."""
        self._steps = 0

    def step(self, steps: int = 1) -> None:
        self._steps += steps
        if self._steps > self._most:
            raise TooLarge(
                "The repository has more or longer links than a checkout may follow: replace them "
                "with files, or name a smaller `repository.subdirectory`."
            )

    def folder(self, client: Client, sha: str) -> Entries:
        key = client, sha
        entries = self._folders.pop(key, None)
        if entries is None:
            entries = self._parsed(client, sha)
            self._held += len(entries)
            while self._folders and self._held > _NAMES_HELD:
                self._held -= len(self._folders.pop(next(iter(self._folders))))
        self._folders[key] = entries
        return entries

    def link(self, client: Client, sha: str) -> str:
        """The target of a link; "/", which leads nowhere, if it is longer than any path."""
        key = client, sha
        if key not in self._links:
            if len(self._links) >= _LINKS_HELD:
                self._links.clear()
            content = client.read(sha, "blob", _LONGEST_LINK)
            self._links[key] = "/" if content is None else content.decode("utf-8", "replace")
        return self._links[key]

    def _parsed(self, client: Client, sha: str) -> Entries:
        data = client.read(sha, "tree", _LARGEST_FOLDER)
        if data is None:
            raise TooLarge(
                "A folder of the repository has more names than a checkout may have: keep its "
                "files out of the repository, or name a `repository.subdirectory` without it."
            )
        entries = parse_tree(data)
        self.step(len(entries))
        return entries


class Source:
    """One commit of one repository; `level` is how many submodules it is nested in.

    `submodule` opens the submodule at a path of this repository, at a commit. Without it,
    submodules are left out.
    """

    def __init__(
        self,
        client: Client,
        commit: str,
        reading: Reading,
        submodule: Callable[[Source, str, str], Source] | None = None,
        level: int = 0,
    ) -> None:
        self.client = client
        self.commit = commit
        self.reading = reading
        self.level = level
        self.tree = client.tree_of(commit)
        self._submodule = submodule

    def root(self) -> Folder:
        return Folder(self, self.tree)

    def open(self, path: str, commit: str) -> Source | None:
        return None if self._submodule is None else self._submodule(self, path, commit)


@dataclass(frozen=True, slots=True)
class File:
    """A blob, which is a link if its mode says so, and the source that can read it."""

    mode: int
    sha: str
    source: Source

    @property
    def is_link(self) -> bool:
        return S_ISLNK(self.mode)

    @property
    def text(self) -> str:
        """The target of a link."""
        return self.source.reading.link(self.source.client, self.sha)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A submodule that was not requested."""


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """`path` is its place in the whole tree; the first `mount` parts lead to its source."""

    source: Source
    sha: str
    path: Parts = ()
    parent: Folder | None = None
    mount: int = 0

    @property
    def entries(self) -> Entries:
        """What is in the folder. Raises `Permanent` for names that git would not check out."""
        try:
            return self.source.reading.folder(self.source.client, self.sha)
        except Hostile as hostile:
            name = hostile.name.decode("utf-8", "replace")
            raise Permanent(
                f"The repository has the path {'/'.join((*self.path, name))!a}, which git itself "
                "would not check out: remove it from the commit."
            ) from None

    def child(self, name: str) -> File | Folder | LeftOut | None:
        """The entry with this name; raises the errors of opening a submodule."""
        entry = self.entries.named.get(name)
        if entry is None:
            return None
        path = (*self.path, name)
        if S_ISDIR(entry.mode):
            return Folder(self.source, entry.sha, path, self, self.mount)
        if entry.mode != _SUBMODULE:
            return File(entry.mode, entry.sha, self.source)
        inner = self.source.open("/".join(path[self.mount :]), entry.sha)
        if inner is None:
            return LeftOut()
        return Folder(inner, inner.tree, path, self, len(path))


class Hostile(Exception):
    """A name that leads elsewhere, exists twice, or is reserved by git."""

    def __init__(self, name: bytes) -> None:
        super().__init__(name)
        self.name = name


def parse_tree(data: bytes) -> Entries:
    """Parse a tree object. Raises `Hostile`, and `Broken` if it is not a tree."""
    named = dict[str, Entry]()
    unreadable = list[bytes]()
    at = 0
    while at < len(data):
        space = data.find(b" ", at)
        end = data.find(b"\0", space)
        mode, name, after = data[at:space], data[space + 1 : end], end + 1 + _SHA_BYTES
        if space < 0 or end < 0 or after > len(data) or not mode.isdigit():
            raise Broken("a tree object cannot be read")
        if name in (b"", b".", b"..") or b"/" in name or name.lower() == b".git":
            raise Hostile(name)
        try:
            text = name.decode("utf-8")
            entry = Entry(int(mode, 8), data[end + 1 : after].hex())
        except UnicodeDecodeError:
            unreadable.append(name)
        except ValueError:  # not an octal number
            raise Broken("a tree object cannot be read") from None
        else:
            if text in named:
                raise Hostile(name)
            named[text] = entry
        at = after
    return Entries(named, unreadable)
