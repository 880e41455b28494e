"""Imports a library for kernels to come, and refuses an import that did more than make modules.

Meanwhile the process is a kernel's in all that an import may look at: its modules, variables,
arguments and streams, and a working directory. What the import does is seen in two ways. Functions
whose answers differ between kernels are replaced by ones that record their use (see `recording`),
and what it may not change is compared with what it was.

Nothing here imports a module that a kernel lacks, because the library would find it imported.
"""

from __future__ import annotations

import builtins
import copyreg
import ctypes
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handlers.local_handler.libraries import Library, set_filters
from handlers.local_handler.recording import Impure, Recording

# A run's own variables, and those that kernels set when they start.
_DIFFERENT = (
    "CLICOLOR", "FORCE_COLOR", "GIT_CEILING_DIRECTORIES", "GIT_PAGER", "JPY_",
    "MLFLOW_TRACKING_URI", "MLGATE_", "PAGER", "PYDEVD_", "PYTHONUSERBASE", "TERM",
)  # a row a line # fmt: skip
_BACKEND = "module://matplotlib_inline.backend_inline"  # which kernels set for matplotlib
_SIGNALS = ("SigBlk", "SigCgt", "SigIgn")  # in /proc/self/status (proc(5))
_ENDING_SECONDS = 0.5  # for threads that the import has started and asked to end
_UNSET = (int, type(None))
_VALUES = (bytes, float, frozenset, str, tuple)
_MISSING = object()
_FILTER = ("always", None, Warning, None, 0)  # shows every warning that the library does not ignore


def differs(variable: str) -> bool:
    """Whether a variable of that name may differ between the runs that share an import."""
    return variable.startswith(_DIFFERENT)


def add(library: Library, name: str, variables: Mapping[str, str]) -> None:
    """Import `name`, a module or a name in one, into the library, which has appeared here.

    `variables` are those of the kernels. Raises `Impure`; then this process is unfit for kernels.
    """
    modules, finders, drawn = dict(sys.modules), list(sys.meta_path), random.getstate()
    # Those of a kernel: what the library's own modules mean to each other is theirs.
    names = _names({n: each for n, each in modules.items() if n not in library.modules})
    picklers, filters = dict(copyreg.dispatch_table), list(warnings.filters)
    recording = Recording(differs)
    with _like_a_kernel({**variables, **library.variables}) as written:
        environment, fixed = dict(os.environ), _fixed()
        set_filters([_FILTER, *filters])
        try:
            with recording.on():
                _import(name)
        except Impure:
            raise
        except BaseException as error:  # noqa: BLE001 -- a library may raise anything
            raise Impure(f"{type(error).__name__}: {error}") from None
        _await_threads()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        if changed := [what for what, value in _fixed().items() if value != fixed[what]]:
            raise Impure(f"changed {', '.join(changed)}")
        if os.fstat(written).st_size:
            raise Impure("wrote to standard output or error")
        variables_set = _added(environment, dict(os.environ), "variables")
        filters_set = list(warnings.filters)
    made = _added(modules, sys.modules, "modules that were imported before")
    _check_names(names)
    if random.getstate() != drawn:
        raise Impure("drew random numbers")
    _check_origins(made)
    library.streams += recording.release()
    library.names.add(name)
    library.modules |= made
    library.variables |= variables_set
    library.picklers |= _added(picklers, copyreg.dispatch_table, "how types are pickled")
    library.finders += _after(finders, sys.meta_path, "finders of modules")
    at = filters_set.index(_FILTER) if _FILTER in filters_set else 0
    library.last_filters += _after([_FILTER, *filters], filters_set[at:], "filters of warnings")
    library.first_filters[:0] = filters_set[:at]
    library.exits += recording.exits
    library.forks += recording.forks
    library.absent |= recording.absent
    library.directories += recording.directories(made)
    library.generators += recording.generators()


def _import(name: str) -> None:
    parent, _, child = name.rpartition(".")
    __import__(parent or name, fromlist=[child] if parent else [])
    if parent and name not in sys.modules and not hasattr(sys.modules[parent], child):
        raise ImportError(f"{parent} has no {child}")


