"""The program of a kernel: ipykernel with another way to print and to end.

Printing: the output of a cell is neither lost nor collected in memory until it is read. By default
a publishing socket drops what does not fit in its queue, a stream accepts any amount of text and
sends it later, and IPython remembers all of it, only for `%notebook`.

Starting: the arguments are ours, so no parser is made of all of Jupyter's settings.

Ending: the launcher ends a kernel's children, because ipykernel would signal them for half a
minute, even those that it has killed. Files are flushed before anything that may keep the
interpreter from ending. It may indeed never end: ipykernel's publishing thread goes first, and the
thread that answers the request to shut down waits for it. An interpreter that ends collects garbage
several times, and takes apart one module after the other. That leaves out what was imported before
the notebook, most of all that there is, unless something that the notebook has made may do
something when it is collected, or a thread of it goes on. What the notebook has put into such a
module, and nowhere else, is then not deallocated.
"""

import atexit
import ctypes
import dis
import functools
import gc
import io
import sys
import threading
import types
import weakref
from contextlib import suppress
from typing import Any

from ipykernel.iostream import OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config

PIECE = 1 << 20  # characters that a stream collects before it sends them
MOST_QUEUED = 100  # messages
# What all files derive from. `io.IOBase` itself is a hundred times slower to compare with.
FILES: Any = io.IOBase.__base__
# Whose objects and coroutines are a kernel's own.
KERNELS = frozenset(
    ("IPython", "_asyncio", "_io", "asyncio", "ipykernel", "socket", "tornado", "zmq")
)
# Packages with a `__del__` that can only warn: that of pyparsing, of a mistake in a grammar.
QUIET = frozenset(("pyparsing",))
NEEDED = frozenset(("__main__", "builtins", "sys", "threading"))  # by an interpreter that ends
# How a handler begins that the compiler has added. From Python 3.12 on, all of a generator is in
# one that only changes the exception; on 3.12, what waits for another generator is in one whose own
# handler is that of the `try` around it.
OF_ALL, OF_WAITING = "CALL_INTRINSIC_1", "CLEANUP_THROW"
SUSPENDED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)

IPythonKernel._process_children = lambda _: []  # type: ignore[method-assign] # noqa: SLF001 -- the only way
take = OutStream.write


def write(stream: Any, text: str) -> int:
    pieces: Any = [text]
    if isinstance(text, str) and len(text) > PIECE:
        pieces = (text[at : at + PIECE] for at in range(0, len(text), PIECE))
    for piece in pieces:
        take(stream, piece)
        stream.unsent = getattr(stream, "unsent", 0) + len(piece)
        if stream.unsent >= PIECE:
            stream.unsent = 0
            flush(stream)
            forget_printed()
    return len(text)


def flush(stream: Any) -> None:
    """Like a stream's own `flush`, but waits as long as the reader needs. The original gives up
    after ten seconds, with a message in the run's output."""
    publisher = getattr(stream.pub_thread, "thread", None)
    if publisher is None or not publisher.is_alive() or publisher is threading.current_thread():
        stream._flush()  # noqa: SLF001 -- as the stream's own does
        return
    sent = threading.Event()
    stream.pub_thread.schedule(stream._flush)  # noqa: SLF001 -- as above
    stream.pub_thread.schedule(sent.set)
    while not sent.wait(1.0) and publisher.is_alive():
        pass


def forget_printed() -> None:
    """Drop what IPython remembers of the current cell's output."""
    shell: Any = App.instance().shell
    remembered = getattr(shell.history_manager, "outputs", {})
    for outputs in list(remembered.values())[-1:]:
        for output in outputs:
            if "stream" in output.bundle:
                output.bundle["stream"] = type(output.bundle["stream"])()


