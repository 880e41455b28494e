"""Forks a Python kernel from a process that has already imported what a kernel needs.

To the notebook it looks like a kernel that was started as a program: it finds the module path,
arguments, `__main__` and packages that it would find there, and nothing of mlgate. One difference
remains: kernels of the same template share the seed of `hash`, which is chosen when an interpreter
starts.
"""

from __future__ import annotations

import copyreg
import ctypes
import gc
import os
import sys
import tempfile
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handlers.local_handler.seeds import Seed, receive


class KernelSeeds:
    """The state of an interpreter after a kernel's imports, restored in each forked kernel: the
    modules, the finders of modules, the filters of warnings, and how types are pickled."""

    def __init__(
        self,
        modules: Mapping[str, types.ModuleType],
        finders: Sequence[Any],
        filters: Sequence[Any],
        picklers: Mapping[type, Any],
    ) -> None:
        self._modules = frozenset(modules)
        self._finders = finders
        self._filters = filters
        self._picklers = picklers

    def sow(self) -> KernelSeed:
        """Fork the seed of one kernel."""
        return KernelSeed(Seed(self._grow), {name.partition(".")[0] for name in self._modules})

    def _grow(self, pipe: int) -> int:
        _, _, code, *arguments = receive(pipe)
        self._forget()
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        sys.path.insert(0, "")
        sys.argv = ["-c", *arguments]
        status = 0
        try:
            exec(code, main.__dict__)  # noqa: S102 -- as the interpreter does for `-c`
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001 -- as the interpreter does
            traceback.print_exc()
            status = 1
        # Exit as an interpreter does: end threads, run hooks, flush open files.
        gc.unfreeze()
        ctypes.pythonapi.Py_Exit(status)
        return status

    def _forget(self) -> None:
        """Undo the other imports of this process and their effects; reset what each kernel needs
        for itself."""
        for name in [name for name in sys.modules if name not in self._modules]:
            module = sys.modules.pop(name)
            parent, _, child = name.rpartition(".")
            known = vars(sys.modules[parent]) if parent in self._modules else {}
            if known.get(child) is module:
                del known[child]
        sys.meta_path[:] = self._finders
        warnings.filters[:] = self._filters  # type: ignore[index]  # a list, whatever its stub says
        warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 -- else they are cached
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(self._picklers)
        tempfile.tempdir = None
        if process := sys.modules.get("multiprocessing.process"):
            vars(process)["ORIGINAL_DIR"] = str(Path.cwd())  # where spawned processes start
            process.current_process().authkey = os.urandom(32)


class KernelSeed:
    """A forked process that waits to become a kernel. Calling it starts the kernel.

    Returns None if the kernel would differ from one started as a program; then start it as one.
    """

    def __init__(self, seed: Seed, packages: set[str]) -> None:
        self._seed = seed
        self._packages = packages

    def __call__(
        self, command: Sequence[str], directory: Path, variables: dict[str, str], log: Path
    ) -> Seed | None:
        """`command` is `python -c CODE ARGUMENTS` with the interpreter of this process."""
        if any(_defines(directory, name) for name in self._packages):
            return None
        try:
            self._seed.start(command, variables, directory, log)
        except OSError:
            return None
        return self._seed


def _defines(directory: Path, module: str) -> bool:
    """Whether the directory has a module of that name, which an import would find instead."""
    file = directory / f"{module}.py"
    return file.is_file() or (directory / module / "__init__.py").is_file()
