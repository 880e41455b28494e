"""The text of a message body, raw or wrapped by the .NET DataContract serializer.

The Azure DevOps task wraps by default: what arrives is .NET binary XML ([MC-NBFX]) of one string
element. Cutting from the first `{` to the last `}` does not do, as a length byte may be either of
them; so the records are read. A wrapped body is never valid UTF-8, so the two cannot be confused.
"""

from __future__ import annotations

from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.findings import Code, finding

_NAMESPACE = b"http://schemas.microsoft.com/2003/10/Serialization/"
_END_ELEMENT = 0x01


def _element(name: bytes) -> bytes:
    """ShortElement with a ShortXmlnsAttribute: how the serializer opens its one element."""
    return b"\x40" + bytes([len(name)]) + name + b"\x08" + bytes([len(_NAMESPACE)]) + _NAMESPACE


_STRING = _element(b"string")
_BYTES = _element(b"base64Binary")

# Even record type -> (bytes of its length field, codec). The odd type after each is the same
# record with the element's end included.
_SIZED = {
    0x98: (1, "utf-8"),
    0x9A: (2, "utf-8"),
    0x9C: (4, "utf-8"),
    0xB6: (1, "utf-16-le"),
    0xB8: (2, "utf-16-le"),
    0xBA: (4, "utf-16-le"),
    0x9E: (1, "utf-8"),  # Bytes8, 16, 32: what a byte[] sender put there is UTF-8
    0xA0: (2, "utf-8"),
    0xA2: (4, "utf-8"),
}
_FIXED = {0x80: b"0", 0x82: b"1", 0xA8: b""}


def unwrap(body: bytes) -> str:
    """The text of a body: UTF-8 with or without BOM, or a DataContract string or byte[].

    Raises `BadMessage` for anything else.
    """
    for header in (_STRING, _BYTES):
        if body.startswith(header):
            return _text_of_records(body[len(header) :])
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadMessage(
            [
                finding(
                    Code.NOT_TEXT,
                    "",
                    f"The body is not UTF-8 (byte {error.start}), nor a DataContract string.",
                    "Send JSON as UTF-8; the task's `useDataContractSerializer` may be on or off.",
                )
            ]
        ) from None


def _text_of_records(data: bytes) -> str:
    """The content of the text records up to the element's end, where the body must end too.

    A byte[] may come as two records, the second with what did not fill a base64 group and so
    perhaps the rest of a character: neighbors of one codec are put together, then decoded.
    """
    pieces: list[tuple[str, bytearray]] = []
    at = 0
    while at < len(data):
        kind = data[at]
        at += 1
        if kind == _END_ELEMENT:
            break
        even = kind & 0xFE
        if even in _FIXED:
            codec, content = "utf-8", _FIXED[even]
        elif even in _SIZED:
            width, codec = _SIZED[even]
            # A 4-byte length is signed; a negative one, read unsigned, is longer than any body.
            end = at + width + int.from_bytes(data[at : at + width], "little")
            if end > len(data):
                raise _broken("it ends in the middle of a text record")
            content = data[at + width : end]
            at = end
        else:
            raise _broken(f"record type {kind:#04x} is not text")
        if not pieces or pieces[-1][0] != codec:
            pieces.append((codec, bytearray()))
        pieces[-1][1].extend(content)
        if kind != even:
            break
    else:
        raise _broken("its end is missing")
    if at != len(data):
        raise _broken("something follows its end")
    try:
        text = "".join(content.decode(codec) for codec, content in pieces)
    except UnicodeDecodeError as error:
        raise _broken(f"its text is not {error.encoding}") from None
    return text.removeprefix("\ufeff")


def _broken(why: str) -> BadMessage:
    return BadMessage(
        [
            finding(
                Code.BAD_WRAPPING,
                "",
                f"The body begins as a DataContract string, but {why}.",
                "Send the body unchanged, or without the serializer: "
                "`useDataContractSerializer: false`.",
            )
        ]
    )
