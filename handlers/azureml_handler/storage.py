"""Files in the workspace's own storage: code that is uploaded, outputs that are downloaded.

Uses `azure-storage-blob`, with the key that Azure ML gives, or, if it gives none, with the host's
identity.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Executor, Future, wait
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from handlers.azureml_handler.answers import read_by_sdk, text, unreadable
from handlers.azureml_handler.transport import Transport
from handlers.blobs.retries import patience
from mlgate.orchestration.clock import Clock

_LONGEST = 255  # bytes of a file's name on this host
_LONGEST_PATH = 3000  # bytes of a path below a folder of mlgate's

T = TypeVar("T")


def upload(
    address: str,
    credential: TokenCredential | None,
    files: Mapping[str, Path],
    pool: Executor,
    clock: Clock,
) -> None:
    """Upload the files to the container at `address`, which has a signature if there is no
    credential."""
    with read_by_sdk():
        client = ContainerClient.from_container_url(address, credential, **patience(clock))
    with client as container:
        _put(container, files, pool)


def stage_block(address: str, credential: TokenCredential | None, clock: Clock) -> None:
    """Write a block that no blob uses: storage drops it within a week (Put Block)."""
    with read_by_sdk():
        client = ContainerClient.from_container_url(address, credential, **patience(clock))
    with client as container:
        container.get_blob_client("mlgate-check").stage_block("Y2hlY2s=", b"{}")


class Outputs:
    """The folders of one datastore; safe for threads, and open as long as `transport` is.

    `has_key`: access is with the key in `secrets`, not with the host's identity.
    """

    def __init__(
        self,
        store: Mapping[str, Any],
        secrets: Mapping[str, Any],
        credential: TokenCredential,
        clock: Clock,
        transport: Transport,
    ) -> None:
        host = store.get("endpoint") or "core.windows.net"
        self.account = f"{text(store, 'accountName')}.blob.{host}"
        key = secrets.get("sasToken") or secrets.get("key")
        self.has_key = key is not None
        with read_by_sdk():
            self._container = ContainerClient(
                f"https://{self.account}",
                text(store, "containerName"),
                key or credential,
                transport=transport,
                **patience(clock),
            )

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below `folder` by relative path, with their sizes in bytes."""
        prefix = f"{folder}/"
        with read_by_sdk():
            return {
                blob.name.removeprefix(prefix): blob.size
                for blob in self._container.list_blobs(prefix, include=["metadata"])
                if (blob.metadata or {}).get("hdi_isfolder") != "true"
            }

    def upload(self, folder: str, files: Mapping[str, Path], pool: Executor) -> None:
        """Make these the only files below `folder`. A job may have put others there, and a module
        beside a model is executed with it. Files of the same size are not uploaded again."""
        there = self.sizes(folder)
        missing = {
            f"{folder}/{name}": path
            for name, path in files.items()
            if there.get(name) != path.stat().st_size
        }
        _put(self._container, missing, pool)
        for name in there.keys() - files.keys():
            with read_by_sdk():
                self._container.delete_blob(f"{folder}/{name}")

    def read(self, path: str, most: int) -> bytes | None:
        """A file's content; None when it is not there, or larger than `most` bytes."""
        try:
            with read_by_sdk():
                found = self._container.download_blob(path, offset=0, length=most + 1)
                content = found.readall()
        except HttpResponseError as error:
            if error.status_code == HTTPStatus.NOT_FOUND and "BlobNotFound" in str(
                getattr(error, "error_code", "")
            ):
                return None
            raise
        if len(content) != found.size:
            raise unreadable("a file of the run does not have the announced size")
        return content if len(content) <= most else None

    def download(
        self, folder: str, sizes: Mapping[str, int], target: Path, pool: Executor
    ) -> list[str]:
        """Download files below `folder`, to the same relative paths; raises OSError of the disk.

        Returns the names that were skipped. A run can choose names, so some may lead out of
        `target`, be impossible here, or be taken by another file here.
        """

        def get(name: str) -> bool:
            if not _inside(name):
                return False
            place = target.joinpath(*PurePosixPath(name).parts)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("xb") as content, read_by_sdk():
                    self._container.download_blob(f"{folder}/{name}").readinto(content)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                return False  # here, the name is the same as another file's
            if place.stat().st_size != sizes[name]:
                raise unreadable("a file of the run does not have the listed size")
            return True

        there = _all([pool.submit(get, name) for name in sizes])
        return [name for name, got in zip(sizes, there, strict=True) if not got]


def _put(container: ContainerClient, files: Mapping[str, Path], pool: Executor) -> None:
    """Write a blob for each file, by its name; each appears whole."""

    def put(name: str) -> None:
        with files[name].open("rb") as content, read_by_sdk():
            container.upload_blob(name, content, overwrite=True)

    _all([pool.submit(put, name) for name in files])


def _all(asked: Collection[Future[T]]) -> list[T]:
    """The results. Afterwards no call is under way, so the files can be removed."""
    try:
        return [future.result() for future in asked]
    finally:
        for future in asked:
            future.cancel()
        wait(asked)


def _inside(name: str) -> bool:
    parts = name.split("/")
    fine = all(part not in ("", ".", "..") and len(part.encode()) <= _LONGEST for part in parts)
    return fine and len(name.encode()) <= _LONGEST_PATH
