"""Requests and replies on the socket between a server and its model's process.

A frame is the length of the header and the length of the body (32 bits each, big-endian), then the
header, a JSON object, and the body. A connection carries one request at a time.

    request   {"path", "content_type"}
    reply     {"status", "content_type", "headers"}
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

LENGTHS = struct.Struct("!II")
MOST_HEADER = 1 << 16  # bytes
MOST_BODY = (1 << 32) - 1


def packed(header: Mapping[str, Any], body: bytes) -> bytes:
    """A frame; the body may have at most MOST_BODY bytes."""
    said = json.dumps(header).encode()
    return b"".join((LENGTHS.pack(len(said), len(body)), said, body))


def read(connection: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """The next frame; None if the other side has closed the connection or sent something else.

    Raises OSError.
    """
    lengths = _exactly(connection, LENGTHS.size)
    if lengths is None:
        return None
    of_header, of_body = LENGTHS.unpack(lengths)
    if of_header > MOST_HEADER:
        return None
    said = _exactly(connection, of_header)
    body = None if said is None else _exactly(connection, of_body)
    if said is None or body is None:
        return None
    try:
        header = json.loads(said)
    except (ValueError, RecursionError):
        return None
    return (header, body) if isinstance(header, dict) else None


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    """That many bytes. Memory grows with what arrives, not with the announced length."""
    found = bytearray()
    while len(found) < size:
        piece = connection.recv(min(size - len(found), 1 << 20))
        if not piece:
            return None
        found += piece
    return bytes(found)
