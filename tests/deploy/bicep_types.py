"""Whether the objects of a Bicep file are what Azure's types say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tree_sitter import Node

from tests.deploy.azure_types import ResourceType
from tests.deploy.bicep import Resource, literal, properties, text

# Bicep's own, which no type has.
_OF_THE_LANGUAGE = ("parent", "scope", "dependsOn")
_PRIMITIVES = {"string": "string", "number": "int", "boolean": "bool"}


def findings(resource: Resource, known: ResourceType) -> list[str]:
    """What of a resource its type does not have, or has otherwise."""
    if resource.version != known.version:
        return [f"{resource.type}: {resource.version} is not the newest, {known.version}"]
    if resource.existing:
        return []
    own = {f"{resource.name}: no such property .{name}" for name in _OF_THE_LANGUAGE}
    found = _object(resource.body, known.body, known, resource.name)
    return [each for each in found if each not in own]


def _object(node: Node, described: dict[str, Any], known: ResourceType, at: str) -> Iterator[str]:
    if described["$type"] == "DiscriminatedObject":
        tried = [list(_object(node, each, known, at)) for each in described["elements"]]
        yield from min(tried, key=len)
        return
    types = {each["name"]: each for each in described["properties"]}
    others = described.get("additionalPropertiesType")
    given = properties(node)
    for name, value in given.items():
        if name in types:
            if "ReadOnly" in types[name].get("flags", ""):
                yield f"{at}: read-only {name}"
            yield from _value(value, types[name]["type"], known, f"{at}.{name}")
        elif others is None:
            yield f"{at}: no such property .{name}"
        else:
            yield from _value(value, others, known, f"{at}.{name}")
    for name, each in types.items():
        if "Required" in each.get("flags", "") and name not in given:
            yield f"{at}: without .{name}"


def _value(node: Node, kind: str, known: ResourceType, at: str) -> Iterator[str]:
    if node.type == "ternary_expression":
        for each in node.named_children[1:]:
            yield from _value(each, kind, known, at)
    elif node.type in {"array", "for_statement"}:
        if kind.endswith("[]"):
            items = node.named_children if node.type == "array" else node.named_children[-1:]
            for each in items:
                yield from _value(each, kind.removesuffix("[]"), known, f"{at}[]")
        elif kind not in {"any", "array"}:
            yield f"{at}: an array, not {kind}"
    elif node.type == "object":
        described = known.described(kind)
        if described is not None:
            yield from _object(node, described, known, at)
        elif kind not in {"any", "object"}:
            yield f"{at}: an object, not {kind}"
    elif node.type in _PRIMITIVES:
        options = {each.strip() for each in kind.split("|")}
        said = literal(node) if node.type == "string" else text(node)
        if (
            not options & {_PRIMITIVES[node.type], "any"}
            and said is not None
            and said not in options
        ):
            yield f"{at}: {said!r} is not one of {kind}"
