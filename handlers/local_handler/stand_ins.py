"""What an import meets in place of things of a kernel, and may use in part.

`reasons` receives why an import that used more is refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Process(int):
    """The id of this process, whose references can be counted."""


class Variables(dict[bytes, bytes]):
    """The environment's variables, which record what is read."""

    def __init__(
        self, values: Mapping[bytes, bytes], differs: Callable[[str], bool], reasons: list[str]
    ) -> None:
        super().__init__(values)
        self._differs = differs
        self._reasons = reasons

    def __getitem__(self, key: bytes) -> bytes:
        self._read(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._read(key)
        return super().__contains__(key)

    def __iter__(self) -> Iterator[bytes]:
        self._reasons.append("read all variables")
        return super().__iter__()

    def _read(self, key: object) -> None:
        if isinstance(key, bytes) and self._differs(os.fsdecode(key)):
            self._reasons.append(f"read the variable {os.fsdecode(key)}")


class Shell:
    """Replaces the notebook's shell. All that can be known of it is that it has a kernel."""

    def __init__(self, reasons: list[str]) -> None:
        self._reasons = reasons

    def __getattr__(self, name: str) -> Shell:
        if name != "kernel":
            self._reasons.append(f"asked for {name} of the notebook's shell")
            raise AttributeError(name)
        return Shell(self._reasons)


class Stream:
    """A kernel's standard stream that no import may write to."""

    def __init__(self, replaces: str, reasons: list[str]) -> None:
        """`replaces` is its name in `sys`."""
        self.replaces = replaces
        self._reasons = reasons

    def __getattr__(self, name: str) -> Any:
        stream = sys.modules["ipykernel.iostream"].OutStream
        if name == "encoding":
            return stream.encoding
        self._reasons.append(f"used {name} of a standard stream")
        return getattr(sys.__stdout__, name)
