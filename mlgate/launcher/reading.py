"""Reads a notebook of any format, and refuses what is not one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlgate.launcher.jupyter import jupyter
from mlgate.launcher.log import Log
from mlgate.launcher.text import one_line
from mlgate.launcher.values import Failed, Notebook


def read_notebook(path: Path, log: Log) -> Notebook:
    """The notebook in format 4, without outputs. Raises `Failed` (`invalid`) if it is not one."""
    try:
        content = path.read_bytes()
    except OSError:
        raise Failed("invalid", f"there is no notebook {path.name} here") from None
    if content.startswith(b"version https://git-lfs"):
        raise Failed("invalid", f"{path.name} is a Git LFS pointer: set `repository.lfs`")
    nbformat = jupyter("nbformat")
    try:
        notebook: Notebook = nbformat.reader.reads(content.decode("utf-8-sig"))
        check_format(notebook)
        if notebook.nbformat < 4:
            log.warn(f"the notebook was upgraded from format {notebook.nbformat} to 4")
        language = old_language(notebook)
        notebook = nbformat.convert(notebook, 4)
        for part in (notebook, *notebook.cells):
            part.metadata = part.get("metadata") or nbformat.NotebookNode()
        notebook.metadata.pop("widgets", None)
        if language and "language_info" not in notebook.metadata:
            notebook.metadata["language_info"] = {"name": language}
        for cell in notebook.cells:
            cell.setdefault("source", "")
        check_parts(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
    except Exception as error:  # noqa: BLE001 -- other content can fail in any way
        raise Failed("invalid", f"{path.name} is not a readable notebook: {error}") from None
    return notebook


def old_language(notebook: Notebook) -> str | None:
    """The language of a notebook before format 4, in which each code cell names its own."""
    sheets = notebook.get("worksheets") or []
    cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
    return next((cell["language"] for cell in cells if cell.get("language")), None)


def check_format(notebook: Notebook) -> None:
    """Raises ValueError if the numbers of the notebook's format are not numbers."""
    for name in ("nbformat", "nbformat_minor"):
        if type(value := notebook.get(name, 0)) is not int:
            raise ValueError(f"`{name}` cannot be {one_line(repr(value), 80)}")


def check_parts(notebook: Notebook) -> None:
    """Raises ValueError, with a message, for a needed part that has a wrong type."""

    def check(what: str, value: Any, *kinds: type) -> None:
        if not isinstance(value, kinds):
            shown = one_line(repr(value), 80)
            raise ValueError(f"{what} cannot be {shown}")  # noqa: TRY004 -- it is data

    nothing = type(None)
    for name in ("kernelspec", "language_info"):
        part = notebook.metadata.get(name)
        check(f"`metadata.{name}`", part, dict, nothing)
        for word in ("name", "language"):
            check(f"`metadata.{name}.{word}`", (part or {}).get(word), str, nothing)
    for number, cell in enumerate(notebook.cells, 1):
        check(f"the metadata of cell {number}", cell.metadata, dict)
        check(f"the tags of cell {number}", cell.metadata.get("tags"), list, nothing)
        check(f"the source of cell {number}", cell.source, str)
        if cell.cell_type == "code":
            try:
                cell.source.encode()
            except UnicodeEncodeError:
                raise ValueError(f"cell {number} has half a surrogate pair, not text") from None
        if cell.cell_type not in ("code", "markdown", "raw"):
            raise ValueError(f"cell {number} has an unknown type")
