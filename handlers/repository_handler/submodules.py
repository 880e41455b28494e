"""Opens submodules: each is a repository like any other, allowed, fetched and cached as one.

`git submodule update` is not used, because it obeys configuration and knows no allow-list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from posixpath import normpath
from urllib.parse import urlsplit, urlunsplit

from handlers.repository_handler.client import Client
from handlers.repository_handler.remote import Repository
from handlers.repository_handler.trees import Source, TooLarge
from mlgate.orchestration.errors import Permanent

_DEEPEST = 10  # submodules within submodules

Opener = Callable[[str, str], tuple[Client, Repository]]  # url, commit -> who has it cached


class Submodules:
    """Opens the submodules of one checkout, each commit once even if the tree has it many times."""

    def __init__(self, repository: Repository, open_: Opener) -> None:
        """`repository` is the outermost one."""
        self._open = open_
        self._repositories = dict[Source, Repository]()
        self._outer = repository
        self._urls = dict[Source, Mapping[str, str]]()
        self._opened = dict[tuple[str, str, int], Source]()

    def open(self, around: Source, path: str, commit: str) -> Source:
        """The submodule at `path` of `around`; raises `Permanent` or `TooLarge`."""
        parent = self._repositories.get(around, self._outer)
        if around.level >= _DEEPEST:
            raise TooLarge(
                f"The repository {self._outer.url} has submodules nested more than {_DEEPEST} "
                "deep: leave `repository.submodules` out, or name a `repository.subdirectory` "
                "without them."
            )
        if around not in self._urls:
            self._urls[around] = around.client.submodules(around.commit)
        url = self._urls[around].get(path)
        if url is None:
            raise Permanent(
                f"The submodule {path} of {parent.url} has no URL in .gitmodules: add it there."
            )
        try:
            url.encode()
        except UnicodeEncodeError:
            raise Permanent(
                f"The URL of the submodule {path} of {parent.url} is not UTF-8: correct it in "
                ".gitmodules."
            ) from None
        place = _absolute(url, parent.url)
        key = place, commit, around.level + 1
        if key not in self._opened:
            client, repository = self._open(place, commit)
            inner = Source(client, commit, around.reading, self.open, around.level + 1)
            self._opened[key] = inner
            self._repositories[inner] = repository
        return self._opened[key]


def _absolute(url: str, parent: str) -> str:
    """`./` and `../` are relative to the URL of the parent repository (gitmodules(5))."""
    if not url.startswith(("./", "../")):
        return url
    if parent.startswith("/"):
        return normpath(f"{parent}/{url}")
    parts = urlsplit(parent)
    return urlunsplit(parts._replace(path=normpath(f"{parts.path}/{url}")))
