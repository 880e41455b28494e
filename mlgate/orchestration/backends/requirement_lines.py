"""Requirements files as plain lines, those of the files that they include merged in.

pip's format (pip.pypa.io, "Requirements File Format"): encodings, continued lines, comments, `-r`
and `-c`. As with pip, the paths of those two are relative to their file, and so is the path of
`--find-links` if it exists; any other path is relative to the folder that pip is started in.
"""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath

SIZE_LIMIT = 1 << 20  # bytes of an environment file
_FILES_LIMIT = 100  # that include each other
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # which begins as the one of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODING = re.compile(rb"#.*coding[:=]\s*([-\w.]+)")  # in one of the first two lines, as of PEP 263
_FIND_LINKS = re.compile(r"(?:-f|--find-links)(?:\s*=\s*|\s*)(?P<path>\S.*)$")
_INCLUDE = re.compile(r"(?:(-r|--requirement)|(-c|--constraint))(?:\s*=\s*|\s*)(?P<file>\S.*)$")
_COMMENT = re.compile(r"(^|\s)#.*$")
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*([(<>=!~;@].*|--hash.*)?$")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# An address may hold a semicolon, so after one a marker has space before it, as of PEP 508.
_MARKER = re.compile(r"(?:^[^;@]*|\s);(?P<marker>.*?)(?:\s--?\w.*)?$")
_EDITABLE = ("-e", "--editable")  # may have options of its own after it
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2")
_HARMLESS = (
    "--index-url", "-i", "--extra-index-url", "--pre", "--no-index", "--no-binary",
    "--only-binary", "--trusted-host", "--prefer-binary", "--require-hashes",
)  # a row a line # fmt: skip

Read = Callable[[str], bytes]  # raises KeyError for a file that is not there


class Unusable(Exception):
    """An environment file that cannot be used; the message says why."""


class Lines:
    """The lines of requirements files, with those of the files that they include, once each.

    `exists` says of a path from the root whether there is such a file or folder; all paths in the
    lines are from the root, or from the folder that `--find-links` of pip falls back to.
    """

    def __init__(self, read: Read, exists: Callable[[str], bool] = lambda _: False) -> None:
        self.requirements: list[str] = []
        self.constraints: list[str] = []
        self._read = read
        self._exists = exists
        self._seen: set[str] = set()

    def add(self, text: str, file: str, *, as_constraints: bool = False) -> None:
        self._seen.add(file)
        if len(self._seen) > _FILES_LIMIT:
            raise Unusable(f"{file} is one of more than {_FILES_LIMIT} files that are included.")
        for line in _logical_lines(text):
            include = _INCLUDE.match(line)
            if include is None or "://" in line:
                line = self._from_root(line, PurePosixPath(file).parent)  # noqa: PLW2901 -- the same line
                (self.constraints if as_constraints else self.requirements).append(line)
                continue
            included = inside(PurePosixPath(file).parent / include["file"].strip("\"'"))
            if included not in self._seen:
                constrains = as_constraints or include[2] is not None
                self.add(text_of(included, self._read), included, as_constraints=constrains)

    def _from_root(self, line: str, folder: PurePosixPath) -> str:
        """The line, where it is `--find-links` with a path from the folder of its file."""
        found = _FIND_LINKS.match(line)
        if found is None or "://" in line:
            return line
        with suppress(Unusable):
            path = inside(folder / found["path"].strip("\"'"))
            if self._exists(path):
                return f"--find-links {path or '.'}"
        return line

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
    mark, encoding = next((each for each in _BOMS if content.startswith(each[0])), (b"", "utf-8"))
    if not mark:
        told = (_CODING.match(line) for line in content.split(b"\n", 2)[:2])
        encoding = next((found[1].decode() for found in told if found), encoding)
    try:
        return content[len(mark) :].decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise Unusable(f"{file} is not {encoding.upper()} text: save it as UTF-8.") from error


def name_of(line: str) -> str | None:
    """The package that a line names, as PEP 503 normalizes names; None for a line of options."""
    match = _NAME.match(line)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else None


def marker_of(line: str) -> str:
    """The condition under which a line's package is installed, as it is written; empty for none."""
    match = _MARKER.search(line)
    return match["marker"].strip() if match else ""


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
            yield from _one_by_one(stripped)


def _one_by_one(line: str) -> list[str]:
    """A line of options as a line for each, as not every installer reads several in one."""
    if not line.startswith("-") or line.startswith(_EDITABLE):
        return [line]
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that is not closed: the installer says so
        return [line]
    made: list[str] = []
    for word in words:
        if word.startswith("-"):
            made.append(word)
        else:
            made[-1] += f" {word}"
    return made if len(made) > 1 else [line]


def _points_inside(line: str) -> bool:
    """Whether a line may mean files of the repository; in doubt it does."""
    if line.startswith("-"):
        return not line.startswith(_HARMLESS) and "://" not in line
    if "@" in line or "://" in line:
        return "://" not in line or "file:" in line
    return _NAMED.match(line) is None or line.endswith(_ARCHIVES)
