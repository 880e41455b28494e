"""Files in the workspace's own storage: code that is uploaded, outputs that are downloaded.

By `azure-storage-blob`, with the key that Azure ML hands out, or, where the host gets none, with
the host's identity (role Storage Blob Data Reader).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from azure.core.credentials import TokenCredential
from azure.storage.blob import ContainerClient, ExponentialRetry

from mlgate.orchestration.ports import Clock

# Its debug output shows addresses with all that gives access to them.
logging.getLogger("urllib3").setLevel(logging.INFO)

_LONGEST = 255  # bytes of a file's name here, and of a path below some folder of ours
_LONGEST_PATH = 3000


def upload(address: str, files: Mapping[str, Path], pool: ThreadPoolExecutor, clock: Clock) -> None:
    """Put the files into the container at `address`, which holds the right to do so."""
    with ContainerClient.from_container_url(address, **_patience(clock)) as container:

        def put(name: str) -> None:
            with files[name].open("rb") as content:
                container.upload_blob(name, content, overwrite=True)

        _all(pool.map(put, files))


class Outputs:
    """The folders of one datastore, for reading; safe for threads.

    `has_key`: access is by what `secrets` hold, not by the host's identity.
    """

    def __init__(
        self,
        store: Mapping[str, Any],
        secrets: Mapping[str, Any],
        credential: TokenCredential,
        clock: Clock,
    ) -> None:
        self.account = f"{store['accountName']}.blob.{store.get('endpoint') or 'core.windows.net'}"
        key = secrets.get("sasToken") or secrets.get("key")
        self.has_key = key is not None
        self._container = ContainerClient(
            f"https://{self.account}", store["containerName"], key or credential, **_patience(clock)
        )

    def close(self) -> None:
        self._container.close()

    def download(self, folder: str, target: Path, pool: ThreadPoolExecutor) -> list[str]:
        """Everything below `folder`, with the same relative paths; links and such are no files.

        Returns what was passed over: names, which a run can choose, that would lead out of
        `target`, or that no file here can have.
        """
        prefix = f"{folder}/"
        names = [
            blob.name
            for blob in self._container.list_blobs(prefix, include=["metadata"])
            if (blob.metadata or {}).get("hdi_isfolder") != "true"
        ]

        def get(name: str) -> bool:
            place = target.joinpath(*PurePosixPath(name).parts)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as content:
                    self._container.download_blob(f"{prefix}{name}").readinto(content)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                return False  # a folder of that name is here, or a file of a folder's name
            return True

        found = [name.removeprefix(prefix) for name in names]
        inside = [name for name in found if _inside(name)]
        got = pool.map(get, inside)
        outside = [name for name in found if not _inside(name)]
        return outside + [name for name, there in zip(inside, got, strict=True) if not there]


class _Retries(ExponentialRetry):
    """Three more tries within some 20 seconds of the host's clock; the default waits a minute."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(initial_backoff=1, increment_base=2, retry_total=3)
        self._clock = clock

    def sleep(self, settings: dict[str, Any], transport: object) -> None:  # noqa: ARG002 -- of blobs' clients, it has no clock
        """Instead of the transport, which clients of single blobs replace."""
        self._clock.sleep(self.get_backoff_time(settings))


def _patience(clock: Clock) -> dict[str, Any]:
    return {"retry_policy": _Retries(clock), "connection_timeout": 10, "read_timeout": 60}


def _all(results: Iterable[object]) -> None:
    for _ in results:
        pass


def _inside(name: str) -> bool:
    parts = name.split("/")
    fine = all(part not in ("", ".", "..") and len(part.encode()) <= _LONGEST for part in parts)
    return fine and len(name.encode()) <= _LONGEST_PATH
