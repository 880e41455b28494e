"""Uses dulwich, git in Python, on hosts without the git program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from dulwich.client import GitClient, LocalGitClient, SSHGitClient
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.object_store import peel_sha
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from urllib3.exceptions import HTTPError

from handlers.repository_handler.client import (
    NO_SPACE,
    Broken,
    DiskFull,
    Limits,
    Refused,
    Unspoken,
    git_only,
    of_host,
)
from handlers.repository_handler.dulwich_http import HttpClient
from handlers.repository_handler.dulwich_ssh import Ssh
from handlers.repository_handler.faults import fault
from handlers.repository_handler.object_sizes import size_of
from handlers.repository_handler.pack_watch import LARGEST_OBJECT, WatchedStore, too_large
from handlers.repository_handler.remote import Remote
from mlgate.orchestration.errors import OrchestrationError

_UNKNOWN = (OSError, HTTPError, GitProtocolError)  # no answer, or one that is not git's
_NUMBERS = {"tree": Tree.type_num, "blob": Blob.type_num}


class Dulwich:
    """Implements `Client`."""

    _kind = Repo

    def __init__(self, folder: Path, remote: Remote, limits: Limits) -> None:
        self._remote = remote
        self._limits = limits
        with reading():
            self._repo = self._kind(folder, object_store=WatchedStore(folder / "objects"))

    def list_refs(self, *names: str) -> Mapping[str, str]:
        prefixes = [Ref(name.encode()) for name in names]
        with self._exchange() as (client, path):
            listed = client.get_refs(path, ref_prefix=prefixes).refs
        return {
            ref.decode("utf-8", "replace"): sha.decode()
            for ref, sha in listed.items()
            if sha is not None
        }

    def fetch(self, shas: Sequence[str], depth: int) -> None:
        wants = [ObjectID(sha.encode()) for sha in shas]
        with self._exchange() as (client, path):
            # Only HEAD is listed, because the SHAs are known already.
            client.fetch(
                path, self._repo, lambda *_, **__: wants, depth=depth, ref_prefix=[Ref(b"HEAD")]
            )

    def commit_of(self, sha: str) -> str | None:
        try:
            with reading():
                peeled = peel_sha(self._repo.object_store, ObjectID(sha.encode()))[1]
        except Broken:
            return None
        return peeled.id.decode() if isinstance(peeled, Commit) else None

    def tree_of(self, commit: str) -> str:
        with reading():
            found = self._repo.object_store[ObjectID(commit.encode())]
            assert isinstance(found, Commit)
            return str(found.tree, "ascii")

    def read(self, sha: str, kind: str, most: int) -> bytes | None:
        with reading():
            if size_of(self._repo.object_store, sha) > most:
                return None
        return self._raw(sha, kind)

    def sizes(self, shas: Sequence[str]) -> Sequence[int]:
        with reading():
            return [size_of(self._repo.object_store, sha) for sha in shas]

    def write_blob(self, sha: str, sink: BinaryIO) -> None:
        with reading():
            size = size_of(self._repo.object_store, sha)
        if size > LARGEST_OBJECT:  # the git program may have fetched it into the cache
            raise too_large()
        sink.write(self._raw(sha, "blob"))

    def _raw(self, sha: str, kind: str) -> bytes:
        with reading():
            number, content = self._repo.object_store.get_raw(ObjectID(sha.encode()))
        if number != _NUMBERS[kind]:
            raise Broken(f"object {sha} is not a {kind}")
        return content

    def write_lfs(self, pointer: BinaryIO, sink: BinaryIO) -> None:  # noqa: ARG002 -- the protocol's
        raise git_only("repository.lfs")

    def submodules(self, commit: str) -> Mapping[str, str]:  # noqa: ARG002 -- the protocol's
        raise git_only("repository.submodules")

    def close(self) -> None:
        self._repo.close()

    @contextmanager
    def _exchange(self) -> Iterator[tuple[GitClient, bytes]]:
        """The remote; sorts the errors of the exchange and of dulwich's parser."""
        client: GitClient | None = None
        try:
            with _connected(self._remote, self._limits) as (client, path):
                yield client, path.encode()
        except (OrchestrationError, Refused, Unspoken):
            raise
        except NotGitRepository:
            raise self._remote.unavailable("there is no git repository") from None
        except FileNotFoundError as error:
            raise self._remote.failed(f"{error.filename} is not on this host") from None
        except Exception as error:
            if isinstance(error, KeyError) and self._remote.scheme == "file":
                raise Refused(final=True) from None  # the object does not exist
            lines = getattr(error, "stderr_lines", None) or []
            said = b"\n".join(lines).decode("utf-8", "replace") or str(error)
            # With protocol 2 git's server serves any object that it has.
            final = getattr(client, "protocol_version", None) == 2
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                raise DiskFull from None
            if of_host(error):
                raise
            sorted_fault = fault(self._remote, said, refusal_is_final=final)
            if isinstance(sorted_fault, Broken) and isinstance(error, _UNKNOWN):
                detail = said.strip() or type(error).__name__
                silent = self._remote.silent(detail)
                if isinstance(error, GitProtocolError):  # also raised if an answer ends early
                    raise Unspoken(self._remote.redact(detail), silent) from None
                raise silent from None
            raise sorted_fault from None


@contextmanager
def _connected(remote: Remote, limits: Limits) -> Iterator[tuple[GitClient, str]]:
    """dulwich's client for `remote`, and the path to call its methods with."""
    parts = urlsplit(remote.url)
    if remote.scheme == "file":
        yield LocalGitClient(), remote.url
    elif remote.scheme == "ssh":
        assert parts.hostname is not None
        ssh = Ssh(limits.left)
        try:
            yield (
                SSHGitClient(parts.hostname, parts.port, parts.username, vendor=ssh),
                unquote(parts.path),
            )
        finally:
            ssh.end()
    else:
        with closing(HttpClient(remote, limits)) as client:
            yield client, parts.path


@contextmanager
def reading() -> Iterator[None]:
    """Turn any error of reading into Broken: a damaged cache can raise anything."""
    try:
        yield
    except Exception as error:
        if of_host(error):
            raise
        raise Broken(f"{type(error).__name__}: {error}") from error
