"""Implements `PredictFunctionApp`: `mlgate serve` inside a function app, without the listener.

The keeper and its clock run in their own thread, which starts when the worker loads the function.
So the first version loads before the first request, and neither requests nor other work in the
worker's loop delay a swap. As in `mlgate serve`, each model version runs in a child process. It
does not inherit the app's settings or the address of its identity, it can die without this process,
and it is loaded beside the version that serves. The child runs as the same user. It cannot read
this process's variables in /proc, unless it is root with CAP_SYS_PTRACE; we cannot hide those of
the Functions host.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import unquote, urlsplit

from handlers.local_handler import processes
from mlgate.hosts.in_functions import in_worker
from mlgate.hosts.serving import environments
from mlgate.hosts.serving.app import App
from mlgate.hosts.serving.keeper import Keeper
from mlgate.hosts.serving.settings import ServingSettings
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_models
from mlgate.hosts.usage import SettingsError, WrongSetting
from mlgate.orchestration.durable import ModelsPort
from mlgate.scorer.replies import Reply

log = logging.getLogger("mlgate")

# The Functions host owns the connection, so it sets these headers.
_THE_HOSTS = ("content-length", "connection")
# These have defaults on a laptop, but an app's folder is often read-only and differs per instance.
_REQUIRED = {
    "MLGATE_MODEL": "MODEL or MODEL@ID",
    "MLGATE_MODELS": "the URL of the blob container with the models",
}

Read = TypeVar("Read")


def begin() -> None:
    """Start loading this process's model, if Microsoft's worker is loading the function.

    Raises `SettingsError`, so that wrong settings are reported at the start. Anywhere else, the
    function folder can be imported without settings.
    """
    if in_worker():
        _server()


async def answered(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """What `mlgate serve` would answer to this request; the headers include the content type."""
    asked = _server().answer(method, unquote(urlsplit(url).path), headers, body)
    return await asyncio.wrap_future(asked)


@cache
def _server() -> _Server:
    """This process's server. Raises `SettingsError` with everything that is wrong."""
    wrong = [
        WrongSetting(name, "it is not set", f"set it to {what}")
        for name, what in _REQUIRED.items()
        if not os.environ.get(name, "").strip()
    ]
    settings = _read(Settings.read, wrong)
    serving = _read(ServingSettings.read, wrong)
    if wrong or settings is None or serving is None or serving.model is None:
        raise SettingsError(*wrong)
    return _Server(make_models(settings), serving.model, serving)


def _read(read: Callable[[], Read], wrong: list[WrongSetting]) -> Read | None:
    try:
        return read()
    except SettingsError as error:
        wrong.extend(error.settings)
        return None


class _Server:
    """Serves from its own thread until this process ends, and the model's process with it."""

    def __init__(self, models: ModelsPort, model: str, settings: ServingSettings) -> None:
        processes.be_readable(False)  # by the model, which runs as the same user
        place, self._held = own_folder(Path(tempfile.gettempdir(), "mlgate-predict"))
        self._keeper = Keeper(
            models,
            model,
            settings.pinned,
            environments.own,
            settings.formats,
            place,
            refresh=settings.refresh,
            swap_wait=settings.swap_wait,
        )
        self._app = App(self._keeper, settings.most)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="serving", daemon=True).start()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        """A future of the reply."""
        asked = self._reply(method, path, headers, body)
        return asyncio.run_coroutine_threadsafe(asked, self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._keeper.run())
        except BaseException:
            log.exception("the server of %s ended", self._keeper.model)
            os._exit(1)  # the Functions host then starts another worker, which can answer

    async def _reply(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """The whole reply of the ASGI application."""
        started: MutableMapping[str, Any] = {}
        content = bytearray()

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                started.update(event)
            elif method != "HEAD":
                content.extend(event["body"])

        scope = {
            "type": "http",
            "method": method,
            "path": path or "/",
            "headers": [
                (name.lower().encode(), value.encode("utf-8")) for name, value in headers.items()
            ],
        }
        await self._app(scope, receive, send)
        replied = {name.decode(): value.decode("latin-1") for name, value in started["headers"]}
        kept = {name: value for name, value in replied.items() if name not in _THE_HOSTS}
        return Reply(started["status"], replied["content-type"], bytes(content), kept)


def own_folder(root: Path) -> tuple[Path, IO[str]]:
    """A new folder for this process, and its lock, which must stay open while the folder is used.

    Workers are killed without notice, and the next one may run on the same small disk, so folders
    of earlier workers are removed here.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in root.glob("p-*"):
            with contextlib.suppress(OSError), (left / "lock").open("w") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix="p-", dir=root))
        holding = (made / "lock").open("w")
        fcntl.flock(holding, fcntl.LOCK_EX)
    return made, holding
