"""Records what an import asks for that differs between kernels, and what it registers.

Functions are replaced while the import runs. A library that binds one of them to a global name gets
the original back; one that keeps it elsewhere, or keeps a stream of this process, is refused.
"""

from __future__ import annotations

import atexit
import builtins
import glob
import io
import os
import random
import subprocess
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from handlers.local_handler import holders, numpy_generators, stand_ins

_AT_PATHS = ("access", "listdir", "lstat", "mkdir", "open", "readlink", "scandir", "stat")
_PROGRAMS = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system")
_WRITES = frozenset("wax+")
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What `importlib.metadata` looks for in a folder of the module path.
_PACKAGES = {"*.dist-info", "*.egg-info", "*.egg"}
# Their names for a caller are those of its caller.
_PATHS = {"genericpath", "os", "pathlib", "pathlib._local", "posixpath", __name__}


class Impure(Exception):
    """An import failed, or did more than make modules; the message says what.

    `again`: it made files or folders, and no other call was refused. The next time it may find
    them.
    """

    def __init__(self, what: str, *, again: bool = False) -> None:
        super().__init__(what)
        self.again = again


class Recording:
    """What one import asked for and registered."""

    def __init__(self, differs: Callable[[str], bool]) -> None:
        """`differs` says whether a variable may have another value in another kernel."""
        self.exits: list[tuple[Any, ...]] = []  # function, arguments, keywords
        self.absent: set[str] = set()  # patterns of what was looked for there, in vain
        self.forks: list[dict[str, Any]] = []  # what it asked to be called at forks
        self._differs = differs
        self._folder = ""  # the working directory
        self._reasons: list[str] = []  # to refuse the import
        self._made: list[str] = []  # files and folders that it may have made
        self._askers: set[str] = set()  # modules that asked for the working directory
        self._numpy = numpy_generators.state_of_own()  # None if it is not imported yet
        self._processes: list[Any] = []  # the ids of this process that were given
        self._drawn: set[int] = set()  # random numbers that were asked of the system
        self._seeded: list[weakref.ref[random.Random]] = []  # by the system
        self._fakes: list[Any] = []  # what replaces something
        self._originals: list[Any] = []  # what each of them replaces; None if nothing

    @contextmanager
    def on(self) -> Iterator[None]:
        """Record while the context is entered. Raises `Impure` at its end."""
        shell = sys.modules["IPython.core.interactiveshell"].InteractiveShell
        self._folder = os.getcwd()  # noqa: PTH109 -- compared with strings
        variables = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001 -- a dict that nothing else has
        with ExitStack() as stack:
            for name in _AT_PATHS:
                self._replace(stack, os, name, self._at_path)
            for module in (builtins, io):
                self._replace(stack, module, "open", self._at_path)
            for name in ("getcwd", "getcwdb"):
                self._replace(stack, os, name, self._directory)
            for name in _PROGRAMS:
                self._replace(stack, os, name, self._refused)
            self._replace(stack, subprocess.Popen, "__init__", self._refused)
            self._replace(stack, sys, "addaudithook", self._refused)
            self._replace(stack, os, "register_at_fork", self._forking)
            self._replace(stack, os, "getpid", self._process)
            self._replace(stack, os, "urandom", self._draw)
            self._replace(stack, random, "_urandom", self._draw)
            for name in ("seed", "setstate"):
                self._replace(stack, random, name, self._refused)
            self._replace(stack, atexit, "register", self._registering)
            self._replace(stack, atexit, "unregister", self._refused)
            for stream in (
                stand_ins.Stream("stdout", self._reasons),
                stand_ins.Stream("stderr", self._reasons),
            ):
                self._stand_in(stream, None)
                _set(stack, sys, stream.replaces, stream)
            self._replace(stack, random.Random, "seed", self._seeding)
            # As in a kernel, but that there is no shell yet.
            self._replace(stack, shell, "initialized", lambda _: self._asked_for_shell)
            there = stand_ins.Shell(self._reasons)
            self._stand_in(there, None)
            _set(stack, builtins, "get_ipython", lambda: there)
            _set(stack, builtins, "__IPYTHON__", True)
            _set(stack, builtins, "display", sys.modules["IPython.core.display_functions"].display)
            read = stand_ins.Variables(variables, self._differs, self._reasons)
            for environ in (os.environ, os.environb):
                _set(stack, environ, "_data", read)
            try:
                yield
            finally:
                variables.clear()
                variables.update(dict.items(read))
        if self._reasons:
            raise Impure(self._reasons[0])
        if self._made:
            raise Impure(f"opened {self._made[0]} to write", again=True)

    def release(self) -> list[tuple[Any, Any, str]]:
        """Give the original functions to whatever keeps what replaced them; see `holders`.

        Returns what keeps a standard stream, under which name, and the stream's name. Raises
        `Impure` if anything is kept in another way.
        """
        streams, left = holders.restore(self._fakes, self._originals, stand_ins.Stream)
        if left is not None:
            raise Impure(f"keeps {left}")
        while self._processes:
            if sys.getrefcount(self._processes.pop()) > 1:
                raise Impure("keeps the id of this process")
        return [(owner, name, stream.replaces) for owner, name, stream in streams]

    def directories(self, made: Mapping[str, types.ModuleType]) -> list[tuple[str, str]]:
        """The globals of modules that are the working directory's name.

        Raises `Impure` if it is kept otherwise, and for a random number or a time that is kept.
        """
        found: list[tuple[str, str]] = []
        for name, module in made.items():
            for key, value in vars(module).items():
                if type(value) is str and self._folder in value:
                    if value != self._folder:
                        raise Impure(f"keeps a path of the working directory in {name}.{key}")
                    found.append((name, key))
                elif type(value) is int and value in self._drawn:
                    raise Impure(f"keeps a random number in {name}.{key}")
                elif type(value) is float and _is_now(value):
                    raise Impure(f"keeps the time in {name}.{key}")
        if others := self._askers - {name for name, _ in found}:
            raise Impure(f"asked for the working directory in {min(others)}")
        return found

    def generators(self) -> list[Any]:
        """The living generators of random numbers that were seeded by the system.

        Raises `Impure` if numpy's own was seeded otherwise, or drawn from.
        """
        found: list[Any] = [each for ref in self._seeded if (each := ref()) is not None]
        found += numpy_generators.seeded_with(self._drawn)
        if numpy_generators.state_of_own() != (self._numpy or numpy_generators.state_as_seeded()):
            raise Impure("seeded numpy's random numbers")
        return found

    def _replace(self, stack: ExitStack, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        real = getattr(owner, name)
        fake = make(real)
        self._stand_in(fake, real)
        _set(stack, owner, name, fake)

    def _stand_in(self, fake: Any, real: Any) -> None:
        self._fakes.append(fake)
        self._originals.append(real)

    def _refuse(self, reason: str) -> None:
        self._reasons.append(reason)

    def _refused(self, real: Any) -> Any:
        def function(*arguments: Any, **keywords: Any) -> Any:
            self._refuse(f"called {real.__qualname__}")
            return real(*arguments, **keywords)

        return function

    def _process(self, real: Any) -> Any:
        def function() -> int:
            if _caller() == "tempfile":  # which compares it, and knows a fork by that
                return int(real())
            self._processes.append(stand_ins.Process(real()))
            given: int = self._processes[-1]
            return given

        return function

    def _forking(self, _: Any) -> Any:
        def register(**functions: Any) -> None:
            self.forks.append(functions)

        return register

    def _at_path(self, real: Any) -> Any:
        def function(*arguments: Any, **keywords: Any) -> Any:
            path = arguments[0] if arguments else keywords.get("path", keywords.get("file", "."))
            caller = sys._getframe(1).f_code.co_name  # noqa: SLF001 -- the way to know it
            tries = caller == "_get_default_tempdir"  # tempfile's, which leaves nothing
            if (
                _may_write(real.__name__, path, arguments, keywords)
                and path != os.devnull
                and not tries
            ):
                self._made.append(repr(path))
            name = "" if isinstance(path, int) else os.fsdecode(path)
            if name.startswith(self._folder):
                name = name[len(self._folder) + 1 :] or "."
            if not name or os.path.isabs(name):  # noqa: PTH117 -- a string
                return real(*arguments, **keywords)
            try:
                result = real(*arguments, **keywords)
            except FileNotFoundError:
                self.absent.add(glob.escape(name))
                raise
            if _caller() == "importlib.metadata" and name == ".":
                self.absent |= _PACKAGES
            else:
                self._refuse(f"used {name} in the working directory")
            return result

        return function

    def _directory(self, real: Any) -> Any:
        def function() -> Any:
            self._askers.add(_caller())
            return real()

        return function

    def _draw(self, real: Any) -> Any:
        def function(size: int) -> bytes:
            value: bytes = real(size)
            caller = sys._getframe(1)  # noqa: SLF001 -- the way to know it
            module = caller.f_globals.get("__name__")
            if module == "random" and caller.f_code.co_name == "getrandbits":
                self._drawn.add(int.from_bytes(value, "big"))  # as numpy's generators are seeded
            elif module != "multiprocessing.process":  # its key is made in each kernel
                self._refuse("asked the system for random numbers")
            return value

        return function

    def _seeding(self, real: Any) -> Any:
        def seed(generator: random.Random, *arguments: Any, **keywords: Any) -> None:
            real(generator, *arguments, **keywords)
            if not keywords and arguments in ((), (None,)):
                self._seeded.append(weakref.ref(generator))

        return seed

    def _registering(self, _: Any) -> Any:
        def register(function: Any, *arguments: Any, **keywords: Any) -> Any:
            self.exits.append((function, arguments, keywords))
            return function

        return register

    def _asked_for_shell(self) -> bool:
        self._refuse("asked for the notebook's shell")
        return False


def _may_write(
    function: str, path: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> bool:
    """Whether a call may make a file or folder, or change one."""
    if function == "mkdir":
        return not os.path.isdir(path)  # noqa: PTH112 -- a string
    mode = arguments[1] if len(arguments) > 1 else keywords.get("mode", keywords.get("flags"))
    if isinstance(mode, str):
        return not _WRITES.isdisjoint(mode)
    return function == "open" and isinstance(mode, int) and bool(mode & _FLAGS)


def _is_now(value: float) -> bool:
    """Whether a value may be a clock's of the last minute. 3600.0 is an hour, also where the
    machine was started an hour ago."""
    wall, steady = time.time(), time.monotonic()
    return wall - 60 < value <= wall or (steady - 60 < value <= steady and not value.is_integer())


def _set(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Set an attribute until the stack is left."""
    if name in vars(owner):
        stack.callback(setattr, owner, name, vars(owner)[name])
    else:
        stack.callback(delattr, owner, name)
    setattr(owner, name, value)


def _caller() -> str:
    """The name of the module that called a recording function, itself or by a module for paths."""
    frame: Any = sys._getframe(1)  # noqa: SLF001 -- the way to know it
    while frame is not None and frame.f_globals.get("__name__") in _PATHS:
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__"))
