"""`mlgate serve` as a process, and those who call it."""

from __future__ import annotations

import json
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests

from tests.e2e.commands import PATIENCE, start
from tests.support.stores import EXAMPLE, MODEL


class Server:
    """`mlgate serve`, with temporary files in a folder of its own, until the context ends."""

    def __init__(
        self,
        folder: Path,
        store: Path,
        *arguments: str,
        environments: Sequence[str] = ("--own-environment",),
        **more: str,
    ) -> None:
        self.temporary = Path(tempfile.mkdtemp(prefix="serve-"))  # short: it holds sockets
        variables = {"MLGATE_MODELS": str(store), "MLGATE_MODEL_REFRESH": "0.2", **more}
        variables["TMPDIR"] = str(self.temporary)
        given = (*(arguments or (MODEL,)), "--port", "0", *environments)
        self.process = start(folder, "serve", *given, **variables)
        self.out, self.err = list[str](), list[str]()
        self._first = queue.SimpleQueue[str]()
        self._readers = [
            threading.Thread(target=self._read, args=each, daemon=True)
            for each in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()
        try:
            self.url = self._first.get(timeout=PATIENCE).split()[-1].rstrip("/")
        except (queue.Empty, IndexError):
            self.close()
            raise AssertionError((self.process.returncode, self.err)) from None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Whatever state it is in."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE)

    def post(
        self, path: str, body: Any = EXAMPLE, kind: str = "application/json", **more: Any
    ) -> requests.Response:
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        return requests.post(
            self.url + path, data=data, headers={"content-type": kind}, timeout=PATIENCE, **more
        )

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/health").json()
        return found

    def until(self, true: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """What `/health` says once that is true of it."""
        end = time.monotonic() + PATIENCE
        while not true(said := self.health()):
            assert self.process.poll() is None, self.err
            assert time.monotonic() < end, (said, self.err)
            time.sleep(0.05)
        return said

    def serves(self, number: int) -> dict[str, Any]:
        return self.until(lambda said: said["number"] == number)

    def holds_back(self, number: int) -> str:
        """Why; once it does."""
        said = self.until(lambda said: said["held_back"] and said["held_back"]["number"] == number)
        return str(said["held_back"]["reason"])

    def terminate(self) -> int:
        """The exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def children(self) -> list[int]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == self.process.pid:
                found.append(int(place.name))
        return found

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line)
            if lines is self.out:
                self._first.put(line)
        self._first.put("")


class Callers:
    """Clients that call all the time, and what they were answered: status, header and answer; and
    when."""

    def __init__(self, server: Server, number: int = 4) -> None:
        self.answers = list[tuple[int, str | None, Any]]()
        self.moments = list[tuple[float, int, str | None]]()
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(number)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                got = session.post(
                    f"{self._server.url}/predict",
                    data=json.dumps(EXAMPLE),
                    headers={"content-type": "application/json"},
                    timeout=PATIENCE,
                )
                number = got.headers.get("mlgate-model-number")
                self.moments.append((time.monotonic(), got.status_code, number))
                self.answers.append((got.status_code, number, got.json()))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
