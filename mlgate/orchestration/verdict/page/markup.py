"""HTML in which text cannot become markup: a child that is not `Markup` is escaped.

The report shows what untrusted repositories print, so escaping is not left to the places that
write it. A template engine would be one more package in the Function.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

from mlgate.orchestration.text import plain

_VOID = frozenset({"br", "img", "link", "meta"})


class Markup(str):
    """A piece of finished HTML."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Markup:
    """An element. In the names of attributes `_` is `-`, and one at the end is dropped.

    An attribute that is None or False is left out; True has no value.
    """
    opening = name + "".join(
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{fragment(*children)}</{name}>")


def fragment(*children: Child) -> Markup:
    """The children one after the other; None is nothing."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return html.escape(plain(str(child)))
    return fragment(*child)


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(plain(str(value)))}"'
