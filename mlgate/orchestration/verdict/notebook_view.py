"""The cells and plots of an executed notebook.

The file was written inside a run, by untrusted code. Whatever it holds, reading it raises nothing
and takes a bounded amount of memory, and every value is checked before it is used.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mlgate.orchestration.builds import RunState
from mlgate.orchestration.text import plain
from mlgate.orchestration.verdict.evidence import NOTEBOOK, Read, left

_MOST_WEIGHT = 128 << 20

SUCCEEDED = "succeeded"
FAILED = "failed"
SKIPPED = "skipped"
NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True)
class CellRecord:
    """One code cell of the original notebook; `number` counts them from 1.

    `status` is "succeeded", "failed", "skipped" or "not_run"; `seconds` None when unknown;
    `error` the plain traceback the cell shows, None when it shows none.
    """

    number: int
    status: str
    seconds: float | None
    source: str
    error: str | None

    @property
    def title(self) -> str:
        """The first line that is not blank."""
        return next((line.strip() for line in self.source.splitlines() if line.strip()), "")


@dataclass(frozen=True, slots=True)
class Image:
    """A plot: `cell` is None for one of a cell without a number; `base64` is well-formed."""

    cell: int | None
    media_type: str
    base64: str

    @property
    def data_uri(self) -> str:
        return f"data:{self.media_type};base64,{self.base64}"


@dataclass(frozen=True, slots=True)
class Images:
    """What fits, in the order of the notebook, and how many did not."""

    shown: tuple[Image, ...] = ()
    left_out: int = 0

    @property
    def size(self) -> int:
        return sum(len(image.base64) for image in self.shown)


@dataclass(frozen=True, slots=True)
class Notebook:
    """An executed notebook, read once; empty for a file that is not a notebook.

    `unseen`: there is a notebook, but it is too large to read here, or could not be read.
    """

    _code_cells: tuple[tuple[int | None, Mapping[str, Any]], ...] = ()
    unseen: bool = False

    @classmethod
    def of(cls, run: RunState, read: Read) -> Self:
        if left(run, NOTEBOOK) is None:
            return cls()
        ipynb = read(run)
        return cls(unseen=True) if ipynb is None else cls.parse(ipynb)

    @classmethod
    def parse(cls, ipynb: bytes) -> Self:
        if _weight(ipynb) > _MOST_WEIGHT:
            return cls(unseen=True)
        try:
            notebook = json.loads(ipynb)
        except (ValueError, RecursionError):
            return cls()
        return cls(tuple(_code_cells(notebook)))

    def cells(self) -> tuple[CellRecord, ...]:
        """The numbered code cells, in the order of the file.

        Only cells that the launcher numbered count: an injected parameters cell is not one of them.
        """
        records: dict[int, CellRecord] = {}
        for number, cell in self._code_cells:
            if number is None or number in records:
                continue
            note = _mapping(_mapping(cell.get("metadata")).get("mlgate"))
            status = note.get("status")
            records[number] = CellRecord(
                number=number,
                status=status if status in (SUCCEEDED, FAILED, SKIPPED) else NOT_RUN,
                seconds=_seconds(note.get("seconds")),
                source=plain(_text(cell.get("source"))),
                error=_error(cell),
            )
        return tuple(records.values())

    def images(self, *, size: int, count: int = 24) -> Images:
        """The plots among the outputs: at most `count`, of `size` characters of base64 together.

        One image for each output (PNG before JPEG before SVG). SVG is meant for an `<img>`, where
        nothing in it is executed or loaded.
        """
        shown: list[Image] = []
        left_out = 0
        for number, cell in self._code_cells:
            for output in _sequence(cell.get("outputs")):
                data = _mapping(_mapping(output).get("data"))
                found = next(filter(None, (read(number, data) for read in _READERS)), None)
                if found is None:
                    continue
                if len(shown) < count and len(found.base64) <= size:
                    shown.append(found)
                    size -= len(found.base64)
                else:
                    left_out += 1
        return Images(tuple(shown), left_out)


def _weight(ipynb: bytes) -> int:
    """About how many bytes it takes in memory once parsed; at most about half more.

    A text with a single emoji takes four bytes a character while it is parsed, and a few bytes of
    JSON can be many objects.
    """
    text = len(ipynb) * (1 if ipynb.isascii() else 4)
    return text + 64 * (ipynb.count(b",") + ipynb.count(b"[")) + 200 * ipynb.count(b"{")


def _code_cells(notebook: object) -> Iterator[tuple[int | None, Mapping[str, Any]]]:
    for item in _sequence(_mapping(notebook).get("cells")):
        cell = _mapping(item)
        if cell.get("cell_type") == "code":
            note = _mapping(_mapping(cell.get("metadata")).get("mlgate"))
            number = note.get("number")
            yield (number if type(number) is int and number > 0 else None), cell


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: object) -> str:
    """A multi-line string of nbformat: one string, or a list of lines."""
    if isinstance(value, str):
        return value
    return "".join(line for line in _sequence(value) if isinstance(line, str))


def _seconds(value: object) -> float | None:
    """JSON's NaN and Infinity, which Python reads, are not durations; neither is a week or more,
    whose integer might not even be a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 7 * 24 * 3600 else None


def _error(cell: Mapping[str, Any]) -> str | None:
    for item in _sequence(cell.get("outputs")):
        output = _mapping(item)
        if output.get("output_type") != "error":
            continue
        lines = [line for line in _sequence(output.get("traceback")) if isinstance(line, str)]
        summary = ": ".join(
            part for key in ("ename", "evalue") if isinstance(part := output.get(key), str)
        )
        return plain("\n".join(lines)) or plain(summary) or None
    return None


def _png(cell: int | None, data: Mapping[str, Any]) -> Image | None:
    return _bitmap(cell, data, "image/png", b"\x89PNG\r\n\x1a\n")


def _jpeg(cell: int | None, data: Mapping[str, Any]) -> Image | None:
    return _bitmap(cell, data, "image/jpeg", b"\xff\xd8\xff")


def _bitmap(
    cell: int | None, data: Mapping[str, Any], media_type: str, magic: bytes
) -> Image | None:
    text = "".join(_text(data.get(media_type)).split())
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Image(cell, media_type, text) if content.startswith(magic) else None


def _svg(cell: int | None, data: Mapping[str, Any]) -> Image | None:
    text = plain(_text(data.get("image/svg+xml")))
    if "<svg" not in text:
        return None
    return Image(cell, "image/svg+xml", base64.b64encode(text.encode()).decode())


_READERS = (_png, _jpeg, _svg)
