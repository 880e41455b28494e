"""Files that a notebook reads by a literal path, as far as its code shows.

Only what is certain counts: a well-known reader is called with a plain string, unconditionally;
nothing in the notebook changes the working directory or could bring files along; and the file's
name appears nowhere else, so that no cell writes or tests for it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mlgate.launcher.cell_code import parsed
from mlgate.orchestration.planning.notebooks import CodeCell

_READERS = frozenset(
    {
        "read_csv",
        "read_excel",
        "read_feather",
        "read_json",
        "read_parquet",
        "read_pickle",
        "read_table",
        "genfromtxt",
        "loadtxt",
        "imread",
    }
)
_BRINGS_FILES = re.compile(
    r"chdir|^[ \t]*%?cd\b|^[ \t]*!(?![ \t]*pip )|%%|subprocess|os\.system|extract|unpack|retrieve|"
    r"download|requests",
    re.MULTILINE,
)
_CONDITIONAL = (
    ast.Try,
    ast.If,
    ast.While,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
)


def read_files(cells: Sequence[CodeCell]) -> Iterator[tuple[int, str]]:
    """The number of the cell and the path, for each such call."""
    runnable = [cell for cell in cells if "skip-execution" not in cell.tags]
    code = "\n".join(cell.source for cell in runnable)
    if _BRINGS_FILES.search(code):
        return
    for cell in runnable:
        if "raises-exception" in cell.tags:
            continue
        try:
            tree = parsed(cell.source)
        except SyntaxError:
            continue
        for node in _unconditional(tree):
            path = _path_read(node)
            if path is not None and code.count(PurePosixPath(path).name) == 1:
                yield cell.number, path


def _unconditional(tree: ast.Module) -> Iterator[ast.AST]:
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if not isinstance(node, _CONDITIONAL):
            yield node
            todo.extend(ast.iter_child_nodes(node))


def _path_read(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call) or not node.args:
        return None
    first = node.args[0]
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str) or not first.value:
        return None
    if isinstance(node.func, ast.Attribute) and node.func.attr in _READERS:
        return first.value
    if isinstance(node.func, ast.Name) and node.func.id == "open":
        has_mode = len(node.args) > 1 or any(word.arg == "mode" for word in node.keywords)
        return None if has_mode else first.value
    return None
