"""The repository port: allow-list, cache, fetch and export put together."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from handlers.repository_handler.cache import Cache, Entry
from handlers.repository_handler.client import NO_SPACE, Broken, Client, DiskFull, Limits
from handlers.repository_handler.credentials import GitCredential
from handlers.repository_handler.export import Exporter, list_tree, warning
from handlers.repository_handler.fetching import fetch_commit
from handlers.repository_handler.git_dulwich import Dulwich, git_only
from handlers.repository_handler.locks import locked
from handlers.repository_handler.remote import Remote, Remotes
from handlers.repository_handler.submodules import add_submodules
from mlgate.orchestration.errors import Permanent, Temporary

if TYPE_CHECKING:
    from mlgate.orchestration.builds import RepositoryRequest

_GIB = 1 << 30
_PATIENCE = 60  # seconds to wait for another checkout of the same repository


@dataclass(frozen=True, slots=True)
class FolderCheckout:
    """Implements `Checkout`: what was exported, and from which commit."""

    commit: str
    folder: Path
    warnings: tuple[str, ...]
    exported: tuple[str, ...]

    def files(self) -> Sequence[str]:
        return self.exported

    def read(self, path: str) -> bytes:
        if path not in self.exported:
            raise KeyError(path)
        return (self.folder / path).read_bytes()


class RepositoryHandler:
    """Implements `RepositoryPort`; may be used from several threads and processes at once.

    `home` holds the cache (`repositories/`, at most `cache_bytes` between checkouts) and the
    trees of checkouts that go on (`checkouts/`). `host_identity` gives an Entra token for Azure
    Repos, or raises one of our errors. `use_git` None: whether the git program is there.
    `timeout` is for a whole checkout, and one that needs longer is `Permanent`; `stall` is for a
    server's silence. Both are in seconds.
    """

    def __init__(
        self,
        *,
        home: Path,
        allowed: Sequence[str],
        credentials: Sequence[GitCredential] = (),
        host_identity: Callable[[], SecretStr] | None = None,
        use_git: bool | None = None,
        cache_bytes: int = 5 * _GIB,
        timeout: float = 1200,
        stall: float = 60,
    ) -> None:
        self._home = home.absolute()
        self._remotes = Remotes(allowed, credentials, host_identity)
        self._use_git = shutil.which("git") is not None if use_git is None else use_git
        self._cache = Cache(
            self._home / "repositories", cache_bytes, patience=min(timeout, _PATIENCE)
        )
        self._timeout, self._stall = timeout, stall

    @contextmanager
    def checkout(
        self,
        request: RepositoryRequest,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> Iterator[FolderCheckout]:
        for field in ("lfs", "submodules"):
            if getattr(request, field) and not self._use_git:
                raise git_only(f"repository.{field}")

        def remote_at(url: str) -> Remote:
            return self._remotes.open(url, collection, token)

        remote = remote_at(request.url)
        limits = Limits(time.monotonic() + self._timeout, self._stall)
        with self._scratch() as folder:
            try:
                checkout = self._prepare(remote, request, folder, remote_at, limits)
            except Temporary as error:
                if not limits.over:
                    raise
                raise Permanent(
                    f"The repository {remote.url} was not here after {self._timeout / 60:.0f} "
                    "minutes, the most that a checkout may take: keep large files out of it, or "
                    "name a smaller one."
                ) from error
            except DiskFull:
                raise Temporary(
                    "There is no space left on this host for the checkout: free some.", 60
                ) from None
            except OSError as error:
                raise Permanent(
                    f"The checkout cannot be written on this host: {error.strerror}."
                ) from error
            finally:
                self._cache.prune()
            yield checkout

    def _prepare(
        self,
        remote: Remote,
        request: RepositoryRequest,
        folder: Path,
        remote_at: Callable[[str], Remote],
        limits: Limits,
    ) -> FolderCheckout:
        full = False
        for again in (False, True):
            with _Session(self._cache, partial(self._client, limits)) as session:
                try:
                    with _disk_watched():
                        return self._export(session, remote, request, folder, remote_at)
                except DiskFull:
                    # What came of it is of no use, and holds the space that others need.
                    session.clear()
                    if again:
                        raise
                    full = True
                except Broken as broken:
                    # A damaged cache is mended by doing without it, once.
                    stale = session.clear()
                    if again or not stale:
                        raise remote.failed(str(broken)) from None
            shutil.rmtree(folder)
            if full:
                self._cache.clear()
            folder.mkdir()
        raise AssertionError("the second round returns or raises")

    def _export(
        self,
        session: _Session,
        remote: Remote,
        request: RepositoryRequest,
        folder: Path,
        remote_at: Callable[[str], Remote],
    ) -> FolderCheckout:
        client, commit = session.fetch(remote, request.ref)
        listing = list_tree(client, commit)

        def submodule(url: str, wanted: str) -> tuple[Client, Remote]:
            inner = remote_at(url)
            return session.fetch(inner, wanted)[0], inner

        if request.submodules:
            add_submodules(listing, client, commit, remote, submodule)
        exporter = Exporter(listing.root, request.lfs)
        tree = folder / "tree"
        if not exporter.write(request.subdirectory, tree):
            raise Permanent(
                f"The folder '{request.subdirectory}' is not in {remote.url} at {commit[:12]}: "
                "correct `repository.subdirectory`."
            )
        warnings = exporter.warnings()
        if listing.submodules:
            paths = ["/".join(parts) for parts in listing.submodules]
            warnings.append(warning("Submodules were left out: set `repository.submodules`", paths))
        if listing.unreadable:
            warnings.append(
                warning("Files whose names are not UTF-8 were left out", listing.unreadable)
            )
        return FolderCheckout(commit, tree, tuple(warnings), tuple(exporter.files))

    def _client(self, limits: Limits, folder: Path, remote: Remote) -> Client:
        if not self._use_git:
            return Dulwich(folder, remote, limits)
        # GitPython cannot be imported where there is no git.
        from handlers.repository_handler.git_program import GitProgram  # noqa: PLC0415 -- GitPython fails to import without git

        return GitProgram(folder, remote, self._home / "git", limits)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder for one checkout; those of processes that died are removed on the way."""
        scratch = self._home / "checkouts"
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        for lock in scratch.glob("*.lock"):
            with locked(lock) as abandoned:
                if abandoned:
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink()
        folder = scratch / uuid.uuid4().hex
        lock = folder.with_suffix(".lock")
        with locked(lock, patience=60):  # another process may just look whether it is abandoned
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)


class _Session:
    """The repositories that one checkout uses, each locked once, all released at its end."""

    def __init__(self, cache: Cache, client: Callable[[Path, Remote], Client]) -> None:
        self._cache = cache
        self._make_client = client
        self._stack = ExitStack()
        self._entries: dict[str, Entry] = {}
        self._clients: dict[str, Client] = {}

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def fetch(self, remote: Remote, ref: str | None) -> tuple[Client, str]:
        if remote.key not in self._entries:
            entry = self._stack.enter_context(self._cache.entry(remote.key, remote.url))
            self._entries[remote.key] = entry
            entry.create()
            client = self._make_client(entry.folder, remote)
            self._clients[remote.key] = client
            self._stack.callback(client.close)
        client = self._clients[remote.key]
        return client, fetch_commit(client, self._entries[remote.key], remote, ref)

    def clear(self) -> bool:
        """Forget the repositories that were there before; false when there were none."""
        stale = [entry for entry in self._entries.values() if not entry.fresh]
        for entry in self._entries.values():
            entry.clear()
        return bool(stale)


@contextmanager
def _disk_watched() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFull from error
        raise
