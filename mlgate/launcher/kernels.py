"""Chooses the kernel of a notebook, runs its process, and talks to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlgate.launcher.jupyter import jupyter
from mlgate.launcher.languages import foreign_language, is_python
from mlgate.launcher.log import Log, Pipe
from mlgate.launcher.processes import (
    FIRST,
    INTERRUPT_SECONDS,
    Process,
    exit_text,
    oom_kills,
    peak_memory,
    start_program,
)
from mlgate.launcher.values import Failed, Place, Stopped

RECORDING = "mlgate.launcher.recording"

PROGRAM = "mlgate.launcher.kernel_program"


def module_source(name: str) -> str:
    """The source of one of our modules, which may be in an archive."""
    loader: Any = find_spec(name).loader  # type: ignore[union-attr]  # it is one of our own
    source: str = loader.get_source(name)
    return source


def choose_kernel(
    asked: str | None, metadata: Mapping[str, Any], language_of: Callable[[str], str | None]
) -> tuple[str, str | None]:
    """The kernel's name, and a warning if it is not the one that was named.

    `language_of` returns the language of an installed kernel, or None if it is not installed.
    Raises `Failed` (`invalid`) for a language other than Python.
    """
    spec, info = metadata.get("kernelspec") or {}, metadata.get("language_info") or {}
    says = info.get("name") or spec.get("language")
    name = asked or spec.get("name") or ""
    known = "python" if name == "python3" else language_of(name) if name else None
    if says and not is_python(says):
        foreign = says
    elif known:  # more reliable than guessing from the kernel's name
        foreign = None if is_python(known) or (says and not asked) else known
    else:
        foreign = foreign_language(says, spec.get("name"), asked)
    if foreign:
        text = f"only Python notebooks can be run, and this one is in {foreign}"
        raise Failed("invalid", text)
    if known and is_python(known):
        return name, None
    found = f"the kernel `{name}` is not known here" if name else "the notebook names no kernel"
    return "python3", f"{found}: `python3` was used"


def installed_kernel(name: str) -> Any | None:
    specs = jupyter("jupyter_client.kernelspec")
    try:
        return specs.KernelSpecManager(ensure_native_kernel=False).get_kernel_spec(name)
    except specs.NoSuchKernel:
        return None


def kernel_command(name: str, overlay: Path | None) -> tuple[list[str], dict[str, str]]:
    """The arguments and variables that start a kernel; `{connection_file}` is yet to be filled in.

    `python3` is always this interpreter, even if a kernelspec of that name says otherwise.
    """
    if name != "python3" and (spec := installed_kernel(name)):
        arguments = [a.replace("{resource_dir}", spec.resource_dir) for a in spec.argv]
        return arguments, dict(spec.env)
    start = module_source(PROGRAM)
    if overlay:  # last on the path, so that the environment's own packages come first
        start = f"import sys; sys.path.append({str(overlay)!r})\n{start}"
    history = "--HistoryManager.hist_file=:memory:"
    parent = f"--IPKernelApp.parent_handle={os.getpid()}"
    return [sys.executable, "-c", start, "-f", "{connection_file}", history, parent], {}


class Kernel:
    """A kernel process, and the client that talks to it.

    We start the kernel ourselves instead of using Jupyter's manager, for two reasons. It can start
    while Jupyter is still being imported. And it uses sockets in a private folder: a free TCP port
    may be taken by another process before the kernel binds it.
    """

    def __init__(self, name: str, place: Place, log: Log) -> None:
        # The path of a socket has at most 107 characters, and TMPDIR may be longer.
        short = "/tmp" if os.access("/tmp", os.W_OK) else None  # noqa: S108 -- mkdtemp is safe there
        arguments, variables = kernel_command(name, place.overlay)
        self._waits = arguments[1:2] == ["-c"]  # it is our own program
        self.folder = Path(tempfile.mkdtemp(prefix="mlgate-", dir=short))
        self.connection: dict[str, Any] = {
            "transport": "ipc",
            "ip": str(self.folder / "k"),
            "key": uuid.uuid4().hex,
            "signature_scheme": "hmac-sha256",
            "kernel_name": name,
        }
        for number, channel in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1):
            self.connection[f"{channel}_port"] = number
        file = self.folder / "connection.json"
        file.write_text(json.dumps(self.connection))
        self.oom_kills = oom_kills()
        arguments = [a.replace("{connection_file}", str(file)) for a in arguments]
        variables = {**place.environment, **variables, "JPY_PARENT_PID": str(os.getpid())}
        child = None
        self.pipe = Pipe(log)
        if place.fork and name == "python3":
            child = place.fork(arguments, place.directory, variables, self.pipe.path)
        if child is None:
            child = start_program(arguments, place.directory, variables, self.pipe.writing)
        self.process = Process(child, str(self.folder))

    async def answer(self) -> dict[str, Any]:
        """Connects, and returns the kernel's info once it answers on both channels."""
        context = jupyter("zmq.asyncio").Context()
        # The limit of queued messages: our own program waits when it is reached, but other kernels
        # would lose messages.
        context.rcvhwm = 100 if self._waits else 0
        context.reconnect_ivl = 10  # milliseconds, because the kernel is still starting
        self.client = jupyter("jupyter_client.asynchronous").AsyncKernelClient(context=context)
        self.client.load_connection_info(self.connection)
        self.client.start_channels(stdin=False, hb=False)
        while True:
            self.client.kernel_info()
            with contextlib.suppress(queue.Empty):
                reply = await self.client.get_shell_msg(timeout=1)
                await self.client.get_iopub_msg(timeout=0.2)
                return dict(reply["content"])

    async def record(self) -> dict[str, Any] | None:
        """What the kernel knows of the exception that it showed last, if it answers.

        This is only called after a cell has failed, so it cannot affect notebooks that pass.
        """
        path = self.folder / "raised.json"
        source = f"{module_source(RECORDING)}\nwrite({str(path)!r})\n"
        request = f"__import__('builtins').exec({source!r}, {{'__name__': {RECORDING!r}}})"
        asked = self.client.execute(request, silent=True, store_history=False, allow_stdin=False)
        deadline = time.monotonic() + INTERRUPT_SECONDS
        unread = asyncio.ensure_future(self._drain())
        try:
            while (left := deadline - time.monotonic()) > 0:
                reply = await self.client.get_shell_msg(timeout=left)
                if reply["parent_header"].get("msg_id") == asked:
                    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
                    return record
        except (queue.Empty, OSError, ValueError):
            pass
        finally:
            unread.cancel()
        return None

    async def end(self, grace: float, stopped: Stopped) -> bool:
        """Asks the kernel to shut down, and kills it after `grace` seconds; at once if that is 0.

        Returns whether it was killed although it had time to end.
        """
        killed = False
        try:
            if grace:
                self.client.shutdown()
                unread = asyncio.ensure_future(self._drain())
                ends: set[asyncio.Future[Any]] = {self.process.ended, stopped}
                await asyncio.wait(ends, timeout=grace, return_when=FIRST)
                killed = not self.process.ended.done()
                unread.cancel()
        finally:
            await self.process.kill()
            await self.pipe.end()
        if hasattr(self, "client"):
            self.client.stop_channels()
        shutil.rmtree(self.folder, ignore_errors=True)
        return killed

    async def _drain(self) -> None:
        """Reads what threads of the kernel still print, because they may wait for a reader."""
        while True:
            await self.client.iopub_channel.get_msg(timeout=None)

    def death(self, label: str) -> Failed:
        how = f"{exit_text(self.process.ended.result())}, peak memory {peak_memory()}"
        if "SIGKILL" in how and oom_kills() > self.oom_kills:
            return Failed("out_of_memory", f"memory ran out in {label}: the kernel was {how}")
        return Failed("kernel_died", f"the kernel died in {label}: {how}")
