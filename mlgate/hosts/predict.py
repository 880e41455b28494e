"""What `PredictFunctionApp` does: `mlgate serve` inside a function app, without the listener.

The keeper and its clock run in a thread of their own, from the moment that the worker loads the
function. So the first version is being loaded before anybody asks, and neither a request nor a
function of the worker's own loop holds up a swap. As in `mlgate serve`, the model is in a child
process, which does not inherit the app's settings or the address of its identity, may die alone,
and is loaded beside the one that serves. It runs as the same user. It cannot read this process's
variables in /proc, unless it is root with CAP_SYS_PTRACE; those of the Functions host are not ours
to hide.
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
from mlgate.hosts.settings import Settings, SettingsError
from mlgate.hosts.stores import make_models
from mlgate.orchestration.durable import ModelsPort
from mlgate.scorer.replies import Reply

log = logging.getLogger("mlgate")

# The Functions host has the connection: it counts the bytes, and decides when to close.
_THE_HOSTS = ("content-length", "connection")
# What a laptop has defaults for. An app's own folder can often not be written, and is one of many.
_REQUIRED = {
    "MLGATE_MODEL": "MODEL or MODEL@ID",
    "MLGATE_MODELS": "the URL of the blob container with the models",
}

Read = TypeVar("Read")


def begin() -> None:
    """Have this process's model loaded, where Microsoft's worker loads the function.

    Raises `SettingsError`, so that wrong settings are reported at the start. Elsewhere the function
    folder can be imported without any.
    """
    if in_worker():
        _server()


async def answered(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """What `mlgate serve` answers to such a request; the headers have the content type, too."""
    asked = _server().answer(method, unquote(urlsplit(url).path), headers, body)
    return await asyncio.wrap_future(asked)


@cache
def _server() -> _Server:
    """The one of this process. Raises `SettingsError`, with all that is wrong."""
    wrong = [
        f"{name}: it is not set; set it to {what}."
        for name, what in _REQUIRED.items()
        if not os.environ.get(name, "").strip()
    ]
    settings = _read(Settings.read, wrong)
    serving = _read(ServingSettings.read, wrong)
    if wrong or settings is None or serving is None or serving.model is None:
        raise SettingsError("\n".join(wrong))
    return _Server(make_models(settings), serving.model, serving)


def _read(read: Callable[[], Read], wrong: list[str]) -> Read | None:
    try:
        return read()
    except SettingsError as error:
        wrong.append(str(error))
        return None


class _Server:
    """Serves from its own thread until the process ends, which ends the model's with it."""

    def __init__(self, models: ModelsPort, model: str, settings: ServingSettings) -> None:
        processes.be_readable(False)  # by the model, which is of the same user
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
            os._exit(1)  # the Functions host starts another worker, as nothing is answered here

    async def _reply(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """What the ASGI application sends, at once and whole."""
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
        told = {name.decode(): value.decode("latin-1") for name, value in started["headers"]}
        kept = {name: value for name, value in told.items() if name not in _THE_HOSTS}
        return Reply(started["status"], told["content-type"], bytes(content), kept)


def own_folder(root: Path) -> tuple[Path, IO[str]]:
    """A new folder of this process, and what has to stay open as long as it is used.

    A worker is ended without a word, and its instance may go on with a small disk: so what those
    before left is removed.
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
