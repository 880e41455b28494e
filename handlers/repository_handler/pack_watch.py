"""Watches packs on their way to dulwich, which holds each object in memory, some in several copies.

A pack has each object's size before its content, so an object that is too large is refused after
its first bytes. Format: gitformat-pack(5); sizes are in bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from typing import Any

from dulwich.object_store import DiskObjectStore
from dulwich.pack import Pack

from handlers.repository_handler.trees import TooLarge

LARGEST_OBJECT = 256 << 20  # dulwich needs about three times as much memory
_OFS_DELTA, _REF_DELTA = 6, 7
_SHA_BYTES = 20
_HEAD_BYTES = 12  # "PACK", version, number of objects
_INFLATED_AT_ONCE = 1 << 16
_SIZES_OF_DELTA = 20  # bytes that are enough for both sizes

_Taking = Generator[None, bytes, bytes]


class WatchedStore(DiskObjectStore):
    """Raises `TooLarge` for a pack with an object of more than `LARGEST_OBJECT`."""

    def add_thin_pack(
        self,
        read_all: Callable[[int], bytes],
        read_some: Callable[[int], bytes] | None,
        *arguments: Any,
        **options: Any,
    ) -> Pack:
        watch = PackWatch(LARGEST_OBJECT)

        def watched(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
            def read_watched(size: int) -> bytes:
                data = read(size)
                watch.feed(data)
                return data

            return read_watched

        some = None if read_some is None else watched(read_some)
        return super().add_thin_pack(watched(read_all), some, *arguments, **options)


class PackWatch:
    """Receives a pack in pieces; `feed` raises `TooLarge` for an object of more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._data = b""
        self._steps = self._objects()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        self._steps.send(data)

    def _objects(self) -> Generator[None, bytes, None]:
        try:
            head = yield from self._take(_HEAD_BYTES)
            if head.startswith(b"PACK"):
                for _ in range(int.from_bytes(head[8:], "big")):
                    yield from self._object()
        except zlib.error:
            pass  # not a pack, which its reader will notice as well
        while True:  # only the pack's checksum is left
            yield

    def _object(self) -> Generator[None, bytes, None]:
        byte = (yield from self._take(1))[0]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = (yield from self._take(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
        self._require(size)
        if kind == _REF_DELTA:
            yield from self._take(_SHA_BYTES)
        elif kind == _OFS_DELTA:
            while (yield from self._take(1))[0] & 0x80:
                pass
        begins = yield from self._inflate()
        if kind in (_REF_DELTA, _OFS_DELTA):
            self._require(result_size(begins))

    def _inflate(self) -> _Taking:
        """Skip a compressed stream; returns the first bytes of its content."""
        stream, begins = zlib.decompressobj(), b""
        while not stream.eof:
            self._data = self._data or (yield)
            content = stream.decompress(self._data, _INFLATED_AT_ONCE)
            begins += content[: _SIZES_OF_DELTA - len(begins)]
            self._data = stream.unused_data if stream.eof else stream.unconsumed_tail
        return begins

    def _take(self, count: int) -> _Taking:
        while len(self._data) < count:
            self._data += yield
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def _require(self, size: int) -> None:
        if size > self._most:
            raise too_large()


def too_large() -> TooLarge:
    return TooLarge(
        f"The repository has a file of more than {LARGEST_OBJECT >> 20} MiB, the most that a host "
        "without the git program can read: install git there, or keep the file out of the "
        "repository."
    )


def result_size(delta: bytes) -> int:
    """The size of a delta's result, from its first bytes: the size of its base, then this one."""
    numbers, value, shift = list[int](), 0, 0
    for byte in delta:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers.append(value)
            value = shift = 0
    return numbers[1] if len(numbers) > 1 else 0
