"""A model's process as its server sees it: a folder, a pipe that keeps it alive, and a socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlgate.scorer import child, frames

ROOT = Path(__file__).parents[3]
SECONDS = 60.0  # for anything that is waited for


class Served:
    """`folder` is made; the model is there already. What it writes is in `log`."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        format_: str = "pickle",
        *,
        python: str | Path = sys.executable,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.PIPE,
        **asked: Any,
    ) -> None:
        (folder / "work").mkdir(parents=True)
        self.folder = folder
        fields = {"name": "churn@3f9a1c0b7d52", "number": 42, "example": None, "answer": None}
        fields |= {"model": str(model), "format": format_, **asked}
        (folder / child.ASKED).write_text(json.dumps(fields))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(python), "-c", child.BOOT, str(ROOT), str(folder)],
                cwd=folder / "work",
                env=environment,
                stdin=stdin,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def said(self) -> dict[str, Any]:
        """What the process says of itself by now."""
        try:
            said: dict[str, Any] = json.loads((self.folder / child.SAID).read_text())
        except FileNotFoundError:
            return {}
        return said

    def ready(self) -> Served:
        self.until(lambda: self.said.get("step") == child.READY)
        return self

    def until(self, true: Any) -> None:
        end = time.monotonic() + SECONDS
        while not true():
            assert self.process.poll() is None, (self.process.poll(), self.said, self.log)
            assert time.monotonic() < end, (self.said, self.log)
            time.sleep(0.01)

    def connect(self) -> Connection:
        return Connection(self.folder / child.SOCKET)

    def ask(self, body: Any, path: str = "/predict", content_type: str | None = None) -> Any:
        """Status and answer of a request on a connection of its own."""
        with self.connect() as connection:
            connection.send(body, path, content_type)
            return connection.answer()

    def ended(self, seconds: float = 10.0) -> int:
        """The exit code."""
        return self.process.wait(seconds)

    def until_alone(self, seconds: float = 10.0) -> None:
        """Nothing of its group runs any more; what nobody has waited for yet does not."""
        end = time.monotonic() + seconds
        while found := [*running(self.process.pid)]:
            assert time.monotonic() < end, found
            time.sleep(0.01)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


def running(group: int) -> Iterator[str]:
    """What the system says of each process of a group."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            told = path.read_text()
            state, _, its_group = told.rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                yield told


class Connection:
    """One request at a time."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS)
        self._socket.connect(str(path))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, body: Any, path: str = "/predict", content_type: str | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_bytes(frames.packed({"path": path, "content_type": content_type}, content))

    def send_bytes(self, content: bytes) -> None:
        self._socket.sendall(content)

    def frame(self) -> tuple[dict[str, Any], bytes] | None:
        """None where there is none to come."""
        try:
            return frames.read(self._socket)
        except ConnectionResetError:
            return None

    def answer(self) -> Any:
        """Status and answer, None where there is none."""
        found = self.frame()
        return found and (found[0]["status"], json.loads(found[1]))
