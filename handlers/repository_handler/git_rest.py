"""Reads a commit of Azure Repos through REST, and stores it as git's own objects.

This is for hosts without the git program, if dulwich and the server have no protocol in common.
Names and modes come from the listing of the commit's tree, contents from a zip of all files. Each
object is stored under the hash of what was received, so the tree is exactly the commit's, or the
checkout fails. A zip that misses or changes something only costs more requests. The service is
trusted in one point: that the commit has this tree.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from handlers.repository_handler.azure_rest import AzureRest
from handlers.repository_handler.client import Broken, Limits, Refused, of_host
from handlers.repository_handler.export import Most
from handlers.repository_handler.git_dulwich import Dulwich
from handlers.repository_handler.loose_objects import folders, write_object
from handlers.repository_handler.pack_watch import LARGEST_OBJECT, too_large
from handlers.repository_handler.remote import Remote

_CHUNK = 1 << 20  # bytes
_FEW = 20  # up to this many files are requested one by one, more in a zip
_ZIP_ENTRY = 10_000  # bytes of a zip for each file besides its content; has its name twice
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for a damaged or encrypted zip.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError,
    RuntimeError,
)  # fmt: skip


class GitRest(Dulwich):
    """Implements `Client`; dulwich reads the cache.

    It does not share the cache of git, because its own lacks the commit objects.
    """

    def __init__(self, folder: Path, remote: Remote, limits: Limits) -> None:
        super().__init__(folder, remote, limits)
        self._folder = folder
        self._rest = AzureRest(remote, limits)
        self._peeled = dict[str, str]()  # the commits of the tag objects seen so far

    def list_refs(self, *names: str) -> Mapping[str, str]:
        found = dict[str, str]()
        for name in names:
            wanted = self._rest.default_branch() if name == "HEAD" else name
            if wanted is None:
                continue  # an empty repository has no branch
            for ref in self._rest.refs(wanted):
                if ref.name == wanted or wanted.endswith("/"):
                    shown = name if name == "HEAD" else ref.name
                    found[shown] = ref.sha
                    if ref.peeled:
                        found[f"{shown}^{{}}"] = self._peeled[ref.sha] = ref.peeled
        return found

    def fetch(self, shas: Sequence[str], depth: int) -> None:  # noqa: ARG002 -- the protocol's
        for sha in shas:
            found = self._rest.commit(self._peeled.get(sha, sha))
            if found is None:
                raise Refused(final=True)
            self._bring(*found)
            for name in (sha, found[0]):
                record = self._record(name)
                record.parent.mkdir(exist_ok=True)
                record.write_text(" ".join(found), "ascii")

    def commit_of(self, sha: str) -> str | None:
        try:
            return self._recorded(sha)[0]
        except Broken:
            return None

    def tree_of(self, commit: str) -> str:
        return self._recorded(commit)[1]

    def close(self) -> None:
        self._rest.close()
        super().close()

    def _record(self, sha: str) -> Path:
        return self._folder / "mlgate-commits" / sha

    def _recorded(self, sha: str) -> tuple[str, str]:
        try:
            commit, tree = self._record(sha).read_text("ascii").split()
        except (OSError, ValueError) as error:
            raise Broken(f"commit {sha} is not here") from error
        return commit, tree

    def _bring(self, commit: str, tree: str) -> None:
        """Fetch and store all files and folders of a commit."""
        listed = list(self._rest.tree(tree))
        trees = folders(listed)
        if not {tree, *(entry.sha for entry in listed if entry.kind == "tree")} <= trees.keys():
            raise self._remote.failed(
                "what its REST API lists does not match the commit's hash, which happens with "
                "names that are not UTF-8 and with modes of old programs; install git on the host"
            )
        files = [entry for entry in listed if entry.kind == "blob"]
        wanted = {entry.sha: entry.size for entry in files if not self._place(entry.sha).exists()}
        if max(wanted.values(), default=0) > LARGEST_OBJECT:
            raise too_large()
        size = sum(entry.size for entry in files)
        if len(wanted) > _FEW and size <= Most().size:
            self._take_from_zip(commit, wanted, size + len(files) * _ZIP_ENTRY)
        for sha, size in wanted.items():
            if not write_object(self._objects, "blob", size, self._rest.blob(sha, size), (sha,)):
                raise self._remote.failed(f"its REST API sent other content for the file {sha}")
        for sha, content in trees.items():
            write_object(self._objects, "tree", len(content), (content,), (sha,))

    def _take_from_zip(self, commit: str, wanted: dict[str, int], most: int) -> None:
        """Store what the zip has of `wanted`, and remove that from `wanted`."""
        sizes = set(wanted.values())
        with tempfile.TemporaryFile(dir=self._folder) as file:
            for chunk in self._rest.archive(commit, most):
                file.write(chunk)
            with _passing_over(), zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    if info.file_size in sizes and info.compress_type in _PACKINGS:
                        self._take(archive, info, wanted)

    def _take(
        self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, wanted: dict[str, int]
    ) -> None:
        with _passing_over(), archive.open(info) as file:
            content = iter(partial(file.read, _CHUNK), b"")
            sha = write_object(self._objects, "blob", info.file_size, content, wanted)
            if sha is not None:
                del wanted[sha]

    @property
    def _objects(self) -> Path:
        return self._folder / "objects"

    def _place(self, sha: str) -> Path:
        return self._objects / sha[:2] / sha[2:]


@contextmanager
def _passing_over() -> Iterator[None]:
    """Skip what cannot be read in a zip."""
    try:
        yield
    except OSError as error:  # also raised for an offset before the start of the file
        if of_host(error):
            raise
    except _UNREADABLE:
        pass
