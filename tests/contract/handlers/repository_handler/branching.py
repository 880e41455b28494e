"""A repository with a long history, for what is and what is not on a branch."""

from __future__ import annotations

from pathlib import Path

from tests.contract.handlers.repository_handler.origins import (
    Origin,
    bare,
    commit,
    commit_tree,
    git,
    point,
)

LENGTH = 700  # commits of `main` before its last ones: more than are fetched but at the last step
_BEGAN = 1_600_000_000


def branching(path: Path) -> Origin:
    """`main`, into which `side` was merged; `topic`, which was not, and its pull request's merge.

    A commit of `side` says that it is of the year 2096, as wrong clocks do. What is named like a
    branch and is none: a tag `main` on `topic`, a tag `release`, a ref `.../refs/heads/ghost`.
    """
    bare(path)
    history = "".join(
        f"commit refs/heads/main\nmark :{n}\ncommitter A <a@example.com> {_BEGAN + n} +0000\n"
        f"data 1\nx\nM 100644 inline file-{n % 7}\ndata <<END\n{n}\nEND\n\n"
        for n in range(1, LENGTH + 1)
    )
    git(path, "fast-import", "--quiet", stdin=history.encode())
    names = ("main", f"main~{LENGTH - 1}", "main~600", "main^{tree}")
    near, first, middle, tree = git(path, "rev-parse", *names).split()
    commits = {"near": near, "first": first, "middle": middle}
    commits["side"] = commit_tree(path, tree, middle, committed=4_000_000_000)
    commits["merged"] = commit(path, {"merged": b"1"}, commits["near"], commits["side"])
    commits["main"] = commit(path, {"last": b"1"}, commits["merged"])
    commits["topic"] = commit(path, {"topic": b"1"}, commits["merged"])
    commits["pull"] = commit(path, {"pull": b"1"}, commits["main"], commits["topic"])
    commits["dangling"] = commit(path, {"dangling": b"1"}, commits["main"])
    commits["other"] = commit(path, {"other": b"1"})
    for ref, name in (
        ("refs/heads/main", "main"),
        ("refs/heads/topic", "topic"),
        ("refs/heads/release/1.x", "near"),
        ("refs/heads/other", "other"),
        ("refs/pull/7/merge", "pull"),
        ("refs/tags/main", "topic"),
        ("refs/tags/release", "main"),
        ("refs/backup/refs/heads/ghost", "main"),
    ):
        point(path, ref, commits[name])
    commits["unknown"] = "1" * 40
    commits["tree"] = tree
    return Origin(path, commits)


def on_main(origin: Origin) -> dict[str, bool]:
    """Of each commit, whether it is on `main`."""
    there = {"first", "middle", "near", "side", "merged", "main"}
    return {name: name in there for name in origin.commits}
