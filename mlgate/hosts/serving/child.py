"""The process that loads a version and answers, as its parent sees it.

The child is `mlgate.scorer.child`, run by the version's own interpreter. It gets no token or
setting of this host. It ends when its standard input does, so it ends with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlgate.hosts.serving.versions import Lost, Refused, Version
from mlgate.scorer import frames
from mlgate.scorer.belongings import peak_memory_mb
from mlgate.scorer.child import ASKED, BOOT, FAILED, READY, SAID, SOCKET
from mlgate.scorer.variables import for_model

LOAD_LIMIT = 600.0  # seconds for loading a version and answering its example
_POLL = 0.05
_CONNECTIONS = 8  # it answers one request at a time, and finds the next one waiting
_ROOT = Path(__file__).resolve().parents[3]


class Gone(Exception):
    """The child ended or disconnected during a request."""


class NotAsked(Gone):
    """It did so before it received the request, so another child can answer it."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: bytes


class Child:
    """A child that is ready to answer; see `start`."""

    def __init__(self, version: Version, process: asyncio.subprocess.Process, home: Path) -> None:
        self.version = version
        self.in_flight = 0
        self._since = 0.0
        self._process = process
        self._home = home
        self._broke_off = False
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def alive(self) -> bool:
        """False as soon as it has disconnected; its exit status is known a moment later."""
        return self._process.returncode is None and not self._broke_off

    @property
    def memory(self) -> int:
        """Its peak memory in bytes; 0 if unknown."""
        return int(peak_memory_mb(self._process.pid) * (1 << 20))

    @property
    def busy_seconds(self) -> float:
        """How long it has worked on its current request; it answers one after another."""
        return time.monotonic() - self._since if self.in_flight else 0.0

    async def ended(self) -> None:
        await self._process.wait()

    async def ask(self, path: str, content_type: str, body: bytes) -> Answer:
        """The child's answer to a POST. Raises `NotAsked`, `Gone`."""
        if not self.in_flight:
            self._since = time.monotonic()
        self.in_flight += 1
        self._quiet.clear()
        try:
            async with self._places:
                return await self._asked(path, content_type, body)
        except Gone:
            self._broke_off = True
            raise
        finally:
            self._since = time.monotonic()
            self.in_flight -= 1
            if not self.in_flight:
                self._quiet.set()

    async def close(self, patience: float) -> None:
        """End the child once it has answered its requests, or after `patience` seconds."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._quiet.wait()
        finally:
            await self.kill()

    async def kill(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
        _end(self._process)
        await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._home, True)

    async def _asked(self, path: str, content_type: str, body: bytes) -> Answer:
        if self._broke_off:
            raise NotAsked(self.version.name)
        try:
            reader, writer = self._idle.pop() if self._idle else await self._connected()
        except (ConnectionError, FileNotFoundError) as error:
            raise NotAsked(self.version.name) from error
        if reader.at_eof():
            writer.close()
            raise NotAsked(self.version.name)
        try:
            writer.write(frames.packed({"path": path, "content_type": content_type}, body))
            await writer.drain()
            lengths = frames.LENGTHS.unpack(await reader.readexactly(frames.LENGTHS.size))
            said = json.loads(await reader.readexactly(lengths[0]))
            answer = Answer(
                int(said["status"]), str(said["content_type"]), await reader.readexactly(lengths[1])
            )
        except (ConnectionError, EOFError, ValueError, KeyError, TypeError) as error:
            writer.close()
            raise Gone(self.version.name) from error
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._home / SOCKET, limit=1 << 20)


async def start(
    version: Version, python: str, files: Path, root: Path, limit: float = LOAD_LIMIT
) -> Child:
    """Start a child that has loaded the version from `files` and answered its example as recorded.

    The child gets its own folder below `root`; `limit` is in seconds. Raises `Refused` with the
    reason that the child reports, and `Lost` if it was killed or not ready in time.
    """
    home = Path(tempfile.mkdtemp(prefix="c-", dir=root))
    manifest = version.manifest
    asked = {
        "model": str(files / manifest.path),
        "format": manifest.format,
        "name": version.name,
        "number": version.number,
        "example": manifest.example,
        "answer": manifest.answer,
    }
    try:
        (home / ASKED).write_text(json.dumps(asked), "utf-8")
        process = await asyncio.create_subprocess_exec(
            python, "-c", BOOT, str(_ROOT), str(home),
            stdin=asyncio.subprocess.PIPE, cwd=home, env=_variables(home, python),
            start_new_session=True,
        )  # fmt: skip
    except BaseException:  # asyncio has ended a process that it had started
        shutil.rmtree(home, ignore_errors=True)
        raise
    child = Child(version, process, home)
    late = False
    try:
        async with asyncio.timeout(limit):
            while (said := _said(home)).get("step") not in (READY, FAILED):
                if not child.alive:
                    break
                await asyncio.sleep(_POLL)
    except TimeoutError:
        said, late = {"reason": f"Loading it took longer than {limit:g} seconds."}, True
    except BaseException:
        await child.kill()
        raise
    if said.get("step") == READY and child.alive:
        return child
    code = process.returncode
    await child.kill()
    reason = said.get("reason") or f"Its process ended while loading it ({_exit(code)})."
    sentence = f"{version.name} cannot be served: {reason}"
    if late or (said.get("step") != FAILED and code is not None and code < 0):
        raise Lost(sentence, killed=code == -signal.SIGKILL)
    raise Refused(sentence)


def _said(home: Path) -> dict[str, Any]:
    try:
        said = json.loads((home / SAID).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _variables(home: Path, python: str) -> dict[str, str]:
    """The child's variables. A version's own Python must not import from this one's folders."""
    passed = for_model(os.environ)
    found = {name: value for name, value in passed.items() if not name.startswith("PYTHON")}
    if python == sys.executable and (packages := packages_beside(sys.path)):
        found["PYTHONPATH"] = os.pathsep.join(packages)
    return {**found, "HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1"}


def packages_beside(path: Sequence[str]) -> list[str]:
    """The package folders on `path` that this interpreter alone would not search.

    For example, a function app has its packages in `.python_packages`.
    """
    own = (sys.prefix, sys.base_prefix)
    folders = [Path(each) for each in path if each and Path(each).is_dir()]
    beside = [each for each in folders if not any(map(each.is_relative_to, own)) and each != _ROOT]
    return [str(each.absolute()) for each in beside]


def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the process and everything in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
