"""Starts and stops the emulator, in its own thread or in the foreground."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from mlgate.emulators.service_bus.broker import Broker
from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.connection import Connection
from mlgate.emulators.service_bus.journal import Journal, JournalError
from mlgate.emulators.service_bus.tokens import ALL_RIGHTS, SharedKey

ATTENTION_SECONDS = 0.5
HOST = "127.0.0.1"
KEY_NAME = "RootManageSharedAccessKey"


class EmulatorError(Exception):
    """The emulator cannot start or cannot continue; the message says why, and what to do."""


class Emulator:
    """A Service Bus namespace on this machine's loopback interface.

    With a `file`, messages (and the key, unless one is given) are stored in it; otherwise they are
    lost when the emulator ends. Port 0 picks a free one. `clock` returns seconds since 1970.
    """

    def __init__(
        self,
        queues: Sequence[QueueConfig],
        *,
        file: Path | None = None,
        port: int = 0,
        key_name: str = KEY_NAME,
        key: str | None = None,
        rights: Collection[str] = ALL_RIGHTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        names = [queue.name.lower() for queue in queues]
        if len(set(names)) < len(names):
            raise ValueError("Two queues have the same name; names are case-insensitive.")
        self._queues = tuple(queues)
        self._file = file
        self._port = port
        self._key_name = key_name
        self._key = key
        self._rights = frozenset(rights)
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._stop_request: Callable[[], None] | None = None
        self._failure: JournalError | None = None

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def connection_string(self) -> str:
        """For `ServiceBusClient.from_connection_string`; known once the emulator has started."""
        if self._thread is None:
            raise EmulatorError("The emulator is not running.")
        return (
            f"Endpoint=sb://{HOST}:{self._port};SharedAccessKeyName={self._key_name};"
            f"SharedAccessKey={self._key};UseDevelopmentEmulator=true;"
        )

    def start(self) -> None:
        """Start, and return once clients can connect. Raises EmulatorError."""
        if self._thread is not None:
            raise EmulatorError("The emulator is already running.")
        ready: Future[None] = Future()
        thread = threading.Thread(
            target=self._run, args=(ready,), name="service-bus-emulator", daemon=True
        )
        self._failure = None
        thread.start()
        error = ready.exception()
        if error is not None:
            thread.join()
            raise EmulatorError(self._explained(error)) from error
        self._thread = thread

    def stop(self) -> None:
        """Close every connection and the file. Does nothing if the emulator is not running."""
        if self._thread is None:
            return
        self.request_stop()
        self._thread.join()
        self._thread = None

    def request_stop(self) -> None:
        """Ask the emulator to stop, and return at once; can be used in a signal handler."""
        if self._stop_request is not None:
            self._stop_request()

    def wait(self) -> None:
        """Wait until the emulator has ended. Raises EmulatorError if it could not continue."""
        # Wake regularly: a signal just before a join would not be handled until the join returns.
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(ATTENTION_SECONDS)
        if self._failure is not None:
            raise EmulatorError(str(self._failure))

    def _explained(self, error: BaseException) -> str:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return (
                f"Port {self._port} of {HOST} is in use: stop the program that uses it, "
                "or choose another port."
            )
        return str(error)

    def _run(self, ready: Future[None]) -> None:
        try:
            asyncio.run(self._main(ready))
        except (JournalError, OSError) as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            if not ready.done():  # a bug; its traceback is on stderr
                ready.set_exception(EmulatorError("The emulator failed to start."))

    async def _main(self, ready: Future[None]) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        with contextlib.ExitStack() as stack:
            journal = None
            if self._file is not None:
                journal = Journal(self._file)
                stack.callback(journal.close)
            self._key = self._key or _persistent_key(journal)

            def fail(error: JournalError) -> None:
                self._failure = error
                ended.set()

            key = SharedKey(self._key_name, self._key, self._rights)
            broker = Broker(self._queues, key, self._clock, journal, fail)
            stack.callback(broker.close)
            connections: set[Connection] = set()

            def connect() -> Connection:
                connection = Connection(broker, connections.discard)
                connections.add(connection)
                return connection

            server = await loop.create_server(connect, HOST, self._port)
            stack.callback(server.close)
            self._port = server.sockets[0].getsockname()[1]
            self._stop_request = _thread_safe(loop, ended.set)
            ready.set_result(None)
            await ended.wait()
            for connection in list(connections):
                connection.abort()


def _persistent_key(journal: Journal | None) -> str:
    """A random key, always the same for a file, so that clients can reconnect after a restart."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return key if journal is None else journal.setting("key", key)


def _thread_safe(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> Callable[[], None]:
    def request() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing is left to stop
            loop.call_soon_threadsafe(call)

    return request


def serve(
    queues: Sequence[QueueConfig],
    file: Path | None = None,
    port: int = 0,
    *,
    key_name: str = KEY_NAME,
    key: str | None = None,
) -> int:
    """Run in the foreground until SIGTERM or SIGINT; returns the exit code.

    Prints the connection string on a line of its own once clients can connect. Call it in the main
    thread of a process.
    """
    emulator = Emulator(queues, file=file, port=port, key_name=key_name, key=key)
    try:
        emulator.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: emulator.request_stop())
        _print(emulator.connection_string)
        emulator.wait()
    except EmulatorError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    finally:
        emulator.stop()
    return 0


def _print(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError as error:
        raise EmulatorError(
            f"The connection string cannot be printed: {error.strerror}."
        ) from error
