"""What a notebook's file shows without running it.

The file comes from somebody's repository: whatever it holds, reading it raises nothing but
`Unreadable`. Formats 2 to 4 are read; older minor differences do not matter here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlgate.launcher.cell_code import assigned_names, parsed
from mlgate.launcher.languages import foreign_language


class Unreadable(ValueError):
    """The file is not a notebook; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class CodeCell:
    """`number` counts code cells from 1."""

    number: int
    source: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Notebook:
    """`language` and `kernel` are the file's own words, None when it has none."""

    nbformat: int
    language: str | None
    kernel: str | None
    cells: tuple[CodeCell, ...]

    @property
    def parameters_cell(self) -> CodeCell | None:
        """The first cell tagged `parameters`, after which values are injected."""
        return next((cell for cell in self.cells if "parameters" in cell.tags), None)

    def parameter_names(self) -> frozenset[str] | None:
        """What that cell defines; None when there is none, or it is not Python."""
        if (cell := self.parameters_cell) is None:
            return None
        try:
            return frozenset(assigned_names(parsed(cell.source)))
        except SyntaxError:
            return None

    def syntax_errors(self) -> Iterator[tuple[CodeCell, SyntaxError]]:
        """Cells that are not Python 3, except those that are skipped or expected to raise."""
        for cell in self.cells:
            if cell.tags & {"skip-execution", "raises-exception"}:
                continue
            try:
                parsed(cell.source)
            except SyntaxError as error:
                yield cell, error

    def foreign_language(self, kernel: str | None = None) -> str | None:
        """The language when it is not Python, or else the kernel when it is another language's.

        `kernel` is the one to use instead of the notebook's.
        """
        return foreign_language(self.language, self.kernel, kernel)


def read_notebook(content: bytes) -> Notebook:
    """The notebook in a file; raises `Unreadable`."""
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unreadable("The file is not JSON.") from None
    if not isinstance(document, dict) or type(document.get("nbformat")) is not int:
        raise Unreadable("The file is JSON, but not a notebook: it has no `nbformat`.")
    if type(document.get("nbformat_minor", 0)) is not int:
        raise Unreadable("The notebook's `nbformat_minor` is not a number.")
    nbformat = document["nbformat"]
    if not 2 <= nbformat <= 4:
        raise Unreadable(f"The notebook has format {nbformat}; mlgate reads formats 2 to 4.")
    metadata = _mapping(document.get("metadata"))
    kernelspec = _mapping(metadata.get("kernelspec"))
    code = list(_code_cells(document, nbformat))
    language = (
        _word(_mapping(metadata.get("language_info")).get("name"))
        or _word(kernelspec.get("language"))
        or next((word for cell in code if (word := _word(cell.get("language")))), None)
    )
    cells = tuple(
        CodeCell(number, _text(each.get("source", each.get("input"))), _tags(each))
        for number, each in enumerate(code, 1)
    )
    for cell in cells:
        try:
            cell.source.encode()
        except UnicodeEncodeError:
            problem = f"Code cell {cell.number} has half a surrogate pair, which is not text."
            raise Unreadable(problem) from None
    return Notebook(nbformat, language, _word(kernelspec.get("name")), cells)


def _code_cells(document: Mapping[str, Any], nbformat: int) -> Iterator[Mapping[str, Any]]:
    """Cells are in the document; before format 4, in its worksheets."""
    sheets = [document] if nbformat >= 4 else _list(document.get("worksheets"))
    if nbformat >= 4 and not isinstance(document.get("cells"), list):
        raise Unreadable("The notebook has no list of `cells`.")
    for sheet in sheets:
        for cell in _list(_mapping(sheet).get("cells")):
            if _mapping(cell).get("cell_type") == "code":
                yield cell


def _tags(cell: Mapping[str, Any]) -> frozenset[str]:
    tags = _list(_mapping(cell.get("metadata")).get("tags"))
    return frozenset(tag for tag in tags if isinstance(tag, str))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "".join(part for part in _list(value) if isinstance(part, str))


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
