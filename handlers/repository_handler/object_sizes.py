"""Finds an object's size, which dulwich only knows after reading the object into memory.

Formats: gitformat-pack(5). Sizes are in bytes.
"""

from __future__ import annotations

import zlib
from itertools import count
from pathlib import Path
from typing import BinaryIO

from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, hex_to_sha
from dulwich.pack import Pack

from handlers.repository_handler.pack_watch import result_size

_OFS_DELTA, _REF_DELTA = 6, 7
_ENOUGH = 1024  # bytes that are enough for any compressed header
_SHA_BYTES = 20


def size_of(store: DiskObjectStore, sha: str) -> int:
    """The object's size. Raises KeyError if it is missing, ValueError or zlib.error if damaged."""
    name = hex_to_sha(ObjectID(sha.encode()))
    for pack in store.packs:
        try:
            offset = pack.index.object_offset(name)
        except KeyError:
            continue
        return _packed(pack, offset)
    try:
        with Path(store.path, sha[:2], sha[2:]).open("rb") as loose:
            head = _inflated(loose.read(_ENOUGH))
    except FileNotFoundError:
        raise KeyError(sha) from None
    return int(head.partition(b"\0")[0].split(b" ")[1])


def _packed(pack: Pack, offset: int) -> int:
    with Path(pack.data.path).open("rb") as file:
        file.seek(offset)
        first = file.read(1)[0]
        kind, size = first >> 4 & 7, first & 15
        if first & 0x80:
            size |= _number(file) << 4
        if kind not in (_OFS_DELTA, _REF_DELTA):
            return size
        if kind == _REF_DELTA:
            file.read(_SHA_BYTES)
        else:
            _number(file)  # skip the offset of its base: another format that ends the same way
        return result_size(_inflated(file.read(_ENOUGH)))


def _number(file: BinaryIO) -> int:
    value = 0
    for shift in count(0, 7):
        byte = file.read(1)[0]
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    return value


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, 64)
