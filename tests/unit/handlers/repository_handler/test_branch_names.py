"""Names of branches: as git itself has them."""

from __future__ import annotations

import itertools
import subprocess

from mlgate.orchestration.addresses.branches import is_branch_name

NAMES = (
    "main", "feature/x", "release/1.x", "a.b", "ünï", "a@b", "@/x", "+main", "a,b", "x{y", "héad",
    "", "-x", "--all", "a/-b", ".x", "a/.b", "x.lock", "a.lock/b", "a..b", "a b", "a\tb", "a\nb",
    "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a@{1}", "@", "HEAD", "/a", "a/", "a//b", "a.",
    "a/./b", "\x7f", "a.lockx", "lock", "x/HEAD",
)  # fmt: skip


def git_takes(name: str) -> bool:
    ended = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False)
    return ended.returncode == 0 and not name.startswith("-") and name not in ("HEAD", "@")


def test_what_git_refuses_is_refused_and_nothing_else() -> None:
    assert {name: is_branch_name(name) for name in NAMES} == {
        name: git_takes(name) for name in NAMES
    }
    letters = "a./@{*"
    for parts in itertools.product(letters, repeat=3):
        name = "".join(parts)
        assert is_branch_name(name) == git_takes(name), name


def test_what_no_process_can_be_asked_for_is_refused() -> None:
    assert not is_branch_name("a\0b")
    assert not is_branch_name("\ud800")
    assert is_branch_name("a" * 1000)
    assert not is_branch_name("a" * 1001)
