"""Repositories to fetch from. Objects and refs are written as git writes them, without a process
for each."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

from tests.servers.git_http import NEUTRAL

NOW = 1_700_000_000  # of each commit, unless a test says another time
IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "A"), ("EMAIL", "a@example.com"), ("DATE", f"@{NOW} +0000"))
}


@dataclass(frozen=True)
class Origin:
    """A bare repository; `commits` by the names that tests give them."""

    path: Path
    commits: dict[str, str]

    def copied(self, path: Path) -> Origin:
        """One more, to write to."""
        shutil.copytree(self.path, path)
        return Origin(path, dict(self.commits))


def git(folder: Path, *arguments: str, stdin: bytes = b"", **environment: str) -> str:
    return (
        subprocess.run(
            ["git", *arguments],
            cwd=folder,
            input=stdin,
            env={**NEUTRAL, **IDENTITY, "HOME": str(folder), **environment},
            capture_output=True,
            check=True,
            timeout=60,
        )
        .stdout.decode()
        .strip()
    )


Content = bytes | tuple[int, bytes]  # a tuple says the mode


def commit(repository: Path, files: dict[str, Content], *parents: str) -> str:
    """A commit of exactly these files, without a work tree, so that any path can be had."""
    return commit_tree(repository, write_tree(repository, files), *parents)


def commit_tree(repository: Path, tree: str, *parents: str, committed: int = NOW) -> str:
    by = "A <a@example.com>"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {by} {NOW} +0000", f"committer {by} {committed} +0000", "", "a commit\n"]
    return write_object(repository, b"commit", "\n".join(lines).encode())


def write_tree(repository: Path, files: dict[str, Content]) -> str:
    entries: dict[str, tuple[int, str]] = {}
    below: dict[str, dict[str, Content]] = {}
    for path, content in files.items():
        name, _, rest = path.partition("/")
        if rest:
            below.setdefault(name, {})[rest] = content
            continue
        mode, data = content if isinstance(content, tuple) else (0o100644, content)
        sha = data.decode() if mode == 0o160000 else write_blob(repository, data)
        entries[name] = mode, sha
    for name, inner in below.items():
        entries[name] = 0o40000, write_tree(repository, inner)
    return raw_tree(
        repository, [(mode, name.encode(), sha) for name, (mode, sha) in entries.items()]
    )


def raw_tree(repository: Path, entries: list[tuple[int, bytes, str]]) -> str:
    """A tree object with any names at all, which `git mktree` would refuse."""
    ordered = sorted(entries, key=lambda entry: entry[1] + b"/" * (entry[0] == 0o40000))
    data = b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(sha) for mode, name, sha in ordered)
    return write_object(repository, b"tree", data)


def write_blob(repository: Path, data: bytes) -> str:
    return write_object(repository, b"blob", data)


def write_object(repository: Path, kind: bytes, data: bytes) -> str:
    """A loose object of any content at all. Format: gitrepository-layout(5), `objects/[0-9a-f]`."""
    data = b"%s %d\0%s" % (kind, len(data), data)
    sha = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    file = repository / "objects" / sha[:2] / sha[2:]
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(data, 1))
    return sha


def point(repository: Path, ref: str, sha: str) -> None:
    """Have the ref, whose whole name it is, name that object."""
    file = repository / ref
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{sha}\n")


def link(target: str) -> Content:
    return 0o120000, target.encode()


def bare(path: Path) -> Path:
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--bare", "--initial-branch=main", "--template=")
    return path


# What a checkout would change, and an export must not.
TREE: dict[str, Content] = {
    ".gitattributes": b"*.txt text eol=crlf\nsecret.md export-ignore\nversion export-subst\n",
    "data/numbers.bin": bytes(range(256)) * 300,
    "notebooks/a b.ipynb": b"{}",
    "notebooks/ä.txt": b"one\ntwo\r\n",
    "project/train.py": b"print(1)\n",
    "project/common": link("../shared"),
    "run.sh": (0o100755, b"#!/bin/sh\n"),
    "secret.md": b"export-ignore hides nothing from us\n",
    "shared/lib.py": b"X = 1\n",
    "version": b"$Format:%H$\n",
}


def demo(path: Path) -> Origin:
    """`main` with two old commits, `dev`, both kinds of tags, a merge ref and a lost commit."""
    bare(path)
    commits = {"first": commit(path, {"old.txt": b"1"})}
    commits["second"] = commit(path, {"old.txt": b"2"}, commits["first"])
    commits["main"] = commit(path, TREE, commits["second"])
    commits["dev"] = commit(path, {**TREE, "dev.txt": b"dev"}, commits["main"])
    commits["merge"] = commit(path, {"merged.txt": b"7"}, commits["main"])
    commits["dangling"] = commit(path, {"dangling.txt": b"?"}, commits["main"])
    for ref, name in (
        ("refs/heads/main", "main"),
        ("refs/heads/dev", "dev"),
        ("refs/heads/feature/x", "dev"),
        ("refs/tags/light", "second"),
        ("refs/pull/7/merge", "merge"),
    ):
        point(path, ref, commits[name])
    git(path, "tag", "-a", "v1", "-m", "one", commits["second"])
    return Origin(path, commits)


def expected(files: dict[str, Content]) -> dict[str, tuple[bool, bytes]]:
    """What a checkout of regular files must hold: executable or not, and content."""
    plain = {path: (0o100644, c) if isinstance(c, bytes) else c for path, c in files.items()}
    return {
        path: (mode == 0o100755, data) for path, (mode, data) in plain.items() if mode != 0o120000
    }


def on_disk(folder: Path) -> dict[str, tuple[bool, bytes]]:
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            assert not file.is_symlink()
            key = file.relative_to(folder).as_posix()
            found[key] = bool(file.stat().st_mode & 0o111), file.read_bytes()
    return found
