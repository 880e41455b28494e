"""A dataclass's fields as JSON values, one by one; fields with their default value are left out.

So a store can keep large values apart, and skip fields that only a newer version knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter

Raw = Mapping[str, Any]  # JSON values by a field's name


class Fields:
    """The fields of `kind`, except those in `without`."""

    def __init__(self, kind: type, without: Iterable[str] = ()) -> None:
        self._types = get_type_hints(kind)
        known = [each for each in fields(kind) if each.name not in without]
        self.names = tuple(each.name for each in known)
        self._defaults = {each.name: _default(each) for each in known}

    def has_default(self, name: str, value: object) -> bool:
        default = self._defaults[name]
        return bool(default is value or default == value)

    def default(self, name: str) -> object:
        """Raises ValueError if the field has no default."""
        if self._defaults[name] is MISSING:
            raise ValueError(f"{name} is missing")
        return self._defaults[name]

    def as_json(self, name: str, value: object) -> Any:
        return _adapter(self._types[name]).dump_python(value, mode="json", exclude_defaults=True)

    def from_json(self, name: str, raw: object) -> Any:
        """Raises ValueError for what this version cannot read."""
        return _adapter(self._types[name]).validate_python(raw)

    def all_as_json(self, value: object) -> dict[str, Any]:
        return {
            name: self.as_json(name, held)
            for name in self.names
            if not self.has_default(name, held := getattr(value, name))
        }

    def all_from_json(self, raw: Raw) -> dict[str, Any]:
        """The arguments that make the value; unknown fields are skipped."""
        return {name: self.from_json(name, raw[name]) for name in self.names if name in raw}

    def unknown(self, raw: Raw) -> dict[str, Any]:
        """The fields that only a newer version knows."""
        return {name: value for name, value in raw.items() if name not in self._defaults}


def _default(field: Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
