"""Injects parameters the way papermill does."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlgate.launcher.cell_code import assigned_names, parsed
from mlgate.launcher.values import Failed


def literal(value: Any) -> str:
    """A JSON value as Python source."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def tags(cell: Mapping[str, Any]) -> Sequence[str]:
    return cell["metadata"].get("tags") or ()


def inject(cells: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """The cells with one for the parameters, in place of any from an earlier run; and warnings."""
    if not parameters:
        return list(cells), []
    if wrong := [name for name in parameters if not name.isidentifier() or keyword.iskeyword(name)]:
        raise Failed("invalid", f"parameters must be Python names, unlike {', '.join(wrong)}")
    code = [(i, c) for i, c in enumerate(cells) if c["cell_type"] == "code"]
    tagged = next((i for i, c in code if "parameters" in tags(c)), None)
    earlier = next((i for i, c in code if "injected-parameters" in tags(c)), None)
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "injected-parameters",
        "metadata": {"tags": ["injected-parameters"]},
        "execution_count": None,
        "outputs": [],
        "source": "\n".join(
            ["# Parameters", *(f"{name} = {literal(value)}" for name, value in parameters.items())]
        ),
    }
    if earlier is not None:
        injected = [*cells[:earlier], cell, *cells[earlier + 1 :]]
    else:
        at = 0 if tagged is None else tagged + 1
        injected = [*cells[:at], cell, *cells[at:]]
    if tagged is None:
        return injected, ["no cell is tagged `parameters`: the parameters may have no effect"]
    try:
        names = assigned_names(parsed(cells[tagged]["source"]))
    except SyntaxError:  # executing the cell will report it
        return injected, []
    unknown = sorted(set(parameters) - names)
    text = "parameter `{}` is not defined in the cell tagged `parameters`"
    return injected, [text.format(name) for name in unknown]
