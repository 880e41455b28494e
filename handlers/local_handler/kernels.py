"""Forks a Python kernel from a process that has already imported what a kernel needs.

To the notebook it looks like a kernel that was started as a program: it finds the module path,
arguments, `__main__` and packages that it would find there, and nothing of mlgate. One difference
remains: kernels of the same template share the seed of `hash`, which is chosen when an interpreter
starts.
"""

from __future__ import annotations

import copyreg
import ctypes
import itertools
import logging
import os
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handlers.local_handler import trees
from handlers.local_handler.libraries import Library, set_filters
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
        self._own_packages = {name.partition(".")[0] for name in self._modules}
        self.library = Library()  # what each kernel finds imported besides
        self._forgotten: Mapping[str, types.ModuleType] = {}

    def sow(self) -> KernelSeed:
        """Fork the seed of one kernel."""
        return KernelSeed(Seed(self._grow), self._packages(), self.library.absent)

    def have(self, name: str) -> bool:
        """Whether importing `name`, a module or a name in one, would import nothing in a kernel."""
        parent, _, child = name.rpartition(".")
        found = vars(sys.modules[parent]).get(child) if parent in self._modules else None
        # A module may be there because this process has imported it for itself.
        known = found is not None and not isinstance(found, types.ModuleType)
        return known or name in self._modules or self.library.has(name)

    def _packages(self) -> set[str]:
        """The packages that a kernel finds imported."""
        return self._own_packages | {name.partition(".")[0] for name in self.library.modules}

    @contextmanager
    def as_imported(self) -> Iterator[None]:
        """Find the modules of a kernel and of the library, and nothing else, for a while."""
        modules, finders = dict(sys.modules), list(sys.meta_path)
        filters, picklers = list(warnings.filters), dict(copyreg.dispatch_table)
        environment = dict(os.environ)
        self._forget()
        self.library.appear()
        try:
            yield
        finally:
            self._forget()
            sys.modules.clear()
            sys.modules.update(modules)
            for name, module in modules.items():
                parent, _, child = name.rpartition(".")
                if parent in self._modules and name not in self._modules:
                    setattr(modules[parent], child, module)
            sys.meta_path[:] = finders
            set_filters(filters)
            copyreg.dispatch_table.clear()
            copyreg.dispatch_table.update(picklers)
            os.environ.clear()
            os.environ.update(environment)

    def _grow(self, pipe: int) -> int:
        command = receive(pipe)
        _, _, code, *arguments = command
        self._forget_loggers()
        self._forgotten = dict(sys.modules)  # kept: taking them apart takes longer than a cell
        self._forget()
        if self.library.modules:
            self._let_library_appear()
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        sys.path.insert(0, "")
        sys.argv, sys.orig_argv = ["-c", *arguments], list(command)
        vars(threading)["_counter"] = self._thread_numbers().__next__
        status = 0
        try:
            exec(code, main.__dict__)  # noqa: S102 -- as the interpreter does for `-c`
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001 -- as the interpreter does
            traceback.print_exc()
            status = 1
        # Exit as an interpreter does: end threads, run hooks, flush open files.
        ctypes.pythonapi.Py_Exit(status)
        return status

    def _thread_numbers(self) -> Iterator[int]:
        """The numbers in the names of threads: debugpy takes one when it is imported, which a
        kernel does after ipykernel has named three."""
        debugger = "debugpy" in self._modules
        return itertools.chain(range(1, 4), itertools.count(5 if debugger else 4))

    def _forget_loggers(self) -> None:
        """Undo the loggers that were made by modules which are about to be forgotten."""
        kept = self._packages()
        loggers = logging.root.manager.loggerDict
        for name in list(loggers):
            package = name.partition(".")[0]
            if package in sys.modules and package not in kept:
                del loggers[name]

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
        set_filters(self._filters)
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(self._picklers)
        tempfile.tempdir = None
        _renew_multiprocessing()

    def _let_library_appear(self) -> None:
        """Let the library appear once the kernel is about to start: its own start is then as that
        of any kernel, and no cell was executed yet."""
        kernel = sys.modules["ipykernel.kernelapp"].IPKernelApp
        start = kernel.start

        def begin(app: Any) -> None:
            kernel.start = start
            self.library.begin()
            _renew_multiprocessing()
            start(app)

        kernel.start = begin


def _renew_multiprocessing() -> None:
    if process := sys.modules.get("multiprocessing.process"):
        vars(process)["ORIGINAL_DIR"] = str(Path.cwd())  # where spawned processes start
        process.current_process().authkey = os.urandom(32)


class KernelSeed:
    """A forked process that waits to become a kernel. Calling it starts the kernel.

    Returns None if the kernel would differ from one started as a program; then start it as one.
    """

    def __init__(self, seed: Seed, packages: Set[str], absent: Set[str]) -> None:
        """`packages` are imported; `absent` are patterns of files that importing them looked
        for in vain."""
        self._seed = seed
        self._packages = packages
        self._absent = absent

    def __call__(
        self, command: Sequence[str], directory: Path, variables: dict[str, str], log: Path
    ) -> Seed | None:
        """`command` is `python -c CODE ARGUMENTS` with the interpreter of this process."""
        try:
            if not self._packages.isdisjoint(trees.modules_in(directory)):
                return None
            if any(True for pattern in self._absent for _ in directory.glob(pattern)):
                return None
            self._seed.start(command, variables, directory, log)
        except OSError:
            return None
        return self._seed
