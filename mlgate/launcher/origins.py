"""Decides where a file or module comes from: the user, an installed package, or Python."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from mlgate.launcher.values import Place

MOST_FILES = 2000  # of a tree that are read

_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]([\w-]+)")
_COMPILED = re.compile(r"^(?![/\\<~]).*\.(pyx|pxd|pxi)$")  # Cython keeps the paths of the package
_STANDARD = re.compile(r"^<frozen |[/\\]lib(64)?[/\\]python3(\.\d+|\d+\.zip)[/\\]")
_STANDARD_MODULE = re.compile(r"[/\\]python3(?:\.\d+|\d+\.zip)[/\\](\w+)")
# A package that others extend declares that in its `__init__.py`.
_EXTENDED = re.compile(r"\b(extend_path|declare_namespace)\b")


def package_of(file: str) -> str:
    """The installed package that a file belongs to, or "" """
    found = _INSTALLED.search(file)
    return found[1] if found else ""


def library_of(file: str) -> str:
    """The top-level package or standard module that a file belongs to, or "" """
    found = None if package_of(file) else _STANDARD_MODULE.search(file)
    return found[1] if found else package_of(file)


def is_compiled(file: str) -> bool:
    return _COMPILED.search(file) is not None


def is_installed(file: str) -> bool:
    return bool(package_of(file)) or is_compiled(file)


def is_standard(file: str) -> bool:
    return not is_installed(file) and _STANDARD.search(file) is not None


def is_namespace(file: str) -> bool:
    """Whether the package with this `__init__.py` ("" if it has none) is spread over several."""
    with contextlib.suppress(OSError):
        return not file or _EXTENDED.search(Path(file).read_text("utf-8", "replace")) is not None
    return False


class Origins:
    """The modules and names of the user: those in the run's tree and its notebook's cells."""

    def __init__(self, place: Place, cells: Sequence[str] = ()) -> None:
        self._place, self._cells = place, cells

    def own_file(self, file: str) -> bool:
        """Whether the file is neither installed nor Python's, or is installed from this tree."""
        package = package_of(file)
        if package:
            return self.own_module(package)
        return not is_installed(file) and not is_standard(file)

    def own_module(self, name: str) -> bool:
        """Whether the module's top-level package is in the tree.

        It is not known where the module is imported from. So any place in the tree counts, unless
        it is also installed elsewhere; then it must be where an import finds it first.
        """
        top = name.partition(".")[0]
        if top == "builtins" or not any(
            path.stem == top or top in path.parts[:-1] for path in self._files
        ):
            return False
        file = self.file_of(top)
        if file is None or (not package_of(file) and not is_standard(file)):
            return True
        root, directory = self._place.root, self._place.directory
        return any(
            (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()
            for folder in (directory, root, root / "src")
        )

    def defines(self, name: str) -> bool:
        """Whether a cell or a file defines a class or function of that name."""
        name = re.escape(name)
        defining = re.compile(
            rf"^\s*(?:(async\s+)?def|class)\s+{name}\b|^\s*{name}\s*(:\s*\w+\s*)?=[^=]",
            re.MULTILINE,
        )
        return any(defining.search(text) for text in (*self._cells, *self._texts))

    def file_of(self, module: str) -> str | None:
        """The file of a module in this interpreter; "" for a namespace, None if it is missing."""
        top, *parts = module.split(".")
        spec = None
        with contextlib.suppress(ImportError, ValueError):
            spec = find_spec(top)
        for part in parts:  # searched by path: `find_spec` of a submodule would import the package
            places = spec.submodule_search_locations if spec else None
            spec = (
                PathFinder.find_spec(f"{spec.name}.{part}", list(places))
                if spec and places
                else None
            )
        return (spec.origin or "") if spec else None

    @functools.cached_property
    def _files(self) -> list[Path]:
        """The Python files of the tree, by their paths in it."""
        root = self._place.root
        found = []
        for path in root.rglob("*.py"):
            if not is_installed(str(path)):
                found.append(path.relative_to(root))
            if len(found) == MOST_FILES:
                break
        return sorted(found)

    @functools.cached_property
    def _texts(self) -> list[str]:
        texts = []
        for path in self._files:
            with contextlib.suppress(OSError):
                texts.append((self._place.root / path).read_text("utf-8", "replace"))
        return texts
