"""What needs the git program: submodules and LFS; without it, a clear word."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.repository_handler import GitCredential, RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Permanent
from tests.contract.handlers.repository_handler.conftest import TOKEN
from tests.contract.handlers.repository_handler.origins import (
    Content,
    bare,
    commit,
    link,
    on_disk,
    point,
)
from tests.servers.git_http import GitHttpServer, git_http_server

CONTENT = b"weights" * 1000
OID = hashlib.sha256(CONTENT).hexdigest()
POINTER = (
    f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(CONTENT)}\n".encode()
)


def publish(path: Path, files: dict[str, Content]) -> str:
    sha = commit(path if path.exists() else bare(path), files)
    point(path, "refs/heads/main", sha)
    return sha


def modules(**urls: str) -> bytes:
    return "".join(
        f'[submodule "{name}"]\n\tpath = libs/{name}\n\turl = {url}\n' for name, url in urls.items()
    ).encode()


def sub(sha: str) -> Content:
    return 0o160000, sha.encode()


@pytest.fixture
def origins(tmp_path: Path) -> Path:
    return tmp_path / "origins"


@pytest.fixture
def forge(origins: Path) -> Iterator[GitHttpServer]:
    origins.mkdir()
    with git_http_server(origins) as server:
        yield server


def handler(tmp_path: Path, *allowed: str, use_git: bool = True) -> RepositoryHandler:
    credentials = [GitCredential(prefix, SecretStr(TOKEN)) for prefix in allowed]
    return RepositoryHandler(
        home=tmp_path / "home", allowed=allowed, credentials=credentials, use_git=use_git
    )


def test_submodules_are_part_of_the_tree(
    forge: GitHttpServer, origins: Path, tmp_path: Path
) -> None:
    forge.token = TOKEN
    inner = publish(origins / "inner.git", {"deep.py": b"deep"})
    middle = publish(
        origins / "group" / "middle.git",
        {".gitmodules": modules(inner="../../inner.git"), "libs/inner": sub(inner), "m.py": b"m"},
    )
    # Itself at an older commit: one repository, locked once.
    older = publish(origins / "outer.git", {"older.py": b"old"})
    publish(
        origins / "outer.git",
        {
            ".gitmodules": modules(middle="../group/middle.git", self="./"),
            "libs/middle": sub(middle),
            "libs/self": sub(older),
            "link": link("libs/middle/libs/inner/deep.py"),
        },
    )
    request = RepositoryRequest(f"{forge.url}/outer.git", submodules=True)
    with handler(tmp_path, forge.url).checkout(request) as checkout:
        tree = on_disk(checkout.folder)
        assert {path: content for path, (_, content) in tree.items() if ".git" not in path} == {
            "libs/middle/m.py": b"m",
            "libs/middle/libs/inner/deep.py": b"deep",
            "libs/self/older.py": b"old",
            "link": b"deep",
        }
        assert checkout.warnings == ()


@pytest.mark.parametrize(
    "url", ["https://example.com/x.git", "../../../etc", "/etc", "ext::touch x", "--upload-pack=x"]
)
def test_a_submodule_that_is_not_allowed_is_refused(
    forge: GitHttpServer, origins: Path, tmp_path: Path, url: str
) -> None:
    files = {".gitmodules": modules(evil=url), "libs/evil": sub("1" * 40)}
    publish(origins / "group" / "outer.git", files)
    base = f"{forge.url}/group"
    request = RepositoryRequest(f"{base}/outer.git", submodules=True)
    with pytest.raises(Permanent, match=r"MLGATE_ALLOWED_REPOSITORIES|cannot be cloned"):
        handler(tmp_path, base).checkout(request).__enter__()


def test_a_submodule_without_a_url_is_told(
    forge: GitHttpServer, origins: Path, tmp_path: Path
) -> None:
    publish(origins / "outer.git", {"libs/lost": sub("1" * 40)})
    request = RepositoryRequest(f"{forge.url}/outer.git", submodules=True)
    with pytest.raises(Permanent, match=r"libs/lost .* has no URL in \.gitmodules"):
        handler(tmp_path, forge.url).checkout(request).__enter__()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'# caf\xe9\n[submodule "i"]\n\tpath = lib\n\turl = ../inner.git\n', None),
        (b'[submodule "caf\xe9"]\n\tpath = lib\n\turl = ../inner.git\n', None),
        (b'[submodule "o"]\n\tpath = \xe8\n\turl = \xe9\n[submodule "i"]\n\tpath = lib\n'
         b"\turl = ../inner.git\n", None),
        (b'[submodule "i"]\n\tpath = lib\n\turl = ../inner\xe9.git\n', "is not UTF-8"),
        (b'[submodule "i"]\n\tpath = lib\n\turl = /srv/\xe9\n', "is not UTF-8"),
        (b'[submodule "i"]\n\tpath = lib\xe9\n\turl = ../inner.git\n', "has no URL in"),
        (b'[submodule "i"\n\tpath = lib\n', "cannot be read"),
        (b"\x00\x01\x02", "cannot be read"),
        (b"# much\n" * 200_000, "has more than 1 MiB"),
    ],
)  # fmt: skip
def test_what_gitmodules_may_hold(
    forge: GitHttpServer, origins: Path, tmp_path: Path, content: bytes, said: str | None
) -> None:
    inner = publish(origins / "inner.git", {"deep.py": b"deep"})
    publish(origins / "outer.git", {".gitmodules": content, "lib": sub(inner)})
    request = RepositoryRequest(f"{forge.url}/outer.git", submodules=True)
    if said is None:
        with handler(tmp_path, forge.url).checkout(request) as checkout:
            assert checkout.read("lib/deep.py") == b"deep"
        return
    with pytest.raises(Permanent, match=said) as told:
        handler(tmp_path, forge.url).checkout(request).__enter__()
    assert ".gitmodules" in str(told.value)


@pytest.mark.parametrize("field", ["submodules", "lfs"])
def test_without_git_they_are_refused_before_any_traffic(
    forge: GitHttpServer, tmp_path: Path, field: str
) -> None:
    request = RepositoryRequest(
        f"{forge.url}/outer.git", submodules=field == "submodules", lfs=field == "lfs"
    )
    with pytest.raises(Permanent, match=f"repository.{field}` needs the git program"):
        handler(tmp_path, forge.url, use_git=False).checkout(request).__enter__()
    assert forge.requests == []


def test_lfs_without_its_program_is_told(
    origins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"  # git alone, however this machine is equipped
    tools.mkdir()
    for name in ("git", "sh"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    publish(origins / "lfs.git", {"model.bin": POINTER})
    monkeypatch.setenv("PATH", str(tools))
    request = RepositoryRequest(str(origins / "lfs.git"), lfs=True)
    with pytest.raises(Permanent, match="needs the git-lfs program"):
        handler(tmp_path, str(origins)).checkout(request).__enter__()


@pytest.fixture
def git_lfs() -> None:
    if shutil.which("git-lfs") is None:
        assert "CI" not in os.environ, "the LFS tests need git-lfs"
        pytest.skip("needs git-lfs")


@pytest.mark.usefixtures("git_lfs")
@pytest.mark.parametrize("name", ["lfs", "lfs.git"])
def test_lfs_files_have_their_content(
    forge: GitHttpServer, origins: Path, tmp_path: Path, name: str
) -> None:
    publish(origins / name, {"model.bin": (0o100755, POINTER), "other": b"x"})
    forge.token = TOKEN
    forge.lfs_objects[OID] = CONTENT
    request = RepositoryRequest(f"{forge.url}/{name}", lfs=True)
    with handler(tmp_path, forge.url).checkout(request) as checkout:
        assert on_disk(checkout.folder) == {"model.bin": (True, CONTENT), "other": (False, b"x")}
        assert checkout.warnings == ()


@pytest.mark.usefixtures("git_lfs")
@pytest.mark.parametrize("stored", [None, b"not what the pointer says"])
def test_an_lfs_file_that_cannot_be_had_is_told(
    forge: GitHttpServer, origins: Path, tmp_path: Path, stored: bytes | None
) -> None:
    publish(origins / "lfs.git", {"model.bin": POINTER})
    if stored:
        forge.lfs_objects[OID] = stored
    request = RepositoryRequest(f"{forge.url}/lfs.git", lfs=True)
    with pytest.raises(Permanent, match="An LFS file of"):
        handler(tmp_path, forge.url).checkout(request).__enter__()
