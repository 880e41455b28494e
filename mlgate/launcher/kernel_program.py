"""What a kernel executes: ipykernel, but for how it prints and how it ends.

What a cell prints is neither lost nor kept in memory until somebody reads it. A publishing socket
drops what its queue has no room for unless it is told to wait; a stream takes any amount of text
and sends it later; and IPython remembers all of it, for `%notebook` alone.

A kernel's children are the launcher's to end: ipykernel signals them for half a minute, those that
it has killed included. Files are flushed before whatever may keep the interpreter from its end. And
it may have none, since ipykernel's thread that publishes goes first, and the one that answers the
request to shut down waits for it.
"""

import gc
import io
import threading
from contextlib import suppress
from typing import Any

from ipykernel.iostream import OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

PIECE = 1 << 20  # characters that a stream takes before they are sent
MOST_QUEUED = 100  # messages

IPythonKernel._process_children = lambda _: []  # type: ignore[method-assign] # noqa: SLF001 -- it has no other way
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
    """As a stream's own, but for as long as the reader takes: it gives up after ten seconds, and
    says so where the run's output goes."""
    publisher = getattr(stream.pub_thread, "thread", None)
    if publisher is None or not publisher.is_alive() or publisher is threading.current_thread():
        stream._flush()  # noqa: SLF001 -- what the stream's own calls
        return
    sent = threading.Event()
    stream.pub_thread.schedule(stream._flush)  # noqa: SLF001 -- as above
    stream.pub_thread.schedule(sent.set)
    while not sent.wait(1.0) and publisher.is_alive():
        pass


def forget_printed() -> None:
    """Of the cell that is executed."""
    shell: Any = App.instance().shell
    remembered = getattr(shell.history_manager, "outputs", {})
    for outputs in list(remembered.values())[-1:]:
        for output in outputs:
            if "stream" in output.bundle:
                output.bundle["stream"] = type(output.bundle["stream"])()


OutStream.write = write  # type: ignore[method-assign,assignment]
OutStream.flush = flush  # type: ignore[method-assign]


class App(IPKernelApp):
    def init_iopub(self, context: Any) -> None:
        context.sndhwm, context.xpub_nodrop = MOST_QUEUED, 1
        super().init_iopub(context)  # type: ignore[no-untyped-call]
        del context.sndhwm  # of the sockets that come after

    def start(self) -> None:
        super().start()  # type: ignore[no-untyped-call]
        for each in gc.get_objects():
            if issubclass(type(each), io.IOBase):
                with suppress(Exception):
                    each.flush()
        if self.control_thread:
            self.control_thread.stop()
            self.control_thread.join()


App.launch_instance()
