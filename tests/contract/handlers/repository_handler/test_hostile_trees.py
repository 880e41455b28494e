"""Repositories that want more than to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent
from tests.contract.handlers.repository_handler.conftest import MakeHandler
from tests.contract.handlers.repository_handler.origins import (
    Content,
    bare,
    commit,
    commit_tree,
    git,
    link,
    on_disk,
    point,
    raw_tree,
    write_blob,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 3\n" % (b"a" * 64)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare(tmp_path / "hostile.git")


def publish(repository: Path, files: dict[str, Content]) -> RepositoryRequest:
    point(repository, "refs/heads/main", commit(repository, files))
    return RepositoryRequest(str(repository))


def test_links_inside_are_copies_and_all_others_are_left_out(
    repository: Path, make_handler: MakeHandler
) -> None:
    request = publish(
        repository,
        {
            "real/file": (0o100755, b"x"),
            "real/deep/inner": b"y",
            "to-file": link("real/file"),
            "to-folder": link("./real/"),
            "real/deep/up-and-down": link("../../to-file"),
            "chain": link("to-folder/deep/inner"),
            "absolute": link("/proc/self/environ"),
            "out": link("../../../etc/passwd"),
            "dangling": link("nowhere"),
            "itself": link("itself"),
            "ping": link("pong"),
            "pong": link("ping"),
            "real/loop": link(".."),
            "here": link("."),
            "odd": link(""),
        },
    )
    with make_handler(allowed=[str(repository)]).checkout(request) as checkout:
        inside = {
            "file": (True, b"x"),
            "deep/inner": (False, b"y"),
            "deep/up-and-down": (True, b"x"),
        }
        assert on_disk(checkout.folder) == {
            **{f"real/{path}": content for path, content in inside.items()},
            **{f"to-folder/{path}": content for path, content in inside.items()},
            "to-file": (True, b"x"),
            "chain": (False, b"y"),
        }
        assert len(checkout.warnings) == 1
        assert "absolute, dangling" in checkout.warnings[0]


@pytest.mark.parametrize(
    "name", [b"..", b".", b".git", b".GIT", b".gIt", b"../../evil", b"/tmp/evil", b"a//b"]
)
@pytest.mark.parametrize("below", [False, True])
def test_a_path_git_would_not_check_out_is_refused(
    repository: Path, make_handler: MakeHandler, name: bytes, below: bool
) -> None:
    tree = raw_tree(repository, [(0o100644, name, write_blob(repository, b"evil"))])
    if below:
        tree = raw_tree(repository, [(0o40000, b"folder", tree)])
    request = RepositoryRequest(str(repository), commit_tree(repository, tree))
    with pytest.raises(Permanent, match="git itself would not check out"):
        make_handler(allowed=[str(repository)]).checkout(request).__enter__()


def test_a_link_that_is_a_folder_too_is_refused(
    repository: Path, make_handler: MakeHandler, tmp_path: Path
) -> None:
    blob = write_blob(repository, b"evil")
    inner = raw_tree(repository, [(0o100644, b"file", blob)])
    target = write_blob(repository, str(tmp_path).encode())
    tree = raw_tree(repository, [(0o120000, b"a", target), (0o40000, b"a", inner)])
    request = RepositoryRequest(str(repository), commit_tree(repository, tree))
    with pytest.raises(Permanent, match="git itself would not check out"):
        make_handler(allowed=[str(repository)]).checkout(request).__enter__()
    assert not (tmp_path / "file").exists()


def test_a_tree_deeper_than_any_project_is_refused(
    repository: Path, make_handler: MakeHandler
) -> None:
    tree = raw_tree(repository, [(0o100644, b"f", write_blob(repository, b"x"))])
    for _ in range(300):
        tree = raw_tree(repository, [(0o40000, b"d", tree)])
    request = RepositoryRequest(str(repository), commit_tree(repository, tree))
    with pytest.raises(Permanent, match="deep"):
        make_handler(allowed=[str(repository)]).checkout(request).__enter__()


def test_names_that_are_not_utf_8_are_left_out(repository: Path, make_handler: MakeHandler) -> None:
    blob = write_blob(repository, b"x")
    tree = raw_tree(repository, [(0o100644, b"caf\xe9", blob), (0o100644, b"ok", blob)])
    request = RepositoryRequest(str(repository), commit_tree(repository, tree))
    with make_handler(allowed=[str(repository)]).checkout(request) as checkout:
        assert checkout.files() == ("ok",)
        assert "not UTF-8" in checkout.warnings[0]


def test_nothing_of_the_repository_is_executed(
    repository: Path, make_handler: MakeHandler, tmp_path: Path
) -> None:
    proof = tmp_path / "executed"
    evil = f"touch {proof}"
    request = publish(
        repository,
        {
            ".gitattributes": b"* filter=evil diff=evil merge=evil\n",
            ".gitconfig": f'[filter "evil"]\n\tsmudge = {evil}\n'.encode(),
            ".lfsconfig": b"[lfs]\n\turl = http://127.0.0.1:1/\n",
            "file": b"x",
        },
    )
    for key in (
        "filter.evil.smudge",
        "filter.evil.clean",
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
        "credential.helper",
    ):
        git(repository, "config", key, evil)
    for hook in ("post-checkout", "post-update", "reference-transaction", "pre-receive"):
        script = repository / "hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{evil}\n")
        script.chmod(0o755)
    with make_handler(allowed=[str(repository)]).checkout(request) as checkout:
        assert checkout.read("file") == b"x"
    assert not proof.exists()


def test_a_repository_of_another_owner_is_read_when_it_is_allowed(
    repository: Path, make_handler: MakeHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = publish(repository, {"file": b"x"})
    # git's own switch for its tests: as if somebody else owned every repository.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with make_handler(allowed=[str(repository)]).checkout(request) as checkout:
        assert checkout.files() == ("file",)


def test_lfs_pointers_stay_and_are_named(repository: Path, make_handler: MakeHandler) -> None:
    request = publish(repository, {"big.bin": POINTER, "small.bin": b"version 2\n"})
    with make_handler(allowed=[str(repository)]).checkout(request) as checkout:
        assert checkout.read("big.bin") == POINTER
        assert checkout.warnings == (
            "LFS pointers were written instead of their content: set `repository.lfs` "
            "(1: big.bin).",
        )


def test_submodules_are_left_out_and_named(repository: Path, make_handler: MakeHandler) -> None:
    request = publish(repository, {"lib/sub": (0o160000, b"1" * 40), "file": b"x"})
    with make_handler(allowed=[str(repository)]).checkout(request) as checkout:
        assert checkout.files() == ("file",)
        assert checkout.warnings == (
            "Submodules were left out: set `repository.submodules` (1: lib/sub).",
        )


def test_an_empty_repository_is_told(repository: Path, make_handler: MakeHandler) -> None:
    with pytest.raises(Permanent, match="is empty"):
        make_handler(allowed=[str(repository)]).checkout(
            RepositoryRequest(str(repository))
        ).__enter__()


def test_an_empty_commit_is_an_empty_tree(repository: Path, make_handler: MakeHandler) -> None:
    request = publish(repository, {})
    with make_handler(allowed=[str(repository)]).checkout(request) as checkout:
        assert checkout.files() == ()
        assert checkout.folder.is_dir()
