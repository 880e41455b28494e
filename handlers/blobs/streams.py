"""Blobs that need not fit in memory, and listings of many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobPrefix,
    ContentSettings,
)

from handlers.blobs.container import MISSING, NO_CONTAINER, REFUSED, Container, is_folder
from handlers.blobs.faults import code_of, translated
from mlgate.orchestration.errors import Temporary

_PIECE = 8 << 20  # bytes that are sent at once; a blob has 50,000 such pieces at most
# Bytes that are read at once. The SDK's answers refer to themselves, so several stay in memory
# until the garbage collector removes them.
_READ = 4 << 20
_BYTES = ContentSettings("application/octet-stream")


def write_streamed(
    container: Container, name: str, parts: Iterable[bytes], *, over: bool = False
) -> None:
    """Write a blob, which appears once `parts` have ended, and does not when they raise.

    An existing blob stays, unless `over`. For blobs that have the same content whatever host writes
    them: another writer's blob counts as written.
    """
    blob, sent = container.client.get_blob_client(name), list[BlobBlock]()
    last = b""
    for piece in _pieces(parts):
        if last:
            sent.append(_sent(container, blob, last))
        last = piece

    def finish() -> None:
        try:
            if sent:
                condition = None if over else MatchConditions.IfMissing
                blob.commit_block_list(sent, content_settings=_BYTES, match_condition=condition)
            else:
                blob.upload_blob(last, overwrite=over, content_settings=_BYTES)
        except HttpResponseError as error:
            # Committing a blob drops the pieces that others have sent for it.
            others = code_of(error) in (*REFUSED, "InvalidBlockList")
            if over or not others or container.last_write(name) is None:
                raise

    if sent:
        sent.append(_sent(container, blob, last))
    container.writing(finish)


def read_streamed(container: Container, name: str) -> Iterator[bytes] | None:
    """A blob's content in pieces, the first of which is read already; None when it is missing.

    Raises `Temporary` if the blob is removed or replaced while it is read.
    """
    first = _piece(container, name, 0)
    return None if first is None else _from(container, name, *first)


def sizes(container: Container, folder: str) -> dict[str, int]:
    """The sizes in bytes of the blobs below a folder, by their names in it."""
    with translated(container.address):
        try:
            return {
                blob.name.removeprefix(f"{folder}/"): blob.size
                for blob in container.client.list_blobs(f"{folder}/", include=["metadata"])
                if not is_folder(blob)
            }
        except HttpResponseError as error:
            if code_of(error) == NO_CONTAINER:
                return {}
            raise


def folders(container: Container) -> list[str]:
    """The top folders: what comes before the first slash in the names of blobs."""
    with translated(container.address):
        try:
            found = container.client.walk_blobs(delimiter="/")
            return [each.name.rstrip("/") for each in found if isinstance(each, BlobPrefix)]
        except HttpResponseError as error:
            if code_of(error) == NO_CONTAINER:
                return []
            raise


def _from(container: Container, name: str, piece: bytes, version: str) -> Iterator[bytes]:
    offset = 0
    while piece:
        yield piece
        offset += len(piece)
        if len(piece) < _READ:
            return
        following = _piece(container, name, offset, version)
        if following is None:
            raise Temporary(f"{container.url}/{name} changed while it was read.")
        piece, _ = following


def _piece(
    container: Container, name: str, offset: int, version: str | None = None
) -> tuple[bytes, str] | None:
    """A piece, and the blob's version; None when the blob, or that version of it, is missing.

    The SDK's own chunked reading is not used: it takes more memory than the blob has bytes.
    """
    same: dict[str, Any] = {}
    if version is not None:
        same = {"etag": version, "match_condition": MatchConditions.IfNotModified}
    with translated(container.address):
        try:
            found = container.client.download_blob(name, offset, _READ, **same)
            return found.readall(), str(found.properties.etag)
        except HttpResponseError as error:
            if code_of(error) == "InvalidRange":
                return b"", version or ""  # the blob ends there
            if code_of(error) in (*MISSING, *REFUSED):
                return None
            raise


def _sent(container: Container, blob: BlobClient, piece: bytes) -> BlobBlock:
    # Ids that differ for each writer; the service requires them to have the same length.
    block = BlobBlock(uuid4().hex)
    container.writing(lambda: blob.stage_block(block.id, piece))
    return block


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same content in pieces of one size, except for the last."""
    kept = bytearray()
    for part in parts:
        kept += part
        while len(kept) > _PIECE:
            yield bytes(kept[:_PIECE])
            del kept[:_PIECE]
    yield bytes(kept)
