"""The process of one served model, which its server starts but does not trust.

    python -c BOOT ROOT FOLDER

FOLDER has `asked.json` ({"model", "format", "name", "number", "example", "answer"}) and gets
`said.json` ({"step": "loading" | "ready" | "failed", "reason", "load_seconds", "memory_mb"}) and,
once the model has answered its example, `socket`, where it accepts frames (see `frames`).

The main thread loads the model and asks it, one request after another, because a model may have
objects that only its own thread can use. The other threads carry frames:

    main         loads, listens, asks                 only this thread runs the model's code
    acceptor     accepts connections, and ends them all on SIGTERM
    connections  one thread each: a request in, its reply out
    input        ends the process when standard input ends, as it does when the server is gone

On SIGTERM, the process answers the requests it has and ends. Nothing is written to its input. It
leads a process group that ends with it, unless the model or a signal ends the process alone.
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
    """Loads the model and serves its frames; forks of the model stay silent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()  # the model may change the working directory
        self._process = os.getpid()
        self._log = Log()
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._signals, self._wake = os.pipe()
        self._stopping, self._stop = os.pipe()  # closed to end the connections
        self._numbers = [self._signals, self._wake, self._stopping, self._stop]
        for number in self._numbers:
            os.set_blocking(number, False)
        self._sockets: set[socket.socket] = set()
        heed_forks(self._close)

    def run(self) -> int:
        """Serve until stopped; returns the exit code."""
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
        except BaseException as error:  # noqa: BLE001 -- SystemExit too: the model may raise it
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
        return f"the model could not be loaded or did not answer its example: {what}"

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
        except BaseException as error:  # noqa: BLE001 -- nobody could be answered from here on
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
            pass  # the other side has closed the connection, or sent more than memory can hold
        finally:
            self._sockets.discard(connection)
            connection.close()

    def _close(self) -> None:
        """Called in a fork: connections that it held open would seem about to be answered."""
        numbers = [*self._numbers, *(each.detach() for each in self._sockets)]
        self._numbers, self._sockets = [], set()  # a fork of the fork may reuse these numbers
        for number in numbers:
            with contextlib.suppress(OSError):
                os.close(number)


class _Work:
    """A request that the main thread answers while its connection's thread waits."""

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
    """Wait for at least one readable or ended descriptor; returns those."""
    poll = select.poll()
    for number in numbers:
        poll.register(number, select.POLLIN)
    found = dict(poll.poll())
    if any(flags & select.POLLNVAL for flags in found.values()):
        os._exit(1)  # the model has closed a descriptor of ours
    return {*found}


def main(folder: str) -> None:
    """Serve, then end the process without waiting for the model's threads or exit hooks."""
    code = 1
    try:
        signal.signal(signal.SIGINT, nothing)  # Ctrl-C is for the server
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # shows output at once and in order
        end_with_input()
        code = Child(Path(folder)).run()
    except BaseException as error:  # noqa: BLE001 -- the server sees that this process ended
        to_standard_error(trace_of(error))
    finally:
        end(code)
