"""Files in the workspace's own storage: code that is uploaded, outputs that are downloaded.

By `azure-storage-blob`, with the key that Azure ML hands out, or, where the host gets none, with
the host's identity (role Storage Blob Data Reader).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath
from typing import Any

from azure.core.credentials import TokenCredential
from azure.storage.blob import ContainerClient

from handlers.azureml_handler.transport import Transport
from handlers.blobs.retries import patience
from mlgate.orchestration.ports import Clock

_LONGEST = 255  # bytes of a file's name here, and of a path below some folder of ours
_LONGEST_PATH = 3000


def upload(address: str, files: Mapping[str, Path], pool: ThreadPoolExecutor, clock: Clock) -> None:
    """Put the files into the container at `address`, which holds the right to do so."""
    with ContainerClient.from_container_url(address, **patience(clock)) as container:

        def put(name: str) -> None:
            with files[name].open("rb") as content:
                container.upload_blob(name, content, overwrite=True)

        _all(pool.map(put, files))


class Outputs:
    """The folders of one datastore, for reading; safe for threads, and as open as `transport` is.

    `has_key`: access is by what `secrets` hold, not by the host's identity.
    """

    def __init__(
        self,
        store: Mapping[str, Any],
        secrets: Mapping[str, Any],
        credential: TokenCredential,
        clock: Clock,
        transport: Transport,
    ) -> None:
        self.account = f"{store['accountName']}.blob.{store.get('endpoint') or 'core.windows.net'}"
        key = secrets.get("sasToken") or secrets.get("key")
        self.has_key = key is not None
        self._container = ContainerClient(
            f"https://{self.account}",
            store["containerName"],
            key or credential,
            transport=transport,
            **patience(clock),
        )

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below `folder` by relative path, with their sizes in bytes.

        Links and such are no files.
        """
        prefix = f"{folder}/"
        return {
            blob.name.removeprefix(prefix): blob.size
            for blob in self._container.list_blobs(prefix, include=["metadata"])
            if (blob.metadata or {}).get("hdi_isfolder") != "true"
        }

    def download(
        self, folder: str, names: Iterable[str], target: Path, pool: ThreadPoolExecutor
    ) -> list[str]:
        """Files below `folder`, with the same relative paths. OSError: the disk does not take them.

        Returns what was passed over: names, which a run can choose, that would lead out of
        `target`, that no file here can have, or that another one has here already.
        """

        def get(name: str) -> bool:
            if not _inside(name):
                return False
            place = target.joinpath(*PurePosixPath(name).parts)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("xb") as content:
                    self._container.download_blob(f"{folder}/{name}").readinto(content)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                return False  # a name that is the same as another one's here
            return True

        asked = {name: pool.submit(get, name) for name in names}
        try:
            return [name for name, there in asked.items() if not there.result()]
        finally:
            for future in asked.values():
                future.cancel()
            wait(asked.values())  # whoever removes the folder must be alone with it


def _all(results: Iterable[object]) -> None:
    for _ in results:
        pass


def _inside(name: str) -> bool:
    parts = name.split("/")
    fine = all(part not in ("", ".", "..") and len(part.encode()) <= _LONGEST for part in parts)
    return fine and len(name.encode()) <= _LONGEST_PATH
