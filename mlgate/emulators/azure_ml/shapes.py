"""Checks JSON bodies as the service's deserializer does, with the same error messages.

The service refuses unknown fields ("Could not find member 'assetVersion' on object of type
'UriFolderJobOutput'.": test_command_job_register_output), so the emulator does too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlgate.emulators.azure_ml.exchange import Detail


@dataclass(frozen=True, slots=True)
class Shape:
    """An object; `type` is the service's name for it in error messages."""

    type: str
    fields: Mapping[str, Reader]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with any names."""

    of: Reader


@dataclass(frozen=True, slots=True)
class ListOf:
    of: Reader


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several objects, chosen by the value of `by`."""

    type: str
    by: str
    shapes: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value."""


Reader = Shape | MapOf | ListOf | Choice | Anything | type[str] | type[bool] | type[int]


@dataclass(slots=True)
class Complaints:
    """What is wrong with a body, in the order in which it was found."""

    details: list[Detail] = field(default_factory=list)

    def add(self, message: str, path: str) -> None:
        self.details.append(Detail("RequestInvalid", f"{message} Path '{path}'."))


def check(value: Any, reader: Reader, complaints: Complaints, path: str = "") -> None:
    """Check a value against a reader; null is accepted for fields that are not required."""
    if isinstance(reader, Anything):
        return
    if isinstance(reader, type):
        wrong = not isinstance(value, reader) or (reader is int and isinstance(value, bool))
        if wrong:
            complaints.add(f"Could not convert to {reader.__name__}: {value!r:.80}.", path)
    elif isinstance(reader, ListOf):
        if not isinstance(value, list):
            complaints.add("A list is expected.", path)
            return
        for number, item in enumerate(value):
            check(item, reader.of, complaints, f"{path}[{number}]")
    elif not isinstance(value, dict):
        complaints.add("An object is expected.", path)
    elif isinstance(reader, MapOf):
        for name, item in value.items():
            check(item, reader.of, complaints, f"{path}.{name}".lstrip("."))
    elif isinstance(reader, Choice):
        chosen = reader.shapes.get(value.get(reader.by, ""))
        if chosen is None:
            unknown = f"{reader.by} {value.get(reader.by)!r:.80} is not known for {reader.type}."
            complaints.add(unknown, path)
        else:
            check(value, chosen, complaints, path)
    else:
        _check_object(value, reader, complaints, path)


def _check_object(value: dict[str, Any], shape: Shape, complaints: Complaints, path: str) -> None:
    for name, item in value.items():
        inner = f"{path}.{name}".lstrip(".")
        if name not in shape.fields:
            complaints.add(
                f"Could not find member '{name}' on object of type '{shape.type}'.", inner
            )
        elif item is not None:
            check(item, shape.fields[name], complaints, inner)
    for name in shape.required:
        if value.get(name) is None:
            complaints.add(f"Required property '{name}' not found in JSON.", path)
