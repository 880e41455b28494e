"""The pure functions that put a build into words, found where the engine calls them."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from mlgate.orchestration import engine
from mlgate.orchestration.verdict import files

PURE = ("mlgate.orchestration.verdict", "mlgate.orchestration.planning")


def _modules() -> list[ModuleType]:
    names = [each.name for each in pkgutil.iter_modules(engine.__path__, f"{engine.__name__}.")]
    return [*(importlib.import_module(name) for name in names), files]


def places() -> list[tuple[ModuleType, str]]:
    """Each name, in the engine or among the files' parts, that is a function of theirs."""
    return [
        (module, name)
        for module in _modules()
        for name, found in inspect.getmembers(module, inspect.isfunction)
        if found.__module__.startswith(PURE) and found.__module__ != module.__name__
    ]


def label(place: tuple[ModuleType, str]) -> str:
    """As a method's name: where it is called, and what."""
    module, name = place
    return f"{module.__name__.rpartition('.')[2]}:{name}"


@contextmanager
def struck(call: Callable[[str, Callable[[], Any]], Any]) -> Iterator[None]:
    """While this lasts, each renderer goes through `call`, with its label."""
    before = [(module, name, getattr(module, name)) for module, name in places()]

    def through(place: str, real: Any) -> Any:
        @functools.wraps(real)
        def render(*arguments: Any, **named: Any) -> Any:
            return call(place, lambda: real(*arguments, **named))

        return render

    try:
        for module, name, real in before:
            setattr(module, name, through(label((module, name)), real))
        yield
    finally:
        for module, name, real in before:
            setattr(module, name, real)
