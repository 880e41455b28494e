"""What a template has imported for kernels, hidden until a kernel needs it.

A kernel that was forked after an import finds a library's modules as if it had just imported them
itself. That holds if the import made modules and nothing else, which `watching` makes sure of, but
for what is done again in each kernel: filters of warnings, functions to call at exit, how types are
pickled, finders of modules, variables, and the streams that a library keeps. What no two kernels
may share is made again in each: generators of random numbers that were seeded by the system, and
names of the working directory.
"""

from __future__ import annotations

import atexit
import copyreg
import os
import random
import sys
import types
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from handlers.local_handler.holders import put


@dataclass
class Library:
    """The modules in the order of their making, and what importing them changed."""

    names: set[str] = field(default_factory=set)  # that were asked for
    modules: dict[str, types.ModuleType] = field(default_factory=dict)
    finders: list[Any] = field(default_factory=list)
    first_filters: list[Any] = field(default_factory=list)
    last_filters: list[Any] = field(default_factory=list)
    picklers: dict[type, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    exits: list[tuple[Any, ...]] = field(default_factory=list)  # function, arguments, keywords
    forks: list[dict[str, Any]] = field(default_factory=list)  # arguments of os.register_at_fork
    directories: list[tuple[str, str]] = field(default_factory=list)  # module, global
    streams: list[tuple[Any, Any, str]] = field(default_factory=list)  # owner, name, stream
    generators: list[Any] = field(default_factory=list)  # random.Random or numpy's bit generators
    # Patterns of files that were looked for in the working directory, and were not there.
    absent: set[str] = field(default_factory=set)

    def has(self, name: str) -> bool:
        """Whether importing `name`, a module or a name in one, would import nothing."""
        parent, _, child = name.rpartition(".")
        found = self.modules.get(parent)
        known = name in self.names or name in self.modules
        return known or (found is not None and child in vars(found))

    def appear(self) -> None:
        """Let this process find the modules."""
        for name, module in self.modules.items():
            sys.modules[name] = module
            parent, _, child = name.rpartition(".")
            if parent and parent not in self.modules:
                setattr(sys.modules[parent], child, module)
        sys.meta_path += self.finders
        set_filters([*self.first_filters, *warnings.filters, *self.last_filters])
        copyreg.dispatch_table.update(self.picklers)
        os.environ.update(self.variables)

    def begin(self) -> None:
        """Let this process, a kernel in its working directory, find the modules as its own."""
        self.appear()
        for function, arguments, keywords in self.exits:
            atexit.register(function, *arguments, **keywords)
        for functions in self.forks:
            os.register_at_fork(**functions)
        for owner, name, stream in self.streams:
            put(owner, name, getattr(sys, stream))
        for module, name in self.directories:
            setattr(self.modules[module], name, os.getcwd())  # noqa: PTH109 -- it was a string
        for each in self.generators:
            if isinstance(each, random.Random):
                each.seed()
            else:
                each.state = type(each)().state


def set_filters(filters: Sequence[Any]) -> None:
    """Replace the filters of warnings."""
    warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever its stub says
    warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 -- else they are cached
