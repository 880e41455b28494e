"""`mlgate serve`: listens until SIGTERM, then answers the requests it already has."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import uvicorn

from handlers.local_handler import processes
from mlgate.hosts.exit_codes import COULD_NOT_RUN, OK
from mlgate.hosts.serving import environments
from mlgate.hosts.serving.app import App
from mlgate.hosts.serving.keeper import DRAIN, Keeper
from mlgate.hosts.serving.settings import ServingSettings
from mlgate.hosts.terminal import complain, say
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.durable import ModelsPort


def serve(
    models: ModelsPort,
    settings: ServingSettings,
    home: Path,
    *,
    host: str,
    port: int,
    own_environment: bool,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises what the store raises."""
    processes.be_readable(False)  # by the model, which runs as the same user
    model = settings.model or _only(models)
    models.head(model)  # raises now if the store cannot be read
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
        # Connections inherit this. asyncio sets it only on sockets that name their protocol, and an
        # answer is written in two parts: the second would wait 40 ms for the first one's ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        complain(f"mlgate: cannot listen on {host}:{port}: {error.strerror or error}")
        return COULD_NOT_RUN
    maker = environments.Maker(home / "serving-environments")
    with tempfile.TemporaryDirectory(prefix="mlgate-", ignore_cleanup_errors=True) as folder:
        make = partial(
            Keeper,
            models,
            model,
            settings.pinned,
            environments.own if own_environment else maker.make,
            settings.formats,
            Path(folder),
            refresh=settings.refresh,
            swap_wait=settings.swap_wait,
        )
        asyncio.run(_run(make, listener, settings.most, model, maker.stop))
    return OK


async def _run(
    make: Callable[[], Keeper],
    listener: socket.socket,
    most: int,
    model: str,
    stop: Callable[[], None],
) -> None:
    config = uvicorn.Config(
        App(make(), most),
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(DRAIN),
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    host, port = listener.getsockname()[:2]
    say(f"{model} is served on http://{f'[{host}]' if ':' in host else host}:{port}/")
    await server.serve(sockets=[listener])
    stop()  # ends the creation of an environment in another thread


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the loop handles signals, so the process can end normally afterwards."""
        yield


def _only(models: ModelsPort) -> str:
    names = models.models()
    if len(names) == 1:
        return names[0]
    there = f"The store has {', '.join(names[:20])}." if names else "The store has no models yet."
    raise UsageError(f"name the model to serve, or set MLGATE_MODEL. {there}")
