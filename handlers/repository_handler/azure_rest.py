"""The part of Azure Repos' REST API that reads a repository: git, version 7.1.

Shapes: MicrosoftDocs/vsts-rest-api-specs, specification/git/7.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError

from handlers.repository_handler.client import NO_SPACE, Broken, DiskFull, Limits, of_host
from handlers.repository_handler.faults import fault
from handlers.repository_handler.http import connections, read, words_of
from handlers.repository_handler.remote import Remote
from handlers.repository_handler.trees import TooLarge

_CHUNK = 1 << 20  # bytes
_LARGEST_ANSWER = 32 << 20  # bytes of JSON: a listing of some 100,000 paths
_REFS_AT_ONCE = 1000  # the most that the service returns
_SHA, _MODE = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-7]{5,6}")
# The errors for an object that does not exist, and for a repository or project that does not.
_NO_OBJECT, _NO_REPOSITORY = re.compile(r"TF401035"), re.compile(r"TF401019|TF200016|VS800075")


@dataclass(frozen=True, slots=True)
class Listed:
    """One path of a commit: file, folder or submodule. `size` is in bytes, 0 except for files."""

    path: str
    mode: str
    kind: str  # "blob", "tree" or "commit"
    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class Ref:
    name: str
    sha: str
    peeled: str | None  # for a tag object: the object that it tags


class AzureRest:
    """One repository. All methods raise the errors of a `Client` that talks to its remote."""

    def __init__(self, remote: Remote, limits: Limits) -> None:
        assert remote.rest is not None
        self._address = remote.rest
        self._remote = remote
        self._limits = limits
        self._connections = connections(remote, limits)

    def default_branch(self) -> str | None:
        with self._understood():
            branch = self._json("").get("defaultBranch")
            return None if branch is None else str(branch)

    def refs(self, beginning: str) -> Iterator[Ref]:
        """The refs whose names begin with `beginning`."""
        query = {"filter": beginning.removeprefix("refs/"), "peelTags": "true"}
        query["$top"] = str(_REFS_AT_ONCE)
        more: str | None = ""
        while more is not None:
            with self._understood():
                answer = self._ask("/refs", query | ({"continuationToken": more} if more else {}))
                for ref in self._parsed(answer)["value"]:
                    peeled = ref.get("peeledObjectId")
                    yield Ref(
                        str(ref["name"]),
                        _like(_SHA, ref["objectId"]),
                        None if peeled is None else _like(_SHA, peeled),
                    )
                more = answer.headers.get("x-ms-continuationtoken") or None

    def commit(self, sha: str) -> tuple[str, str] | None:
        """The commit and tree of `sha`, a commit or a tag of one; None if it is neither."""
        with self._understood():
            found = self._json(f"/commits/{sha}", missing=True)
            if found is None:
                tag = self._json(f"/annotatedtags/{sha}", missing=True)
                if tag is None:
                    return None
                tagged = _like(_SHA, tag["taggedObject"]["objectId"])
                found = self._json(f"/commits/{tagged}")
            return _like(_SHA, found["commitId"]), _like(_SHA, found["treeId"])

    def merge_bases(self, sha: str, other: str) -> Sequence[str] | None:
        """The best common ancestors of two commits; None if one of them does not exist."""
        with self._understood():
            query = {"otherCommitId": other}
            found = self._json(f"/commits/{sha}/mergebases", query, missing=True)
            if found is None:
                return None
            return [_like(_SHA, base["commitId"]) for base in found["value"]]

    def tree(self, sha: str) -> Iterator[Listed]:
        """Everything below a tree."""
        with self._understood():
            for entry in self._json(f"/trees/{sha}", {"recursive": "true"})["treeEntries"]:
                kind = str(entry["gitObjectType"])
                size = int(entry["size"]) if kind == "blob" else 0
                mode, sha = _like(_MODE, entry["mode"]), _like(_SHA, entry["objectId"])
                yield Listed(str(entry["relativePath"]), mode, kind, sha, size)

    def blob(self, sha: str, most: int) -> Iterator[bytes]:
        return self._content(f"/blobs/{sha}", {"$format": "octetstream"}, most)

    def archive(self, commit: str, most: int) -> Iterator[bytes]:
        """A zip of the commit's files. Its names, modes and completeness cannot be relied on."""
        query = {
            "scopePath": "/",
            "recursionLevel": "full",
            "versionDescriptor.version": commit,
            "versionDescriptor.versionType": "commit",
            "zipForUnix": "true",  # includes links, according to the specification
            "$format": "zip",
        }
        return self._content("/items", query, most)

    def close(self) -> None:
        self._connections.clear()

    def _json(
        self, path: str, query: Mapping[str, str] | None = None, *, missing: bool = False
    ) -> Any:
        """`missing`: return None if the object does not exist, instead of raising."""
        answer = self._ask(path, query or {}, missing=missing)
        return None if answer is None else self._parsed(answer)

    def _parsed(self, answer: Any) -> Any:
        content = read(self._remote, self._limits, answer, _LARGEST_ANSWER + 1)
        if len(content) > _LARGEST_ANSWER:
            raise TooLarge(
                f"The repository {self._remote.url} has more files and folders than a host "
                "without git can list: install git there."
            )
        value = json.loads(content)
        if not isinstance(value, dict):
            raise TypeError(value)
        return value

    def _content(self, path: str, query: Mapping[str, str], most: int) -> Iterator[bytes]:
        with self._understood():
            answer = self._ask(path, query)
            while chunk := read(self._remote, self._limits, answer, min(_CHUNK, most + 1)):
                most -= len(chunk)
                if most < 0:
                    raise self._remote.failed("its REST API sent more than it listed")
                yield chunk

    def _ask(self, path: str, query: Mapping[str, str], *, missing: bool = False) -> Any:
        headers = {}
        if self._remote.access.authorization:
            headers["Authorization"] = self._remote.access.authorization.get_secret_value()
        answer = self._connections.request(
            "GET",
            f"{self._address}{path}?{urlencode({**query, 'api-version': '7.1'})}",
            headers=headers,
            preload_content=False,
        )
        page = (answer.headers.get("Content-Type") or "").startswith("text/html")
        if answer.status == 200 and not page:
            return answer
        said = words_of(self._remote, self._limits, answer)
        gone = answer.status == 404 and not _NO_REPOSITORY.search(said)
        if missing and (gone or _NO_OBJECT.search(said)):
            return None
        if answer.status == 200:  # a sign-in page
            raise self._remote.unavailable("HTTP 200 with a page")
        sorted_fault = fault(self._remote, f"HTTP {answer.status}", said=said)
        if answer.status == 400 or isinstance(sorted_fault, Broken):
            detail = ": ".join(part for part in (f"HTTP {answer.status}", said) if part)
            raise self._remote.failed(f"its REST API answered {detail}; install git on the host")
        raise sorted_fault

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Turn errors of the connection and of reading answers into ours."""
        try:
            yield
        except (HTTPError, OSError) as error:
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                raise DiskFull from None
            if of_host(error):
                raise
            sorted_fault = fault(self._remote, str(error))
            if isinstance(sorted_fault, Broken):
                raise self._remote.silent(str(error) or type(error).__name__) from None
            raise sorted_fault from None
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._remote.silent("its answer cannot be understood") from None


def _like(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(value)
    return value
