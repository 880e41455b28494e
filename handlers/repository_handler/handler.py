"""The repository port, made of allow-list, cache, fetch and export."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from handlers.repository_handler.cache import Cache, Entry, size_on_disk
from handlers.repository_handler.client import (
    NO_SPACE,
    Broken,
    Client,
    DiskFull,
    Limits,
    Refs,
    git_only,
    of_host,
    require_open_files,
)
from handlers.repository_handler.credentials import GitCredential
from handlers.repository_handler.export import Exporter
from handlers.repository_handler.fetching import fetch_commit
from handlers.repository_handler.history import History, contains, require_names
from handlers.repository_handler.readers import Readers
from handlers.repository_handler.remote import Remote, Remotes, Repository
from handlers.repository_handler.scratch import FolderCheckout, scratch, unusable
from handlers.repository_handler.session import Session
from handlers.repository_handler.sessions import Sessions
from handlers.repository_handler.space import Space
from handlers.repository_handler.submodules import Submodules
from handlers.repository_handler.trees import Reading, Source, TooLarge
from mlgate.orchestration.errors import Busy, Permanent, Temporary

if TYPE_CHECKING:
    from mlgate.orchestration.builds import RepositoryRequest

C = TypeVar("C", bound=Refs)
T = TypeVar("T")

_GIB = 1 << 30
# Errors of paths in a commit that the host's file system does not support.
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EEXIST, errno.ENOTDIR)

_LATE_CHECKOUT = (
    "The checkout of {url} was not finished after {minutes} minutes, the most that it may take: "
    "keep large files out of the repository, or name a smaller one."
)
_LATE_HISTORY = (
    "The history of {url} was not fetched after {minutes} minutes, the most that it may take: "
    "allow filters on its server (`uploadpack.allowFilter`), or name the model in "
    "MLGATE_ALLOWED_MODELS without a branch."
)


class RepositoryHandler:
    """Implements `RepositoryPort`; safe to use from several threads and processes at once.

    `home` has the cache (`repositories/`, at most `cache_bytes` between checkouts) and the trees
    of active checkouts (`checkouts/`). `host_identity` returns an Entra token for Azure Repos, or
    raises one of our errors. `use_git` defaults to whether git is installed. `timeout` limits a
    whole checkout or question, and exceeding it raises `Permanent`; `stall` limits a server's
    silence. Both are in seconds.
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
        self._cache = Cache(self._home / "repositories", cache_bytes)
        self._sessions = Sessions(self._cache, self._use_git, self._home / "git")
        self._readers = Readers()
        self._space = Space(self._home / "checkouts", self._cache)
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

        def repository_at(url: str) -> Repository:
            return self._remotes.open(url, collection, token)

        repository = repository_at(request.url)
        limits = self._limits()

        def export(session: Session[Client], folder: Path) -> FolderCheckout:
            return self._export(session, repository, request, folder, repository_at)

        with ExitStack() as stack:
            with self._sorted(repository, limits, _LATE_CHECKOUT):
                folder = stack.enter_context(self._room())
                with self._pruned():
                    make = partial(self._sessions.of_files, limits)
                    checkout = self._mended(repository, folder, make, export)
            yield checkout

    def contains(
        self,
        request: RepositoryRequest,
        commit: str,
        branch: str,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> bool:
        commit = commit.lower()
        require_names(commit, branch)
        repository = self._remotes.open(request.url, collection, token)
        limits = self._limits()

        def ask(session: Session[History], _: Path) -> bool:
            def question(client: History, entry: Entry, remote: Remote) -> bool:
                return contains(client, entry, remote, commit, branch, self._readers)

            return session.ask(repository, question)

        make = partial(self._sessions.of_history, limits)
        late = self._sorted(repository, limits, _LATE_HISTORY)
        with late, self._room() as folder, self._pruned():
            return self._mended(repository, folder, make, ask)

    def _limits(self) -> Limits:
        return Limits(time.monotonic() + self._timeout, self._stall)

    @contextmanager
    def _pruned(self) -> Iterator[None]:
        try:
            yield
        finally:
            with suppress(OSError):  # the next checkout prunes it
                self._cache.prune()

    @contextmanager
    def _sorted(self, repository: Repository, limits: Limits, late: str) -> Iterator[None]:
        """Turn errors into those of the port; `late` is the message for taking too long."""
        try:
            yield
        except Busy:
            raise
        except Temporary as error:
            if not limits.over:
                raise
            minutes = f"{self._timeout / 60:.0f}"
            raise Permanent(late.format(url=repository.url, minutes=minutes)) from error
        except DiskFull:
            raise Temporary(
                "This host has no space left for the checkout: free some.", 60
            ) from None
        except OSError as error:
            if error.errno in _IMPOSSIBLE and self._is_of_tree(error.filename):
                raise Permanent(
                    f"The checkout cannot be written on this host: {error.strerror}."
                ) from error
            raise unusable(self._home, error) from error
        except RuntimeError as error:
            if not of_host(error):
                raise
            raise Temporary(f"This host is out of threads: {error}.", 30) from error

    def _is_of_tree(self, name: object) -> bool:
        """Whether the path belongs to a commit's tree, and not to our own files."""
        place = self._home / "checkouts"
        own = isinstance(name, str) and Path(name).is_relative_to(place)
        return own and len(Path(str(name)).relative_to(place).parts) > 2

    @contextmanager
    def _room(self) -> Iterator[Path]:
        """A folder for one checkout; clears the cache if the disk is full."""
        with ExitStack() as stack:
            try:
                with _disk_watched():
                    folder = stack.enter_context(scratch(self._home / "checkouts"))
            except DiskFull:
                self._cache.clear()  # which may be what fills the disk
                with _disk_watched():
                    folder = stack.enter_context(scratch(self._home / "checkouts"))
            yield folder

    def _mended(
        self,
        repository: Repository,
        folder: Path,
        make: Callable[[], Session[C]],
        act: Callable[[Session[C], Path], T],
    ) -> T:
        """What `act` returns; tries once more without the cache if that is the problem."""
        for again in (False, True):
            with make() as session:
                try:
                    with _disk_watched():
                        return act(session, folder)
                except TooLarge:
                    session.discard(only_fresh=True)
                    raise
                except DiskFull:
                    # The partial result is useless, and others need its space.
                    had = session.size() + size_on_disk(folder) + self._space.free()
                    session.discard()
                    shutil.rmtree(folder)
                    self._space.after_full(repository, had)
                    if again:
                        raise
                except Broken as broken:
                    # Try once more without the cache, which may be damaged.
                    require_open_files()
                    stale = session.discard()
                    if again or not stale:
                        raise repository.failed(str(broken)) from None
                    shutil.rmtree(folder)
            folder.mkdir()
        raise AssertionError("the second round returns or raises")

    def _export(
        self,
        session: Session[Client],
        repository: Repository,
        request: RepositoryRequest,
        folder: Path,
        repository_at: Callable[[str], Repository],
    ) -> FolderCheckout:
        def fetch(wanted: Repository, ref: str | None) -> tuple[Client, str]:
            def question(client: Client, entry: Entry, remote: Remote) -> tuple[Client, str]:
                return client, fetch_commit(client, entry, remote, ref, self._readers)

            return session.ask(wanted, question)

        def submodule(url: str, wanted: str) -> tuple[Client, Repository]:
            inner = repository_at(url)
            return fetch(inner, wanted)[0], inner

        client, commit = fetch(repository, request.ref)

        opens = Submodules(repository, submodule).open if request.submodules else None
        source = Source(client, commit, Reading(), opens)
        make_room = partial(self._space.make_room, repository)
        exporter = Exporter(source.root(), request.lfs, make_room)
        tree = folder / "tree"
        if not exporter.write(request.subdirectory, tree):
            raise Permanent(
                f"The folder '{request.subdirectory}' is not in {repository.url} at {commit[:12]}: "
                "correct `repository.subdirectory`."
            )
        warnings = (*session.warnings, *exporter.warnings())
        return FolderCheckout(commit, tree, warnings, tuple(exporter.files))


@contextmanager
def _disk_watched() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFull from error
        raise