@contextmanager
def _like_a_kernel(variables: Mapping[str, str]) -> Iterator[int]:
    """Makes this process look like a kernel; yields the file that replaces its output."""
    streams, arguments, path = (sys.stdout, sys.stderr), sys.argv, sys.path
    main, environment = sys.modules["__main__"], dict(os.environ)
    folder = Path(tempfile.mkdtemp(prefix="mlgate-import-")).resolve()
    with (folder / "output").open("wb") as output:
        (folder / "output").unlink()
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in kept:
            os.dup2(output.fileno(), number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update({n: each for n, each in variables.items() if not differs(n)})
        if not variables.get("MPLBACKEND") and _sets_backend():
            os.environ["MPLBACKEND"] = _BACKEND
        sys.argv, sys.path = ["-c"], ["", *path]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield output.fileno()
        finally:
            sys.stdout, sys.stderr = streams
            sys.argv, sys.path, sys.modules["__main__"] = arguments, path, main
            os.environ.clear()
            os.environ.update(environment)
            os.chdir("/")
            for number, saved in kept:
                os.dup2(saved, number)
                os.close(saved)
            folder.rmdir()
            for found in [each for each in sys.path_importer_cache if each.startswith(f"{folder}")]:
                del sys.path_importer_cache[found]


def _sets_backend() -> bool:
    """Whether this version of ipykernel sets the variable that matplotlib reads to `_BACKEND`."""
    source = sys.modules["ipykernel.kernelapp"].__file__
    return source is not None and _BACKEND in Path(source).read_text("utf-8", "replace")


def _fixed() -> dict[str, object]:
    """What no import may change."""
    status = Path("/proc/self/status").read_text().splitlines()
    task = Path("/proc/self/task")
    hooks = "displayhook excepthook unraisablehook breakpointhook path argv path_hooks stdin stdout"
    environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    known = set(map(os.fsencode, os.environ))
    return {
        "threads": len(os.listdir(task)),  # noqa: PTH208 -- only their number is needed
        "child processes": (task / str(os.getpid()) / "children").read_text(),
        "open files": sorted(os.listdir("/proc/self/fd")),  # noqa: PTH208 -- only their names
        "signals": [signal.getsignal(number) for number in range(1, signal.NSIG)],
        "signals of the process": [line for line in status if line.startswith(_SIGNALS)],
        "limits": Path("/proc/self/limits").read_text(),
        "the umask": [line for line in status if line.startswith("Umask")],
        "the working directory": os.getcwd(),  # noqa: PTH109 -- as an import might
        "sockets": socket.getdefaulttimeout(),
        "logging": [logging.root.level, *map(id, logging.root.handlers)],
        "the locale": locale.setlocale(locale.LC_ALL),
        "hooks": [id(getattr(sys, name, None)) for name in hooks.split()],
        "paths": [list(sys.path), list(sys.argv), len(sys.path_hooks)],
        "builtins": {name: id(each) for name, each in vars(builtins).items() if name != "_"},
        "garbage collection": [gc.get_threshold(), gc.isenabled(), len(gc.callbacks)],
        "the interpreter": [
            sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile(),
            sys.dont_write_bytecode,
        ],
        "variables of the process": [
            each for each in _until_null(environ) if each.partition(b"=")[0] not in known
        ],
        "the main module": sorted(vars(sys.modules["__main__"])),
    }  # fmt: skip


def _names(modules: Mapping[str, types.ModuleType]) -> dict[str, dict[str, Any]]:
    """What the names in modules mean, but for those that are set at their first use."""
    return {
        name: {key: each for key, each in vars(module).items() if not isinstance(each, _UNSET)}
        for name, module in modules.items()
        if isinstance(module, types.ModuleType) and name != "__main__"
    }


def _check_names(before: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `Impure` if a name of a module that was imported before means something else."""
    for name, known in before.items():
        now = vars(sys.modules[name])
        for key, each in known.items():
            found = now.get(key, _MISSING)
            if found is not each and not (type(found) in _VALUES and found == each):
                raise Impure(f"changed {name}.{key}")


def _until_null(values: Any) -> Iterator[bytes]:
    at = 0
    while values[at] is not None:
        yield values[at]
        at += 1


def _await_threads() -> None:
    until = time.monotonic() + _ENDING_SECONDS
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < until:  # noqa: PTH208 -- as above
        time.sleep(0.005)


def _check_origins(made: Mapping[str, types.ModuleType]) -> None:
    """Raises `Impure` for modules that are neither Python's own nor installed."""
    python = [os.path.dirname(os.__file__), *filter(_holds_packages, sys.path)]  # noqa: PTH120 -- a string
    for name, module in made.items():
        file = getattr(module, "__file__", None)
        if file and not any(file.startswith(f"{each}/") for each in python):
            raise Impure(f"imported {name}, which is not an installed package's")


def _holds_packages(path: str) -> bool:
    return path.endswith(("/site-packages", "/dist-packages", "/lib-dynload"))


def _added(before: Mapping[Any, Any], after: Mapping[Any, Any], what: str) -> dict[Any, Any]:
    """The entries that are new. Raises `Impure` if others were changed or removed."""
    for key, value in before.items():
        if key not in after or (after[key] is not value and after[key] != value):
            raise Impure(f"changed {what}")
    return {key: value for key, value in after.items() if key not in before}


def _after(before: list[Any], now: list[Any], what: str) -> list[Any]:
    """What was appended. Raises `Impure` if the rest was changed."""
    if now[: len(before)] != before:
        raise Impure(f"changed {what}")
    return now[len(before) :]
