"""The log, live events and warnings of a run."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlgate.launcher.records import Records
from mlgate.launcher.text import one_line
from mlgate.launcher.values import MESSAGE_CHARACTERS

STORE_SECONDS = 30.0  # between two uploads of the log, if the output is a mounted store
HEAD_BYTES = 48 * 2**20  # of the beginning of the log that are kept
TAIL_BYTES = 16 * 2**20  # of its end; what is between them is left out

LOG = "log.txt"


class Log:
    """The log, live events and warnings of the run. Thread-safe; its methods never raise.

    The log is bounded, because a run that prints without end would fill a shared disk. The last
    part of what exceeds the limit is held in memory, and written when the run has ended. What the
    folder refuses is held as well, and tried again.
    """

    def __init__(self, records: Records, events: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self.records = records
        self.warnings: list[str] = []
        self._file = os.open(records.folder / LOG, flags, 0o666)
        self._events = Path(events).open("a", encoding="utf-8")  # noqa: SIM115 -- to the very end
        self._lock = threading.Lock()
        self._room = HEAD_BYTES
        self._held = bytearray()
        self._left_out = 0
        self._line_open = False

    def write(self, text: str) -> None:
        if not text:
            return
        with self._lock:
            self._line_open = not text.endswith("\n")
            self._held += text.encode("utf-8", "replace")
            self._write_held()
            if (more := len(self._held) - TAIL_BYTES) > 0:
                del self._held[:more]
                self._left_out += more

    def line(self, text: str) -> None:
        self.write(("\n" if self._line_open else "") + text + "\n")

    def warn(self, text: str) -> None:
        self.warnings.append(one_line(text, MESSAGE_CHARACTERS))
        self.line(f"warning: {self.warnings[-1]}")

    def retry(self) -> None:
        """Writes what the folder refused before, if it accepts it now."""
        with self._lock:
            self._write_held()

    def end(self) -> None:
        """Writes what was held. From then on the log is not bounded."""
        with self._lock:
            if self._left_out:
                text = f"the log is too long: {self._left_out} bytes are left out of its middle"
                self.warnings.append(text)
                self._held[:0] = f"\n[{self._left_out} bytes are left out here]\n".encode()
                self._left_out = 0
            self._room = sys.maxsize
            self._write_held()

    def store(self) -> None:
        """Makes a mounted store upload what was written: it may do so only when a file is closed.

        Closing a copy of the descriptor is enough: see `flush` of libfuse's `fuse_operations`.
        """
        with contextlib.suppress(OSError):  # tried again later, and at the exit
            os.close(os.dup(self._file))

    async def store_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(STORE_SECONDS)
            await asyncio.to_thread(self.store)

    def event(self, name: str, **fields: Any) -> None:
        with contextlib.suppress(OSError):  # events only announce what the outcome has as well
            self._events.write(json.dumps({"event": name, **fields}) + "\n")
            self._events.flush()

    def _write_held(self) -> None:
        def write() -> None:
            while self._held and self._room > 0:
                with memoryview(self._held) as held, held[: self._room] as piece:
                    written = os.write(self._file, piece)
                del self._held[:written]
                self._room -= written

        if not self._left_out:  # else the beginning of the held text is lost
            self.records.attempt(LOG, write)


class Pipe:
    """Sends what processes write to `writing` to the log, as it arrives.

    `path` is the same pipe, for a process that cannot inherit the descriptor.
    """

    def __init__(self, log: Log, also: Callable[[str], None] = lambda _: None) -> None:
        reading, self.writing = os.pipe()
        self.path = Path(f"/proc/{os.getpid()}/fd/{self.writing}")

        def read() -> None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            while chunk := os.read(reading, 65_536):
                text = decoder.decode(chunk)
                log.write(text)
                also(text)

        # A daemon thread, because a process that escaped may hold the other end forever.
        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()

    async def end(self) -> None:
        """Call when the writers have ended. Waits until all is read, unless a writer escaped."""
        os.close(self.writing)
        await asyncio.to_thread(self._reader.join, 2.0)
