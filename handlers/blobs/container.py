"""One blob container, as a store of files, and of small records with compare-and-swap.

When a write's answer is lost, the SDK sends the write again, and storage refuses it because the
first one succeeded. So each conditional write puts a unique mark into the blob's metadata: a
refused write whose mark is there was done.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from azure.core import MatchConditions
from azure.core.credentials import AzureSasCredential, TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobProperties, ContainerClient, ContentSettings

from handlers.blobs.address import ContainerAddress
from handlers.blobs.faults import code_of, translated
from handlers.blobs.retries import patience
from handlers.blobs.times import ServiceTimes
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Temporary, UnfitHost

JSON = "application/json"

NO_CONTAINER = "ContainerNotFound"
MISSING = ("BlobNotFound", NO_CONTAINER)
REFUSED = ("BlobAlreadyExists", "ConditionNotMet")
_MARK = "write"  # the metadata's name for the mark of the write that made the blob
_PAGE = 5000  # names in one answer at most
_TAILS = 3  # tries, while the blob is replaced as it is read

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Blob:
    """`version` is the ETag; `age` is as of the read, by the service's clock, to a second."""

    content: bytes = field(repr=False)
    version: str
    age: timedelta = field(compare=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A blob as a listing has it."""

    name: str
    metadata: Mapping[str, str]
    version: str
    age: timedelta


class Container:
    """Safe for threads. Names are relative to the container, with `/`.

    A missing container reads as empty; the first write creates it. Raises `Temporary` when storage
    does not answer or is busy, `UnfitHost` when a right is missing, and `Permanent` when storage
    refuses for good.

    Functions that only some handlers need are in `streams`, and use `client`, which is the SDK's.
    """

    def __init__(
        self, address: ContainerAddress, credential: TokenCredential | None, clock: Clock
    ) -> None:
        """`credential` is not used if the address has a signature."""
        self.address = address
        self._times = ServiceTimes(clock)
        signature = address.signature
        self.client = ContainerClient.from_container_url(
            address.url,
            AzureSasCredential(signature.get_secret_value()) if signature else credential,
            **patience(clock),
            **self._times.hooks(),
        )

    @property
    def url(self) -> str:
        """Without a signature."""
        return self.address.url

    def skew(self) -> timedelta | None:
        """How far this host's clock is ahead of the service's; None before the first answer."""
        return self._times.skew()

    def put_if_there(self, name: str, content: bytes) -> bool:
        """Like `put`, but false if there is no container, which is not created."""
        with translated(self.address):
            try:
                self.client.upload_blob(name, content, overwrite=True)
            except HttpResponseError as error:
                if code_of(error) == NO_CONTAINER:
                    return False
                raise
            return True

    def check(self) -> None:
        """Write a small blob, so that a missing right is found before it is needed."""
        self.put("check", b"{}")

    def read(self, name: str, most: int | None = None) -> Blob | None:
        """The blob; None if it is missing, or larger than `most` bytes."""
        part = (None, None) if most is None else (0, most + 1)
        with translated(self.address):
            try:
                found = self.client.download_blob(name, *part)
                age = self._times.age(found.properties.last_modified)
                content = found.readall()
                if most is not None and len(content) > most:
                    return None
                return Blob(content, found.properties.etag, age)
            except HttpResponseError as error:
                if code_of(error) in MISSING:
                    return None
                if code_of(error) != "InvalidRange" or most is None:
                    raise
            return self.read(name)  # an empty blob has no ranges

    def tail(self, name: str, most: int) -> bytes:
        """The last `most` bytes, or fewer; none of a missing blob."""
        with translated(self.address):
            for tries_left in reversed(range(_TAILS)):
                found = self._properties(name)
                if found is None or not found.size or most <= 0:
                    return b""
                try:
                    return self.client.download_blob(
                        name,
                        offset=max(found.size - most, 0),
                        length=min(found.size, most),
                        etag=found.etag,
                        match_condition=MatchConditions.IfNotModified,
                    ).readall()
                except HttpResponseError as error:
                    if code_of(error) not in (*MISSING, *REFUSED) or not tries_left:
                        raise
        raise AssertionError

    def create(self, name: str, content: bytes, content_type: str = JSON) -> str | None:
        """The new blob's version; None when the name is taken."""
        return self._write_if(name, content, content_type, overwrite=False)

    def replace(
        self, name: str, content: bytes, version: str, content_type: str = JSON
    ) -> str | None:
        """The new version; None when `version` is not the current one, or the blob is gone."""
        condition = MatchConditions.IfNotModified
        return self._write_if(
            name, content, content_type, overwrite=True, etag=version, match_condition=condition
        )

    def put(
        self,
        name: str,
        content: bytes | Iterable[bytes],
        content_type: str = JSON,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Create or replace the blob, once all parts of the content are made."""
        if not isinstance(content, bytes):
            with tempfile.TemporaryFile() as file:
                for part in content:
                    _write(file, part)
                self._upload(name, file, content_type)
            return
        settings = ContentSettings(content_type)
        self.writing(
            lambda: self.client.upload_blob(
                name,
                content,
                overwrite=True,
                content_settings=settings,
                metadata=dict(metadata or {}),
            )
        )

    def upload(self, name: str, source: Path, content_type: str) -> None:
        """Like `put`, from a file that need not fit in memory; raises OSError if that fails."""
        with source.open("rb") as content:
            self._upload(name, content, content_type)

    def set_metadata(self, name: str, metadata: Mapping[str, str]) -> bool:
        """Replace a blob's metadata; false when the blob is missing."""
        with translated(self.address):
            try:
                self.client.get_blob_client(name).set_blob_metadata(dict(metadata))
            except HttpResponseError as error:
                if code_of(error) in MISSING:
                    return False
                raise
        return True

    def delete(self, name: str, version: str | None = None) -> bool:
        """False when the blob has another version; true when it is gone already."""
        condition: dict[str, Any] = {}
        if version is not None:
            condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        with translated(self.address):
            try:
                self.client.delete_blob(name, **condition)
            except HttpResponseError as error:
                if code_of(error) in REFUSED:
                    return self._properties(name) is None
                if code_of(error) not in MISSING:
                    raise
        return True

    def last_write(self, name: str) -> tuple[str, timedelta] | None:
        """A blob's version, and how long ago it was written."""
        with translated(self.address):
            found = self._properties(name)
            return None if found is None else (found.etag, self._times.age(found.last_modified))

    def listed(self, prefix: str, limit: int | None = None) -> list[Listed]:
        """The blobs whose names begin with `prefix`, sorted by name; the first `limit` of them."""
        with translated(self.address):
            try:
                found = self.client.list_blobs(
                    prefix, include=["metadata"], results_per_page=min(limit or _PAGE, _PAGE)
                )
                blobs = (
                    Listed(
                        blob.name,
                        blob.metadata or {},
                        blob.etag,
                        self._times.age(blob.last_modified),
                    )
                    for blob in found
                    if not is_folder(blob)
                )
                return list(islice(blobs, limit))
            except HttpResponseError as error:
                if code_of(error) == NO_CONTAINER:
                    return []
                raise

    def names(self, prefix: str, limit: int | None = None) -> list[str]:
        """Like `listed`, but only the names."""
        return [blob.name for blob in self.listed(prefix, limit)]

    def _upload(self, name: str, content: IO[bytes], content_type: str) -> None:
        settings = ContentSettings(content_type)

        def send() -> None:
            content.seek(0)  # also for a second try
            self.client.upload_blob(name, content, overwrite=True, content_settings=settings)

        self.writing(send)

    def _write_if(
        self, name: str, content: bytes, content_type: str, **condition: Any
    ) -> str | None:
        mark = uuid.uuid4().hex

        def send() -> str | None:
            try:
                # Small enough for one request, so that two writers' parts cannot mix.
                made = self.client.get_blob_client(name).upload_blob(
                    content,
                    metadata={_MARK: mark},
                    content_settings=ContentSettings(content_type),
                    **condition,
                )
            except HttpResponseError as error:
                if code_of(error) not in REFUSED:
                    raise
                found = self._properties(name)
                ours = found is not None and found.metadata.get(_MARK) == mark
                return str(found.etag) if found is not None and ours else None
            return str(made["etag"])

        return self.writing(send)

    def _properties(self, name: str) -> BlobProperties | None:
        try:
            return self.client.get_blob_client(name).get_blob_properties()
        except HttpResponseError as error:
            if code_of(error) in MISSING:
                return None
            raise

    def writing(self, write: Callable[[], Result]) -> Result:
        """Return what `write` returns, and create the container if it is missing."""
        with translated(self.address):
            try:
                return write()
            except HttpResponseError as error:
                if code_of(error) != NO_CONTAINER:
                    raise
            self._make()
            return write()

    def _make(self) -> None:
        try:
            self.client.create_container()
        except HttpResponseError as error:
            if error.status_code in (401, 403):
                raise UnfitHost(
                    f"There is no container {self.url}, and this host may not create it. Create "
                    "it, and give the host's identity the role Storage Blob Data Contributor there."
                ) from None
            if code_of(error) != "ContainerAlreadyExists":
                raise


def is_folder(blob: BlobProperties) -> bool:
    """An account with real folders lists them among the blobs, with this metadata."""
    return (blob.metadata or {}).get("hdi_isfolder") == "true"


def _write(file: IO[bytes], part: bytes) -> None:
    try:
        file.write(part)
        file.flush()
    except OSError as error:
        raise Temporary(
            f"This host cannot write a temporary file: {error.strerror}. Free some space, or set "
            "TMPDIR to another place."
        ) from error
