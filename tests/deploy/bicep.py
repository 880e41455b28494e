"""Bicep files as trees of the public grammar, and what can be told of them without a compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_DECLARATIONS = {
    "parameter_declaration",
    "variable_declaration",
    "resource_declaration",
    "module_declaration",
    "type_declaration",
    "output_declaration",
}


def text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def literal(node: Node) -> str | None:
    """The content of a string without interpolation."""
    parts = node.named_children
    if node.type != "string" or any(part.type != "string_content" for part in parts):
        return None
    return "".join(text(part) for part in parts)


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def body(declaration: Node) -> Node:
    """The object that a resource or module is described by, within its condition and loop."""
    found = declaration.named_children[-1]
    while found.type in {"for_statement", "if_statement"}:
        found = found.named_children[-1]
    return found


def properties(node: Node) -> dict[str, Node]:
    """The values of an object's properties by name; nested resources are none."""
    found = {}
    for each in node.named_children:
        if each.type == "object_property" and len(each.named_children) == 2:
            key, value = each.named_children
            found[literal(key) or text(key)] = value
    return found


@dataclass(frozen=True)
class Resource:
    """`type` is the full one, `version` that of the outermost."""

    name: str
    type: str
    version: str
    existing: bool
    body: Node


class Bicep:
    """One file; a params file is read as the variables that its params are like."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = path.read_text("utf-8")
        plain = self.source
        if path.suffix == ".bicepparam":  # the grammar knows no such files
            plain = re.sub(r"^using .*$", "", plain, flags=re.MULTILINE)
            plain = re.sub(r"^param ", "var ", plain, flags=re.MULTILINE)
        self.root = _PARSER.parse(plain.encode()).root_node

    def errors(self) -> list[str]:
        return [
            f"{self.path.name}:{node.start_point[0] + 1}: {text(node)[:60]}"
            for node in walk(self.root)
            if node.type == "ERROR" or node.is_missing
        ]

    def declared(self, kind: str) -> dict[str, Node]:
        """The declarations of a kind, such as `parameter`, by name."""
        return {
            text(next(part for part in node.named_children if part.type == "identifier")): node
            for node in walk(self.root)
            if node.type == f"{kind}_declaration"
        }

    def required(self) -> set[str]:
        """The params without a default."""
        return {
            name
            for name, node in self.declared("parameter").items()
            if not any(child.type == "=" for child in node.children)
        }

    def resources(self) -> Iterator[Resource]:
        yield from _resources(self.root, "", "")

    def unknown_names(self, functions: set[str]) -> list[str]:
        """Names that nothing declares, and functions that are none of `functions`."""
        known = {name for kind in _DECLARATIONS for name in self.declared(kind.partition("_")[0])}
        found = []
        for node in walk(self.root):
            if node.type in {"loop_variable", "loop_enumerator"}:
                known.add(text(node))
            elif node.type in {"for_statement", "lambda_expression"}:
                known.add(text(node.named_children[0]))
        for node in walk(self.root):
            if node.type == "property_identifier":
                expected = functions if _is_called(node) else {text(node)}
            elif node.type != "identifier" or _is_first_of(node, "object_property"):
                continue
            else:
                expected = functions if _is_called(node) else known | functions
            if text(node) not in expected:
                found.append(f"{self.path.name}:{node.start_point[0] + 1}: {text(node)}")
        return found


def _resources(node: Node, parent: str, version: str) -> Iterator[Resource]:
    for child in node.named_children:
        if child.type != "resource_declaration":
            yield from _resources(child, parent, version)
            continue
        name, described = child.named_children[:2]
        kind, _, own = (literal(described) or "").partition("@")
        full = f"{parent}/{kind}" if parent and "." not in kind else kind
        existing = any(text(part) == "existing" for part in child.children)
        yield Resource(text(name), full, own or version, existing, body(child))
        yield from _resources(child, full, own or version)


def _is_first_of(node: Node, kind: str) -> bool:
    parent = node.parent
    return parent is not None and parent.type == kind and parent.named_children[0] == node


def _is_called(node: Node) -> bool:
    """Whether it names what is called: `f` in `f(x)` and in `x.f()`."""
    if node.type == "property_identifier" and node.parent is not None:
        return _is_first_of(node.parent, "call_expression")
    return _is_first_of(node, "call_expression")
