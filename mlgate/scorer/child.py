"""The process of one served model, which its server starts and does not trust.

    python -c BOOT ROOT FOLDER

FOLDER has `asked.json` ({"model", "format", "name", "number", "example", "answer"}) and gets
`said.json` ({"step": "loading" | "ready" | "failed", "reason", "load_seconds", "memory_mb"}) and,
once the model has answered its example, `socket`, where it takes frames (see `frames`).

The main thread loads the model and asks it, one request after another, as a model may hold what
only its own thread can use. The others carry frames:

    main         load, listen, ask                    the model's own code runs here alone
    acceptor     connections, and the end of them all on SIGTERM
    connections  a thread each: a request in, its reply out
    input        ends the process when standard input ends, as it does when the server is gone

It ends with SIGTERM once what has been sent is answered. Nothing is written to its input. It leads
a process group, and ends with all of it, unless the model or a signal ends the process alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mlgate.scorer import frames
from mlgate.scorer.belongings import (
    Log,
    end,
    end_with_input,
    fill_standard,
    heed_forks,
    heed_signals,
    nothing,
    peak_memory_mb,
)
from mlgate.scorer.errors import ScorerError
from mlgate.scorer.replies import Reply, Scorer, refusal, to_standard_error, trace_of
from mlgate.scorer.wording import short

BOOT = (
    "import sys; sys.path[:] = [sys.argv[1], *filter(None, sys.path)]; "
    "from mlgate.scorer.child import main; del sys.path[0]; main(sys.argv.pop())"
)
ASKED, SAID, SOCKET = "asked.json", "said.json", "socket"
LOADING, READY, FAILED = "loading", "ready", "failed"  # the steps

_REASON = 1_000  # characters
_BACKLOG = 128


class Child:
    """What is said, and to whom: a fork of the model's says nothing to anybody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()  # the model may change the working directory
        self._process = os.getpid()
        self._log = Log()
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._signals, self._wake = os.pipe()
        self._stopping, self._stop = os.pipe()  # for connections: it ends when all shall end
        self._numbers = [self._signals, self._wake, self._stopping, self._stop]
        for number in self._numbers:
            os.set_blocking(number, False)
        self._sockets: set[socket.socket] = set()
        heed_forks(self._close)

    def run(self) -> int:
        """Until it is stopped; the exit code."""
        asked = json.loads((self._folder / ASKED).read_text("utf-8"))
        self._say(LOADING)
        began = time.perf_counter()
        try:
            scorer = Scorer.load(
                asked["model"],
                asked["format"],
                name=asked["name"],
                number=asked["number"],
                example=asked["example"],
                answer=asked["answer"],
                log=self._log.write,
            )
        except BaseException as error:  # noqa: BLE001 -- also what asks this process to exit
            self._say(FAILED, reason=short(self._reason(error), _REASON))
            return 1
        seconds = time.perf_counter() - began
        fill_standard()
        self._listen()
        self._say(READY, load_seconds=seconds, memory_mb=peak_memory_mb())
        while work := self._work.get():
            work.answer(scorer)
            heed_signals(self._wake)
        return 0

    def _say(self, step: str, **said: Any) -> None:
        if os.getpid() != self._process:
            os._exit(1)
        part = self._folder / f"{SAID}.part"
        part.write_text(json.dumps({"step": step, **said}), "utf-8")
        part.replace(self._folder / SAID)

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, ScorerError):
            return str(error)
        trace = trace_of(error)
        self._log.write(trace)
        try:
            what = "".join(traceback.format_exception_only(type(error), error)).strip()
        except Exception:  # noqa: BLE001 -- an exception may be of any class
            what = trace
        return f"the model could not be loaded and asked for its example: {what}"

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        self._sockets.add(listener)
        listener.bind(str(self._folder / SOCKET))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        heed_signals(self._wake)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        threads: list[threading.Thread] = []
        stopping = False
        try:
            while not stopping:
                if self._signals in _readable(listener.fileno(), self._signals):
                    stopping = signal.SIGTERM in os.read(self._signals, 1 << 10)
                with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
                    while True:
                        thread = self._connected(listener.accept()[0])
                        threads = [each for each in (*threads, thread) if each.is_alive()]
            self._sockets.discard(listener)
            listener.close()
            self._numbers.remove(self._stop)
            os.close(self._stop)
        except BaseException as error:  # noqa: BLE001 -- nobody could be answered any more
            self._log.write(trace_of(error))
            os._exit(1)
        for thread in threads:
            thread.join()
        self._work.put(None)

    def _connected(self, connection: socket.socket) -> threading.Thread:
        connection.setblocking(True)
        self._sockets.add(connection)
        thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
        thread.start()
        return thread

    def _converse(self, connection: socket.socket) -> None:
        try:
            while connection.fileno() in _readable(connection.fileno(), self._stopping):
                frame = frames.read(connection)
                if frame is None:
                    break
                work = _Work(*frame)
                self._work.put(work)
                connection.sendall(work.reply())
        except (OSError, MemoryError):
            pass  # the other side has ended, or has sent more than this one can hold
        finally:
            self._sockets.discard(connection)
            connection.close()

    def _close(self) -> None:
        """In a fork: what it held open would look like a server that is about to answer."""
        numbers = [*self._numbers, *(each.detach() for each in self._sockets)]
        self._numbers, self._sockets = [], set()  # a fork of the fork has others by these numbers
        for number in numbers:
            with contextlib.suppress(OSError):
                os.close(number)


class _Work:
    """A request, which one thread waits for and the main thread answers."""

    def __init__(self, header: dict[str, Any], body: bytes) -> None:
        self._header, self._body = header, body
        self._reply: Reply | None = None
        self._done = threading.Event()

    def answer(self, scorer: Scorer) -> None:
        path, content_type = self._header.get("path"), self._header.get("content_type")
        self._reply = scorer.reply(str(path), content_type and str(content_type), self._body)
        self._done.set()

    def reply(self) -> bytes:
        self._done.wait()
        reply = self._reply
        assert reply is not None
        if len(reply.body) > frames.MOST_BODY:
            reply = refusal(500, "the answer is too large to be sent", reply.headers)
        header = {
            "status": reply.status,
            "content_type": reply.content_type,
            "headers": dict(reply.headers),
        }
        return frames.packed(header, reply.body)


def _readable(*numbers: int) -> set[int]:
    """Those that can be read from, or have ended; waits for one."""
    poll = select.poll()
    for number in numbers:
        poll.register(number, select.POLLIN)
    found = dict(poll.poll())
    if any(flags & select.POLLNVAL for flags in found.values()):
        os._exit(1)  # the model has closed what is not its own
    return {*found}


def main(folder: str) -> None:
    """Ends the process: no thread and no exit hook of the model's may hold it up."""
    code = 1
    try:
        signal.signal(signal.SIGINT, nothing)  # it is for the server
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen, and in order
        end_with_input()
        code = Child(Path(folder)).run()
    except BaseException as error:  # noqa: BLE001 -- whoever started this sees that it ended
        to_standard_error(trace_of(error))
    finally:
        end(code)
