"""The part of Azure Repos' REST API that reads a repository, over git's own plumbing.

Shapes are those of MicrosoftDocs/vsts-rest-api-specs, git 7.1, and its examples. Besides:

- `refs?filter=` is the beginning of names below `refs/`, not a whole name; at most 1000 at a time,
  the rest by `continuationToken` (the specification; measured: PGielniak/azdo-pipeline-emulator,
  its live run of E09-S02-T01).
- `items` as a zip wants `scopePath`, and with `path` a `recursionLevel` is 400; names in the zip
  have no folder around them; its content type is application/octet-stream (measured: same).
- The zip has neither modes nor links without `zipForUnix`, which keeps both (the specification).
  Submodules are not in it.
- `mergebases` names the best common ancestors, as `git merge-base --all` does (the specification).
- Names that are not UTF-8 are shown with U+FFFD, as .NET decodes them.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.git_http import NEUTRAL

_PAGE = 1000  # refs
_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass
class Answer:
    status: int
    content: bytes
    kind: str = "application/json; charset=utf-8; api-version=7.1"
    headers: dict[str, str] = field(default_factory=dict)


def failure(status: int, message: str, key: str) -> Answer:
    name = f"Microsoft.TeamFoundation.Git.Server.{key}, Microsoft.TeamFoundation.Git.Server"
    return _json(
        {
            "$id": "1",
            "innerException": None,
            "message": message,
            "typeName": name,
            "typeKey": key,
            "errorCode": 0,
            "eventId": 3000,
        },
        status,
    )


def _missing(sha: str) -> Answer:
    says = f"TF401035: The object '{sha}' does not exist."
    return failure(404, says, "GitObjectDoesNotExistException")


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode())


class Repository:
    """One bare repository, as `/_apis/git/repositories/{name}` shows it."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def answer(self, command: str, rest: str, query: dict[str, str]) -> Answer:
        if command != "GET":
            return failure(405, "The method is not supported.", "VssRequestException")
        if query.get("api-version") != "7.1":
            return failure(400, "No api-version was supplied.", "VssVersionNotSpecifiedException")
        what, _, which = rest.strip("/").partition("/")
        if not what:
            return self._repository()
        if what == "refs" and not which:
            return self._refs(query)
        if what == "items" and not which:
            return self._items(query)
        if what == "commits" and which.endswith("/mergebases"):
            which = which.removesuffix("/mergebases")
            return self._merge_bases(which, query.get("otherCommitId", ""))
        if not _SHA.fullmatch(which):
            return failure(400, "A parameter is not valid.", "ArgumentException")
        if what == "commits" and self._reachable(which):
            tree = self._git("rev-parse", f"{which}^{{tree}}").decode().strip()
            return _json({"commitId": which, "treeId": tree, "parents": []})
        if what == "commits" and self._type(which) not in (None, "commit"):
            return failure(404, "The object is no commit.", "GitUnexpectedObjectException")
        if what == "annotatedtags" and self._type(which) == "tag":
            target = self._git("rev-parse", f"{which}^{{}}").decode().strip()
            tagged = {"objectId": target, "objectType": self._type(target)}
            return _json({"objectId": which, "name": "tag", "taggedObject": tagged})
        if what == "trees" and self._type(which) == "tree":
            return self._tree(which, query.get("recursive") == "true")
        if what == "blobs" and query.get("$format") == "octetstream":
            content = self._blobs([which])[0]
            if content is not None:
                return Answer(200, content, "application/octet-stream")
        return _missing(which)

    def _merge_bases(self, first: str, second: str) -> Answer:
        for sha in (first, second):
            if not _SHA.fullmatch(sha):
                return failure(400, "A parameter is not valid.", "ArgumentException")
            if not self._reachable(sha):
                return _missing(sha)
        bases = self._git("merge-base", "--all", first, second, check=False)  # 1 for none
        found = bases.decode().split()
        return _json({"value": [{"commitId": sha} for sha in found], "count": len(found)})

    def _repository(self) -> Answer:
        head = self._git("symbolic-ref", "HEAD").decode().strip()
        refs = {name for name, _, _ in self._all_refs()}
        value: dict[str, object] = {"id": "5febef5a", "name": self._name, "isDisabled": False}
        if refs:  # an empty repository has none
            value["defaultBranch"] = head
        return _json(value)

    def _refs(self, query: dict[str, str]) -> Answer:
        wanted = f"refs/{query.get('filter', '')}"
        at, most = int(query.get("continuationToken") or 0), int(query.get("$top") or _PAGE)
        found = [ref for ref in self._all_refs() if ref[0].startswith(wanted)]
        page = found[at : at + min(most, _PAGE)]
        values = []
        for name, sha, peeled in page:
            value = {"name": name, "objectId": sha}
            if peeled and query.get("peelTags") == "true":
                value["peeledObjectId"] = peeled
            values.append(value)
        answer = _json({"value": values, "count": len(values)})
        if at + len(page) < len(found):
            answer.headers["x-ms-continuationtoken"] = str(at + len(page))
        return answer

    def _tree(self, sha: str, recursive: bool) -> Answer:
        entries = [
            {
                "objectId": object_id,
                "relativePath": path,
                "mode": mode.lstrip("0"),
                "gitObjectType": kind,
                "url": f"https://dev.azure.com/_apis/git/repositories/5febef5a/{kind}s/{object_id}",
                **({} if size is None else {"size": size}),
            }
            for mode, kind, object_id, size, path in self._listed(sha, recursive)
        ]
        return _json({"objectId": sha, "treeEntries": entries, "size": 1})

    def _items(self, query: dict[str, str]) -> Answer:
        if "path" in query and query.get("recursionLevel", "none").lower() != "none":
            says = 'Cannot specify a "recursionLevel" other than "None" when providing a "path".'
            return failure(400, says, "ArgumentException")
        if query.get("versionDescriptor.versionType") != "commit":
            return failure(400, "A parameter is not valid.", "ArgumentException")
        commit = query.get("versionDescriptor.version", "")
        if not _SHA.fullmatch(commit) or not self._reachable(commit):
            says = f"TF401175: The version descriptor <Commit: {commit}> could not be resolved."
            return failure(404, says, "GitUnresolvableToCommitException")
        if (query.get("$format"), query.get("scopePath")) != ("zip", "/"):
            return failure(400, "A parameter is not valid.", "ArgumentException")
        return Answer(
            200, self._zip(commit, query.get("zipForUnix") == "true"), "application/octet-stream"
        )

    def _zip(self, commit: str, for_unix: bool) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            files = [
                (mode, sha, path)
                for mode, kind, sha, _, path in self._listed(commit, recursive=True)
                if kind == "blob" and (mode != "120000" or for_unix)
            ]
            contents = self._blobs([sha for _, sha, _ in files])
            for (mode, _, path), content in zip(files, contents, strict=True):
                info = zipfile.ZipInfo(path)
                info.compress_type = zipfile.ZIP_DEFLATED
                if for_unix:
                    info.create_system = 3
                    info.external_attr = int(mode, 8) << 16
                archive.writestr(info, content or b"")
        return made.getvalue()

    def _listed(self, tree: str, recursive: bool) -> Iterator[tuple[str, str, str, Any, str]]:
        options = ["-r", "-t"] if recursive else []
        for line in self._git("ls-tree", "--long", "-z", *options, tree).split(b"\0"):
            if line:
                head, _, path = line.partition(b"\t")
                mode, kind, sha, size = head.decode().split()
                # As .NET reads what is not UTF-8.
                name = path.decode("utf-8", "replace")
                yield mode, kind, sha, int(size) if size.isdigit() else None, name

    def _all_refs(self) -> list[tuple[str, str, str]]:
        form = "%(refname) %(objectname) %(*objectname)"
        listed = self._git("for-each-ref", f"--format={form}").decode().splitlines()
        return [(*line.split(" "),) for line in listed]  # type: ignore[misc]  # each line has as many fields

    def hands_out(self, sha: str) -> bool:
        """Whether git may have this object; a commit when a ref leads to it."""
        return self._reachable(sha) if self._type(sha) == "commit" else self._type(sha) is not None

    def _reachable(self, sha: str) -> bool:
        if self._type(sha) != "commit":
            return False
        return bool(self._git("for-each-ref", "--count=1", "--contains", sha))

    def _type(self, sha: str) -> str | None:
        found = subprocess.run(
            ["git", "cat-file", "-t", sha],
            cwd=self._folder,
            env=NEUTRAL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return found.stdout.decode().strip() if found.returncode == 0 else None

    def _blobs(self, shas: list[str]) -> list[bytes | None]:
        """Their contents; None for what is no blob here."""
        asked = "".join(f"{sha}\n" for sha in shas).encode()
        said, at = self._git("cat-file", "--batch", stdin=asked), 0
        contents = list[bytes | None]()
        for _ in shas:
            end = said.index(b"\n", at)
            _, kind, *size = said[at:end].split(b" ")
            if not size:  # "... missing"
                contents.append(None)
                at = end + 1
                continue
            after = end + 1 + int(size[0])
            contents.append(said[end + 1 : after] if kind == b"blob" else None)
            at = after + 1
        return contents

    def _git(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
        return subprocess.run(
            ["git", *arguments],
            input=stdin,
            cwd=self._folder,
            env=NEUTRAL,
            capture_output=True,
            check=check,
            timeout=60,
        ).stdout
