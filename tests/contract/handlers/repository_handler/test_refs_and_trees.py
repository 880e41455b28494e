"""Every transport and both implementations give the same commit and the same tree."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest

from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent
from tests.contract.handlers.repository_handler.conftest import MakeHandler, Place
from tests.contract.handlers.repository_handler.origins import TREE, Origin, expected, git, on_disk

LINKED = {"project/common/lib.py": (False, b"X = 1\n")}


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        (None, "main"),
        ("HEAD", "main"),
        ("dev", "dev"),
        ("feature/x", "dev"),
        ("refs/heads/dev", "dev"),
        ("light", "second"),
        ("v1", "second"),
        ("refs/tags/v1", "second"),
        ("refs/pull/7/merge", "merge"),
    ],
)
def test_a_ref_gives_its_commit(place: Place, origin: Origin, ref: str | None, name: str) -> None:
    with place.handler.checkout(RepositoryRequest(place.url, ref)) as checkout:
        assert checkout.commit == origin.commits[name]


@pytest.mark.parametrize("name", ["main", "first", "dangling"])
def test_a_sha_gives_that_commit_even_when_no_ref_names_it(
    place: Place, origin: Origin, name: str
) -> None:
    sha = origin.commits[name]
    if name == "dangling" and not place.any_commit:
        with pytest.raises(Permanent, match=f"ref '{sha}' is not in"):
            place.handler.checkout(RepositoryRequest(place.url, sha)).__enter__()
        return
    with place.handler.checkout(RepositoryRequest(place.url, sha.upper())) as checkout:
        assert checkout.commit == sha
        assert len(checkout.files()) == {"main": 10, "first": 1, "dangling": 1}[name]


def test_commits_are_had_one_after_the_other_beside_those_that_are_cached(
    place: Place, origin: Origin
) -> None:
    """Which the server is told of, so that it leaves out what is here."""
    for name in ("second", "dev", "first", "main"):
        request = RepositoryRequest(place.url, origin.commits[name])
        with place.handler.checkout(request) as checkout:
            assert checkout.commit == origin.commits[name]
            assert len(checkout.files()) == {"main": 10, "dev": 11}.get(name, 1)


def test_the_tree_is_the_commit_byte_for_byte_without_git(place: Place) -> None:
    with place.handler.checkout(RepositoryRequest(place.url)) as checkout:
        assert on_disk(checkout.folder) == expected(TREE) | LINKED
        assert list(checkout.files()) == sorted(expected(TREE) | LINKED)
        assert not [line for line in checkout.warnings if "through its REST API" not in line]
        assert checkout.read("version") == b"$Format:%H$\n"
        with pytest.raises(KeyError):
            checkout.read("../demo.git/HEAD")


def test_the_tree_is_gone_after_the_checkout(place: Place) -> None:
    with place.handler.checkout(RepositoryRequest(place.url)) as checkout:
        assert checkout.folder.is_dir()
    assert not checkout.folder.exists()


def test_only_the_subdirectory_is_exported_and_its_links_into_the_tree_are_copied(
    place: Place,
) -> None:
    request = RepositoryRequest(place.url, subdirectory="./project/")
    with place.handler.checkout(request) as checkout:
        assert on_disk(checkout.folder) == {
            "train.py": (False, b"print(1)\n"),
            "common/lib.py": (False, b"X = 1\n"),
        }


@pytest.mark.parametrize("subdirectory", ["nowhere", "run.sh", "..", "/etc", "project/../.."])
def test_a_subdirectory_that_is_not_there_is_told(place: Place, subdirectory: str) -> None:
    request = RepositoryRequest(place.url, subdirectory=subdirectory)
    with pytest.raises(Permanent, match=r"The folder .* is not in .*repository\.subdirectory"):
        place.handler.checkout(request).__enter__()


@pytest.mark.parametrize("ref", ["nope", "refs/heads/nope", "abc1234", "0" * 39 + "1"])
def test_a_ref_that_is_not_there_is_told_with_the_branches(place: Place, ref: str) -> None:
    with pytest.raises(Permanent, match=rf"ref '{ref}' is not in .*dev, feature/x, main"):
        place.handler.checkout(RepositoryRequest(place.url, ref)).__enter__()


@pytest.mark.parametrize("ref", [None, "HEAD"])
def test_a_default_branch_that_is_not_there_is_told_with_the_branches(
    place: Place, origin: Origin, ref: str | None
) -> None:
    path = origin.path.with_name(f"headless-{uuid.uuid4().hex}.git")
    shutil.copytree(origin.path, path)
    git(path, "symbolic-ref", "HEAD", "refs/heads/gone")
    request = RepositoryRequest(f"{place.url.rpartition('/')[0]}/{path.name}", ref)
    with pytest.raises(
        Permanent,
        match=r"The default branch of .*\(branches: dev, feature/x, main\): set `rep.*ref`",
    ):
        place.handler.checkout(request).__enter__()


@pytest.mark.parametrize("ref", ["--upload-pack=x", "a b", "x\n", "a..b", "*", ""])
def test_what_cannot_be_a_ref_is_refused(place: Place, ref: str) -> None:
    with pytest.raises(Permanent, match="is not a valid name in git"):
        place.handler.checkout(RepositoryRequest(place.url, ref)).__enter__()


def test_a_clone_on_this_machine_is_read_even_when_it_is_shallow(
    make_handler: MakeHandler, origin: Origin, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin.path}", str(clone))
    with make_handler(allowed=[str(tmp_path)]).checkout(RepositoryRequest(str(clone))) as checkout:
        assert checkout.commit == origin.commits["main"]
        assert len(checkout.files()) == 10


def test_a_repository_that_is_not_there_is_told(place: Place) -> None:
    url = place.url.replace("demo", "nowhere")
    with pytest.raises(Permanent, match=f"{url} was not found or access was refused"):
        place.handler.checkout(RepositoryRequest(url)).__enter__()
