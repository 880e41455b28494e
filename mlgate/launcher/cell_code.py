"""Parses the Python in a code cell, without IPython's own syntax.

IPython is not needed, because hosts that only read notebooks don't have it. Only lines at which
Python's parser stops are examined. Whatever parses is Python, so a `%` in an expression or a string
stays as it is.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

# Line magics, shell lines, help and automatic calls at the start of a statement; assigned magics
# and shell lines; and help after a name.
_IPYTHON_LINE = re.compile(r"([%!?,;/]|[\w.,\s()\[\]]*=\s*[%!]|[%\w.*\[\]'\"]+\?\??$)")
# Cell magics whose body is Python of this kernel.
_PYTHON_CELL = re.compile(r"%%(time|timeit|capture|prun|memit|mprun|lprun)\b")
# Magics that IPython accepts without `%` in a cell of one line.
_AUTOMAGIC = re.compile(
    r"(pip|conda|mamba|cd|ls|ll|pwd|cat|cp|mv|rm|mkdir|rmdir|run|time|timeit|matplotlib|env|"
    r"load_ext|reload_ext|who|whos|store|config|history)(\s|$)"
)
_INSIDES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def parsed(source: str) -> ast.Module:
    """The cell's Python as a tree, with IPython lines as `pass`; empty for a cell in another
    language (`%%bash`).

    Raises SyntaxError, with the line in the cell, for code that IPython would not accept either.
    """
    # Not splitlines(): Python knows fewer line ends, and the line numbers must agree.
    lines = textwrap.dedent(source).replace("\r\n", "\n").split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    while first < len(lines) and lines[first].startswith("%%"):
        if not _PYTHON_CELL.match(lines[first]):
            return ast.Module([], [])
        lines[first] = ""
        first += 1
    while True:
        try:
            return _parse("\n".join(lines))
        except SyntaxError as error:  # noqa: PERF203 -- raised once for each IPython line
            at = (error.lineno or 0) - 1
            if not 0 <= at < len(lines):
                raise
            line = lines[at].strip()
            alone = sum(bool(each.strip()) for each in lines) == 1
            if not _IPYTHON_LINE.match(line) and not (alone and _AUTOMAGIC.match(line)):
                raise
            _blank(lines, at)


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about "\d" in strings; executing the cell shows them
        try:
            return ast.parse(text)
        except (ValueError, RecursionError, MemoryError):
            # NUL bytes and absurd nesting: Python could not compile it either.
            raise SyntaxError("the cell cannot be parsed") from None


def _blank(lines: list[str], at: int) -> None:
    """Make one line `pass`, and empty the ones that a backslash joins to it."""
    line = lines[at]
    lines[at] = line[: len(line) - len(line.lstrip())] + "pass"
    while line.rstrip().endswith("\\") and at + 1 < len(lines):
        at += 1
        line, lines[at] = lines[at], ""


def assigned_names(tree: ast.Module) -> set[str]:
    """The names that the statements bind, except those inside functions and classes."""
    names: set[str] = set()
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, _INSIDES):
            continue
        todo.extend(ast.iter_child_nodes(node))
    return names