def may_finalize() -> bool:
    """Whether an object that the notebook has made may do something when it is collected."""
    seen: set[type] = set()
    for each in gc.get_objects():
        kind = type(each)
        if each is App.history:
            continue
        if kind in SUSPENDED:
            codes = (getattr(each, name, None) for name in ("gi_code", "cr_code", "ag_code"))
            code: Any = next(filter(None, codes))
            if KERNELS.isdisjoint(code.co_filename.split("/")) and acts_when_closed(each, code):
                return True
        elif issubclass(kind, weakref.ref):
            if getattr(each.__callback__, "__module__", None) == "__main__":
                return True
        elif kind not in seen:
            seen.add(kind)
            known = top(kind.__module__) in KERNELS | QUIET or issubclass(kind, App)
            if hasattr(kind, "__del__") and not known:
                return True
    return False


def acts_when_closed(suspended: Any, code: types.CodeType) -> bool:
    """Whether a generator waits in a `try` or `with`, so that closing it executes more of it.

    Also true for coroutines, which warn, and for a generator that waits for another kind of
    iterator, which may have a `close`.
    """
    if type(suspended) is not types.GeneratorType:
        return True
    if type(suspended.gi_yieldfrom) not in (types.NoneType, types.GeneratorType):
        return True
    at = suspended.gi_frame.f_lasti if suspended.gi_frame else -1
    while found := [each for each in handlers(code) if each[0] <= at < each[1]]:
        [(_, _, at, begins)] = found
        if begins != OF_WAITING:
            return begins != OF_ALL
    return False


@functools.cache
def handlers(code: types.CodeType) -> list[tuple[int, int, int, str]]:
    """The ranges of instructions that have a handler, each with its place and first instruction."""
    found = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]  # its stub lacks it
    own = code.co_code
    return [(each.start, each.end, each.target, dis.opname[own[each.target]]) for each in found]


def top(module: Any) -> str:
    return str(module).partition(".")[0]


OutStream.write = write  # type: ignore[method-assign,assignment]
OutStream.flush = flush  # type: ignore[method-assign]


class App(IPKernelApp):
    threads: frozenset[threading.Thread] = frozenset()  # its own
    history: Any = None  # its database, which has `__del__` from Python 3.12 on

    def parse_command_line(self, argv: Any = None) -> None:  # noqa: ARG002 -- they are in `sys`
        _, file, history, parent = sys.argv[1:]
        app = {"connection_file": file, "parent_handle": int(parent.partition("=")[2])}
        self.cli_config = Config(
            IPKernelApp=app, HistoryManager={"hist_file": history.partition("=")[2]}
        )
        self.update_config(self.cli_config)

    def init_iopub(self, context: Any) -> None:
        context.sndhwm, context.xpub_nodrop = MOST_QUEUED, 1
        super().init_iopub(context)  # type: ignore[no-untyped-call]
        del context.sndhwm  # later sockets have no limit

    def start(self) -> None:
        App.threads = frozenset(threading.enumerate())
        super().start()  # type: ignore[no-untyped-call]
        shell: Any = self.shell
        App.history = getattr(shell.history_manager, "db", None)
        flush_files()
        if self.control_thread:
            self.control_thread.stop()
            self.control_thread.join()


def flush_files() -> None:
    for each in gc.get_objects():
        if issubclass(type(each), FILES):
            with suppress(Exception):
                each.flush()


def end() -> None:
    """Do what an interpreter does first when it ends, and have it leave what was imported before.

    It waits for threads, and calls the functions registered for its end, before it takes apart
    modules. These may import something, write to a file, or make something that acts; so may a
    thread that goes on.
    """
    with suppress(BaseException):  # the interpreter would go on as well
        threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 -- as Py_FinalizeEx does
    atexit._run_exitfuncs()  # noqa: SLF001 -- likewise
    flush_files()
    try:
        left = {type(each).__module__ for each in set(threading.enumerate()) - App.threads}
        acts = not KERNELS.issuperset(map(top, left)) or may_finalize()
    except BaseException:  # noqa: BLE001 -- asking may execute code of the notebook's classes
        acts = True
    if acts:
        gc.unfreeze()
        return
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(IMPORTED))
    for name, module in IMPORTED.items():
        if name not in NEEDED and sys.modules.get(name) is module:
            sys.modules[name] = None  # type: ignore[assignment]  # as the interpreter does itself


gc.freeze()
IMPORTED = dict(sys.modules)
App.launch_instance()
end()
