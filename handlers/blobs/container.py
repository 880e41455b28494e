"""One blob container, as a store of small records with compare-and-swap, and of files.

A write whose answer is lost is sent again, by the SDK, and is then refused because of itself. So
each conditional write bears a mark of its own, and what refuses it is asked for its mark.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.credentials import AzureSasCredential, TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobProperties, ContainerClient, ContentSettings

from handlers.blobs.address import ContainerAddress
from handlers.blobs.faults import code_of, translated
from handlers.blobs.retries import patience
from mlgate.orchestration.errors import UnfitHost
from mlgate.orchestration.ports import Clock

JSON = "application/json"

_NO_CONTAINER = "ContainerNotFound"
_MISSING = ("BlobNotFound", _NO_CONTAINER)
_REFUSED = ("BlobAlreadyExists", "ConditionNotMet")
_MARK = "write"  # the name, in a blob's metadata, of the write that made it
_PAGE = 5000  # names in one answer at most

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Blob:
    """`version` is the ETag."""

    content: bytes = field(repr=False)
    version: str


class Container:
    """Safe for threads. Names are relative to the container, with `/`.

    A missing container is made by the first write, and is empty to whoever reads. Raises
    `Temporary` where storage does not answer or is busy, `UnfitHost` where a right is missing, and
    `Permanent` for what it refuses.
    """

    def __init__(
        self, address: ContainerAddress, credential: TokenCredential | None, clock: Clock
    ) -> None:
        """`credential` is not used where the address has a signature."""
        self._address = address
        signature = address.signature
        self._client = ContainerClient.from_container_url(
            address.url,
            AzureSasCredential(signature.get_secret_value()) if signature else credential,
            **patience(clock),
        )

    @property
    def url(self) -> str:
        """Without a signature."""
        return self._address.url

    def check(self) -> None:
        """Write a small blob, so that a right that is missing is found before it is needed."""
        self.put("check", b"{}")

    def read(self, name: str) -> Blob | None:
        with translated(self._address):
            try:
                found = self._client.download_blob(name)
                return Blob(found.readall(), found.properties.etag)
            except HttpResponseError as error:
                if code_of(error) in _MISSING:
                    return None
                raise

    def create(self, name: str, content: bytes) -> str | None:
        """The new blob's version; None when there is one of that name already."""
        return self._write_if(name, content, overwrite=False)

    def replace(self, name: str, content: bytes, version: str) -> str | None:
        """The new version; None when `version` is not the current one, or the blob is gone."""
        condition = MatchConditions.IfNotModified
        return self._write_if(
            name, content, overwrite=True, etag=version, match_condition=condition
        )

    def put(self, name: str, content: bytes, content_type: str = JSON) -> None:
        """Create or replace the blob, whatever is there."""
        settings = ContentSettings(content_type)
        self._writing(
            lambda: self._client.upload_blob(
                name, content, overwrite=True, content_settings=settings
            )
        )

    def upload(self, name: str, source: Path, content_type: str) -> None:
        """As `put`, from a file that need not fit into memory; raises OSError for it."""
        settings = ContentSettings(content_type)

        def send() -> None:
            with source.open("rb") as content:
                self._client.upload_blob(name, content, overwrite=True, content_settings=settings)

        self._writing(send)

    def delete(self, name: str, version: str | None = None) -> bool:
        """False when the blob's version is another one; one that is gone is deleted."""
        condition: dict[str, Any] = {}
        if version is not None:
            condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        with translated(self._address):
            try:
                self._client.delete_blob(name, **condition)
            except HttpResponseError as error:
                if code_of(error) in _REFUSED:
                    return self._properties(name) is None
                if code_of(error) not in _MISSING:
                    raise
        return True

    def last_write(self, name: str) -> tuple[str, datetime] | None:
        """A blob's version, and when it was written by the service's clock."""
        with translated(self._address):
            found = self._properties(name)
        return None if found is None else (found.etag, found.last_modified)

    def names(self, prefix: str, limit: int | None = None) -> list[str]:
        """The blobs whose names begin so, sorted; with `limit` the first of them."""
        with translated(self._address):
            try:
                # Where an account has real folders, they are listed as well.
                found = self._client.list_blobs(
                    prefix, include=["metadata"], results_per_page=min(limit or _PAGE, _PAGE)
                )
                names = (
                    blob.name
                    for blob in found
                    if (blob.metadata or {}).get("hdi_isfolder") != "true"
                )
                return list(islice(names, limit))
            except HttpResponseError as error:
                if code_of(error) == _NO_CONTAINER:
                    return []
                raise

    def _write_if(self, name: str, content: bytes, **condition: Any) -> str | None:
        mark = uuid.uuid4().hex

        def send() -> str | None:
            try:
                # Of a size that is sent at once, so that no two writers' parts can mix.
                made = self._client.get_blob_client(name).upload_blob(
                    content,
                    metadata={_MARK: mark},
                    content_settings=ContentSettings(JSON),
                    **condition,
                )
            except HttpResponseError as error:
                if code_of(error) not in _REFUSED:
                    raise
                found = self._properties(name)
                ours = found is not None and found.metadata.get(_MARK) == mark
                return str(found.etag) if found is not None and ours else None
            return str(made["etag"])

        return self._writing(send)

    def _properties(self, name: str) -> BlobProperties | None:
        try:
            return self._client.get_blob_client(name).get_blob_properties()
        except HttpResponseError as error:
            if code_of(error) in _MISSING:
                return None
            raise

    def _writing(self, write: Callable[[], Result]) -> Result:
        """What `write` returns, into a container that is made where there is none."""
        with translated(self._address):
            try:
                return write()
            except HttpResponseError as error:
                if code_of(error) != _NO_CONTAINER:
                    raise
            self._make()
            return write()

    def _make(self) -> None:
        try:
            self._client.create_container()
        except HttpResponseError as error:
            if error.status_code in (401, 403):
                raise UnfitHost(
                    f"There is no container {self.url}, and this host may not create it: create "
                    "it, and give the host's identity the role Storage Blob Data Contributor there."
                ) from None
            if code_of(error) != "ContainerAlreadyExists":
                raise
