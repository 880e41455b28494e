"""The work tree as a commit: everything that git would add, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers.repository_handler import RepositoryHandler, commit_worktree, uncommitted_changes
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent
from tests.contract.handlers.repository_handler.origins import git


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ".gitignore").write_text("ignored*\n")
    (folder / "kept.py").write_text("1")
    (folder / "gone.py").write_text("1")
    (folder / "ignored-but-tracked").write_text("1")
    git(folder, "add", "--all", ".")
    git(folder, "add", "--force", "ignored-but-tracked")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def change(work: Path) -> None:
    (work / "kept.py").write_text("2")
    (work / "gone.py").unlink()
    (work / "new").mkdir()
    (work / "new" / "file.py").write_text("new")
    (work / "ignored").write_text("secret")
    (work / "ignored-but-tracked").write_text("2")
    (work / "kept.py").chmod(0o755)


def state(work: Path) -> dict[str, bytes]:
    """Every file of the work tree and of `.git`, but for its objects."""
    return {
        path.relative_to(work).as_posix(): path.read_bytes()
        for path in work.rglob("*")
        if path.is_file() and ".git/objects" not in path.as_posix()
    }


@pytest.mark.parametrize("use_git", [True, False])
def test_a_checkout_of_it_holds_the_files_as_they_are(
    work: Path, tmp_path: Path, use_git: bool
) -> None:
    change(work)
    handler = RepositoryHandler(home=tmp_path / "home", allowed=[str(work)], use_git=use_git)
    request = RepositoryRequest(str(work), commit_worktree(work))
    with handler.checkout(request) as checkout:
        assert {path: checkout.read(path) for path in checkout.files()} == {
            ".gitignore": b"ignored*\n",
            "ignored-but-tracked": b"2",
            "kept.py": b"2",
            "new/file.py": b"new",
        }
        assert (checkout.folder / "kept.py").stat().st_mode & 0o111


def test_nothing_but_objects_is_written(work: Path) -> None:
    change(work)
    git(work, "add", "new")  # staged, and still so afterwards
    before = state(work)
    commit_worktree(work)
    uncommitted_changes(work)
    assert state(work) == before


def test_the_same_files_are_the_same_commit_from_wherever_it_is_asked(work: Path) -> None:
    change(work)
    first = commit_worktree(work)
    assert commit_worktree(work / "new") == first
    assert git(work, "rev-parse", f"{first}^") == git(work, "rev-parse", "HEAD")
    (work / "kept.py").write_text("3")
    assert commit_worktree(work) != first


def test_a_repository_without_commits_has_a_work_tree_too(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("x")
    assert git(tmp_path, "ls-tree", "--name-only", commit_worktree(tmp_path)) == "file"


def test_a_linked_work_tree_is_its_own(work: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(work, "worktree", "add", "--quiet", "-b", "other", str(linked))
    (linked / "there.py").write_text("x")
    assert uncommitted_changes(linked)
    assert not uncommitted_changes(work)
    assert "there.py" in git(work, "ls-tree", "--name-only", commit_worktree(linked))


def test_hooks_do_not_run(work: Path, tmp_path: Path) -> None:
    for hook in ("post-index-change", "pre-commit", "post-commit", "reference-transaction"):
        script = work / ".git" / "hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
        script.chmod(0o755)
    change(work)
    commit_worktree(work)
    assert not (tmp_path / "executed").exists()


def test_a_hook_that_calls_us_does_not_mislead_us(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    expected = commit_worktree(work)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.chdir(other)
    assert commit_worktree(work) == expected
    handler = RepositoryHandler(home=tmp_path / "home", allowed=[str(work)], use_git=True)
    with handler.checkout(RepositoryRequest(str(work), "main")) as checkout:
        assert "kept.py" in checkout.files()


@pytest.mark.parametrize("kind", ["clean", "changed", "deleted", "untracked", "staged", "ignored"])
def test_uncommitted_changes(work: Path, kind: str) -> None:
    if kind == "changed":
        (work / "kept.py").write_text("2")
    elif kind == "deleted":
        (work / "gone.py").unlink()
    elif kind in ("untracked", "staged"):
        (work / "new.py").write_text("2")
        if kind == "staged":
            git(work, "add", "new.py")
    elif kind == "ignored":
        (work / "ignored").write_text("2")
    assert uncommitted_changes(work) == (kind not in ("clean", "ignored"))


def test_a_folder_outside_of_any_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="is not in a git repository"):
        commit_worktree(tmp_path)
    with pytest.raises(Permanent, match="is not in a git repository"):
        uncommitted_changes(tmp_path / "nowhere")


def test_a_bare_repository_is_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare")
    with pytest.raises(Permanent, match="is a bare repository"):
        commit_worktree(tmp_path)
