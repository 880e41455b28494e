"""The git program, driven through GitPython.

fetch.fsckObjects stays off: it refuses old histories for harmless flaws (zero-padded modes, missing
dates). What would do harm, hostile paths in a tree, is refused by the export.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from git.cmd import Git

from handlers.repository_handler.client import Broken, DiskFull, Limits
from handlers.repository_handler.faults import cause, disk_full, fault
from handlers.repository_handler.lfs import smudge
from handlers.repository_handler.process import GitFailed, GitTimeout, environment, run
from handlers.repository_handler.remote import Remote
from mlgate.orchestration.errors import Permanent

_CHUNK = 1 << 20  # bytes
_LARGEST_MODULES = 1 << 20  # bytes of .gitmodules

# git does not pass its configuration on to upload-pack, so it is set here. The other repository may
# have any owner, and may be asked for a commit that no ref names (`mlgate run --worktree`).
_LOCAL_UPLOAD_PACK = (
    "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true -c uploadpack.allowFilter=true "
    "-c core.hooksPath=/dev/null upload-pack"
)


class GitProgram:
    """Implements `Client`. Not thread-safe."""

    def __init__(self, folder: Path, remote: Remote, home: Path, limits: Limits) -> None:
        self._remote = remote
        self._limits = limits
        self._folder = folder
        self._git = Git(folder)
        self._git.update_environment(**environment(folder, home, remote, limits))

    def list_refs(self, *names: str) -> Mapping[str, str]:
        # A pattern matches the end of a ref's name; `*` matches any number of its parts.
        patterns = [f"{name}*" if name.endswith("/") else name for name in names]
        peeled = [f"{name}^{{}}" for name in names if name.startswith("refs/tags/")]
        listed = self._exchange(
            "ls-remote", *self._upload_pack, self._remote.url, *patterns, *peeled
        )
        refs = {}
        for line in listed.decode("utf-8", "replace").splitlines():
            sha, _, ref = line.partition("\t")
            if any(_names(name, ref) for name in names):
                refs[ref] = sha
        return refs

    def fetch(self, shas: Sequence[str], depth: int) -> None:
        self._bring(self._remote.url, shas, depth)

    def _bring(self, source: str, shas: Sequence[str], depth: int | None, *options: str) -> None:
        self._exchange(
            *options,
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--update-shallow",
            *([] if depth is None else [f"--depth={depth}"]),
            "--stdin",
            *self._upload_pack,
            source,
            stdin="\n".join(shas).encode() + b"\n",
        )

    def commit_of(self, sha: str) -> str | None:
        try:
            commit, _, _ = self._git.get_object_header(f"{sha}^{{commit}}")
        except ValueError:  # GitPython's word for "missing"
            return None
        except BrokenPipeError as error:
            raise Broken(str(error)) from error
        return _text(commit)

    def tree_of(self, commit: str) -> str:
        return self._header(f"{commit}^{{tree}}", "tree")[0]

    def read(self, sha: str, kind: str, most: int) -> bytes | None:
        if self._header(sha, kind)[1] > most:
            return None
        sink = io.BytesIO()
        self._write(sha, kind, sink)
        return sink.getvalue()

    def sizes(self, shas: Sequence[str]) -> Sequence[int]:
        asked = "".join(f"{sha}\n" for sha in shas).encode()
        said = self._cached("cat-file", "--batch-check=%(objectsize)", "--buffer", stdin=asked)
        try:
            return [int(line) for line in said.splitlines()]
        except ValueError as error:  # "... missing"
            raise Broken("an object is missing") from error

    def write_blob(self, sha: str, sink: BinaryIO) -> None:
        self._write(sha, "blob", sink)

    def _header(self, name: str, kind: str) -> tuple[str, int]:
        """The SHA and size in bytes of the object with that name."""
        try:
            sha, found, size = self._git.get_object_header(name)
        except (ValueError, BrokenPipeError) as error:
            raise Broken(f"object {name} cannot be read") from error
        if _text(found) != kind:
            raise Broken(f"object {name} is not a {kind}")
        return _text(sha), size

    def _write(self, sha: str, wanted: str, sink: BinaryIO) -> None:
        try:
            _, kind, size, stream = self._git.stream_object_data(sha)
            left = size
            while left and (chunk := stream.read(min(left, _CHUNK))):
                sink.write(chunk)
                left -= len(chunk)
            stream.read(0)
        except (ValueError, BrokenPipeError) as error:
            raise Broken(f"object {sha} cannot be read") from error
        if left or _text(kind) != wanted:
            raise Broken(f"object {sha} cannot be read")

    def write_lfs(self, pointer: BinaryIO, sink: BinaryIO) -> None:
        smudge(self._git, self._remote, pointer, sink, self._limits.left)

    def submodules(self, commit: str) -> Mapping[str, str]:
        blob = f"{commit}:.gitmodules"
        try:
            _, _, size = self._git.get_object_header(blob)
        except ValueError:  # GitPython's word for "missing"
            return {}
        if size > _LARGEST_MODULES:
            raise Permanent(
                f"The file .gitmodules of {self._remote.url} has more than "
                f"{_LARGEST_MODULES >> 20} MiB: correct it, or leave `repository.submodules` out."
            )
        options = ("--blob", blob, "--list", "-z", "--no-includes")
        try:
            listed = run(self._git, "config", *options, timeout=self._limits.left)
        except GitFailed as failed:
            raise Permanent(
                f"The file .gitmodules of {self._remote.url} cannot be read "
                f"({cause(str(failed))}): correct it."
            ) from None
        except GitTimeout as late:
            raise Broken(str(late)) from late
        text = listed.decode("utf-8", "surrogateescape")  # as for paths of files
        values = dict(item.split("\n", 1) for item in text.split("\0") if "\n" in item)
        return {
            path: values[f"{key.removesuffix('.path')}.url"]
            for key, path in values.items()
            if key.startswith("submodule.")
            and key.endswith(".path")
            and f"{key.removesuffix('.path')}.url" in values
        }

    def close(self) -> None:
        self._git.clear_cache()

    @property
    def _upload_pack(self) -> list[str]:
        local = self._remote.scheme == "file"
        return [f"--upload-pack={_LOCAL_UPLOAD_PACK}"] if local else []

    def _exchange(self, *arguments: str, stdin: bytes = b"") -> bytes:
        try:
            return run(self._git, *arguments, stdin=stdin, timeout=self._limits.left)
        except GitTimeout as late:
            raise self._remote.silent(str(late)) from None
        except GitFailed as failed:
            if disk_full(str(failed)):
                raise DiskFull from None
            if str(self._folder) in str(failed):
                raise Broken(str(failed)) from failed
            # With protocol 2 git's server serves any object that it has. With older ones, git does
            # not even request an object that the server may not serve.
            raise fault(self._remote, str(failed), refusal_is_final=True) from None

    def _cached(self, *arguments: str, stdin: bytes = b"") -> bytes:
        try:
            return run(self._git, *arguments, stdin=stdin, timeout=self._limits.left)
        except (GitFailed, GitTimeout) as failed:
            raise Broken(str(failed)) from failed


def _text(word: str | bytes) -> str:
    """GitPython declares `str` but returns what the pipe returned."""
    return word if isinstance(word, str) else word.decode()


def _names(name: str, ref: str) -> bool:
    return ref.startswith(name) if name.endswith("/") else ref.removesuffix("^{}") == name
