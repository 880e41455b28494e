"""The git program, driven through GitPython.

fetch.fsckObjects stays off: it refuses old histories for blemishes that harm nobody (zero-padded
modes, missing dates); what would harm, hostile paths in a tree, the export refuses by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from git.cmd import Git

from handlers.repository_handler.client import Broken, DiskFull, Limits, TreeEntry
from handlers.repository_handler.faults import disk_full, fault
from handlers.repository_handler.lfs import smudge
from handlers.repository_handler.process import GitFailed, GitTimeout, environment, run
from handlers.repository_handler.remote import Remote

_CHUNK = 1 << 20  # bytes

# git clears its configuration on the way to the other repository's upload-pack. That one belongs
# to whom it belongs to, and may be asked for a commit that no ref names (`mlgate run --worktree`).
_LOCAL_UPLOAD_PACK = (
    "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true "
    "-c core.hooksPath=/dev/null upload-pack"
)


class GitProgram:
    """Implements `Client`; not for several threads at once."""

    def __init__(self, folder: Path, remote: Remote, home: Path, limits: Limits) -> None:
        self._remote = remote
        self._limits = limits
        self._folder = folder
        self._git = Git(folder)
        self._git.update_environment(**environment(folder, home, remote, limits))

    def list_refs(self, *names: str) -> Mapping[str, str]:
        # Patterns match the end of a ref's name, and `*` any number of its parts.
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
        self._exchange(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--update-shallow",
            f"--depth={depth}",
            "--stdin",
            *self._upload_pack,
            self._remote.url,
            stdin="\n".join(shas).encode() + b"\n",
        )

    def commit_of(self, sha: str) -> str | None:
        try:
            commit, _, _ = self._git.get_object_header(f"{sha}^{{commit}}")
        except ValueError:  # GitPython's word for "missing"
            return None
        except OSError as error:
            raise Broken(str(error)) from error
        return _text(commit)

    def tree(self, commit: str) -> Iterator[TreeEntry]:
        for line in self._cached("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
            if line:
                head, _, path = line.partition(b"\t")
                mode, _, sha = head.split(b" ")
                yield TreeEntry(path, int(mode, 8), sha.decode())

    def write_blob(self, sha: str, sink: BinaryIO) -> None:
        try:
            _, kind, size, stream = self._git.stream_object_data(sha)
            left = size
            while left and (chunk := stream.read(min(left, _CHUNK))):
                sink.write(chunk)
                left -= len(chunk)
            stream.read(0)
        except (ValueError, BrokenPipeError) as error:
            raise Broken(f"object {sha} cannot be read") from error
        if left or _text(kind) != "blob":
            raise Broken(f"object {sha} cannot be read")

    def write_lfs(self, pointer: BinaryIO, sink: BinaryIO) -> None:
        smudge(self._git, self._remote, pointer, sink, self._limits.left)

    def submodules(self, commit: str) -> Mapping[str, str]:
        try:
            listed = run(
                self._git,
                "config",
                "--blob",
                f"{commit}:.gitmodules",
                "--list",
                "-z",
                "--no-includes",
            )
        except GitFailed:  # no .gitmodules, or one that git cannot read
            return {}
        values = dict(item.split("\n", 1) for item in listed.decode().split("\0") if "\n" in item)
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
            # Since protocol 2 git's server hands out whatever it has; before, git asks first.
            raise fault(self._remote, str(failed), refusal_is_final=True) from None

    def _cached(self, *arguments: str) -> bytes:
        try:
            return run(self._git, *arguments, timeout=self._limits.left)
        except (GitFailed, GitTimeout) as failed:
            raise Broken(str(failed)) from failed


def _text(word: str | bytes) -> str:
    """GitPython says `str` and gives what the pipe gave."""
    return word if isinstance(word, str) else word.decode()


def _names(name: str, ref: str) -> bool:
    return ref.startswith(name) if name.endswith("/") else ref.removesuffix("^{}") == name
