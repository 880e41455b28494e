"""A Python kernel in a process that had imported what a kernel needs before it was forked.

To the notebook it is one that was started as a program: it finds the module path, arguments,
`__main__` and packages that it would find there, and of ours nothing. What it shares with other
kernels of the same template is the seed of `hash`, chosen when an interpreter starts.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from handlers.local_handler.seeds import Seed, flush, receive

# What a kernel imports by the time of its first cell, in this version or that.
_MODULES = (
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.magics",
    "IPython.extensions.storemagic",
    "sqlite3",
    "tornado.platform.asyncio",
)
_OURS = {"handlers", "mlgate", "launcher"}


class KernelSeeds:
    """Imports a kernel's modules; what is imported later its kernels will not have."""

    def __init__(self) -> None:
        importlib.import_module("ipykernel.kernelapp")
        for name in _MODULES:
            with suppress(ImportError):
                importlib.import_module(name)
        self._packages = _packages() - _OURS
        self._filters = [*warnings.filters]
        self._finders = [*sys.meta_path]

    def sow(self) -> KernelSeed:
        """The seed of one kernel."""
        return KernelSeed(Seed(self._grow))

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
        # What an interpreter does at its end; the hooks may be the notebook's own.
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 -- there is no public way
        atexit._run_exitfuncs()  # noqa: SLF001 -- likewise
        flush()
        return status

    def _forget(self) -> None:
        """Undo what else this process imported, and what importing drew at random."""
        foreign = _packages() - self._packages - sys.stdlib_module_names
        for name in [name for name in sys.modules if name.partition(".")[0] in foreign]:
            del sys.modules[name]
        sys.meta_path[:] = self._finders
        warnings.filters[:] = self._filters  # type: ignore[index]  # a list, whatever its stub says
        warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 -- else they are cached
        tempfile.tempdir = None
        multiprocessing.current_process().authkey = os.urandom(32)


class KernelSeed:
    """A kernel to be. Calling it starts the kernel, or returns None where it would not be like one
    that is started as a program, which then is to be done."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed

    def __call__(
        self, command: Sequence[str], directory: Path, variables: dict[str, str], log: Path
    ) -> Seed | None:
        """`command` is `python -c CODE ARGUMENTS`, of the interpreter of this process."""
        if any(_defines(directory, name) for name in _packages()):
            return None
        try:
            self._seed.start(command, variables, directory, log)
        except OSError:
            return None
        return self._seed


def _packages() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


def _defines(directory: Path, module: str) -> bool:
    """Whether an import from the directory would get it in place of the module of that name."""
    file = directory / f"{module}.py"
    return file.is_file() or (directory / module / "__init__.py").is_file()
