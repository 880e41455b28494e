"""Opens the repositories of one checkout or question, each with a credential that works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Generic, TypeVar

from handlers.repository_handler.cache import Cache, Entry, size_on_disk
from handlers.repository_handler.client import Refs, Unspoken
from handlers.repository_handler.remote import AccessRefused, Remote, Repository
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost

C = TypeVar("C", bound=Refs)
T = TypeVar("T")


class Session(Generic[C]):
    """Keeps its repositories in the cache until it ends."""

    def __init__(
        self,
        cache: Cache,
        client: Callable[[Path, Remote], C],
        rest: Callable[[Path, Remote], C],
        suffix: str = "",
    ) -> None:
        """`rest` makes the client for Azure Repos that the first one cannot talk to.

        `suffix` separates places in the cache that have another kind of content.
        """
        self.warnings: list[str] = []
        self._cache = cache
        self._git, self._rest = client, rest
        self._suffix = suffix
        self._stack = ExitStack()
        self._entries: dict[str, Entry] = {}
        self._clients: dict[str, C] = {}
        self._opened: dict[str, Remote] = {}

    def __enter__(self) -> Session[C]:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, repository: Repository, question: Callable[[C, Entry, Remote], T]) -> T:
        """The answer to `question`, with the first of this host's credentials that is not refused.

        If all are refused, raises a `Permanent` that names them.
        """
        opened = self._opened.get(repository.key)
        refusals = list[AccessRefused]()
        try:
            for remote in (opened,) if opened else repository.remotes():
                try:
                    return self._ask(remote, question)
                except AccessRefused as refused:
                    refusals.append(refused)
        except UnfitHost as unfit:  # the host has no identity
            if not refusals:
                raise
            raise repository.refused(refusals, str(unfit)) from None
        raise repository.refused(refusals)

    def _ask(self, remote: Remote, question: Callable[[C, Entry, Remote], T]) -> T:
        try:
            return self._put(question, self._git, remote, f"{remote.key}{self._suffix}")
        except Unspoken as unspoken:
            if remote.rest is None:
                raise unspoken.error from None
            try:
                key = f"{remote.key}-rest{self._suffix}"
                answer = self._put(question, self._rest, remote, key)
            except AccessRefused:
                raise
            except Permanent:
                if isinstance(unspoken.error, Temporary):  # trying again may still help
                    raise unspoken.error from None
                raise
            self.warnings.append(
                f"The repository {remote.url} was read through its REST API, because its git "
                f"server and dulwich do not understand each other ({unspoken.detail}). Install "
                "git on the host."
            )
            return answer

    def _put(
        self,
        question: Callable[[C, Entry, Remote], T],
        make: Callable[[Path, Remote], C],
        remote: Remote,
        key: str,
    ) -> T:
        entry = self._entry(key, remote.url)
        name = f"{key} {remote.reader}"
        if name not in self._clients:
            client = make(entry.folder, remote)
            self._clients[name] = client
            self._stack.callback(client.close)
        answer = question(self._clients[name], entry, remote)
        self._opened[remote.key] = remote
        return answer

    def _entry(self, key: str, shown: str) -> Entry:
        if key not in self._entries:
            entry = self._stack.enter_context(self._cache.entry(key, shown))
            self._entries[key] = entry
            entry.create()
        return self._entries[key]

    def size(self) -> int:
        """The bytes on disk of the session's repositories."""
        return sum(size_on_disk(entry.folder) for entry in self._entries.values())

    def discard(self, *, only_fresh: bool = False) -> bool:
        """End the session and remove its repositories from the cache, once nothing else uses them.

        Until then no other session can open them. `only_fresh`: keep those that were there before.
        Returns False if this session made all of them, so that another try would end the same.
        """
        for entry in self._entries.values():
            if entry.fresh or not only_fresh:
                entry.doom()
        self._stack.close()
        for key, entry in self._entries.items():
            if entry.fresh or not only_fresh:
                self._cache.remove(key)
        return not all(entry.fresh for entry in self._entries.values())
