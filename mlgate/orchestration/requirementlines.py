"""Requirements files as plain lines, those of the files that they include merged in.

pip's format (pip.pypa.io, "Requirements File Format"): continued lines, comments, `-r` and `-c`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

SIZE_LIMIT = 1 << 20  # bytes of an environment file
_INCLUDE = re.compile(r"(?:(-r|--requirement)|(-c|--constraint))(?:\s*=\s*|\s*)(?P<file>\S.*)$")
_COMMENT = re.compile(r"(^|\s)#.*$")
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*([(<>=!~;@].*|--hash.*)?$")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2")
_HARMLESS = (
    "--index-url", "-i", "--extra-index-url", "--pre", "--no-index", "--no-binary",
    "--only-binary", "--trusted-host", "--prefer-binary", "--require-hashes",
)  # a row a line # fmt: skip

Read = Callable[[str], bytes]  # raises KeyError for a file that is not there


class Unusable(Exception):
    """An environment file that cannot be used; the message says why."""


class Lines:
    """The lines of requirements files, with those of the files that they include, once each."""

    def __init__(self, read: Read) -> None:
        self.requirements: list[str] = []
        self.constraints: list[str] = []
        self._read = read
        self._seen: set[str] = set()

    def add(self, text: str, file: str, *, as_constraints: bool = False) -> None:
        self._seen.add(file)
        for line in _logical_lines(text):
            include = _INCLUDE.match(line)
            if include is None or "://" in line:
                (self.constraints if as_constraints else self.requirements).append(line)
                continue
            included = inside(PurePosixPath(file).parent / include["file"].strip("\"'"))
            if included not in self._seen:
                constrains = as_constraints or include[2] is not None
                self.add(text_of(included, self._read), included, as_constraints=constrains)

    @property
    def local(self) -> bool:
        """Whether some line may mean files of the repository."""
        return any(map(_points_inside, self.requirements + self.constraints))


def text_of(file: str, read: Read) -> str:
    """Raises Unusable."""
    try:
        content = read(file)
    except KeyError as error:
        raise Unusable(f"There is no file {file} in the repository.") from error
    if len(content) > SIZE_LIMIT:
        raise Unusable(f"{file} is bigger than an environment file can be.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"{file} is not UTF-8 text.") from error


def name_of(line: str) -> str | None:
    """The package that a line names, as PEP 503 normalizes names; None for a line of options."""
    match = _NAME.match(line)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else None


def inside(path: PurePosixPath) -> str:
    """The path of an environment file, from the root; raises Unusable for one outside."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part in ("..", "/"):
            raise Unusable(f"The environment file {path} is outside the repository's folder.")
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _logical_lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if stripped := _COMMENT.sub("", line).strip():
            yield stripped


def _points_inside(line: str) -> bool:
    """Whether a line may mean files of the repository; in doubt it does."""
    if line.startswith("-"):
        return not line.startswith(_HARMLESS) and "://" not in line
    if "@" in line or "://" in line:
        return "://" not in line or "file:" in line
    return _NAMED.match(line) is None or line.endswith(_ARCHIVES)
