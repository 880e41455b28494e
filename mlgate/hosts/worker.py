"""A process that receives from the queue and handles messages until it is told to stop."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
import uuid
from typing import NoReturn

from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.settings import Settings
from mlgate.orchestration.runs import Attempt
from mlgate.orchestration.sweeper import sweep

log = logging.getLogger("mlgate")

LISTENERS = 4  # messages handled at once; most of a look is waiting for somebody's answer
SWEEP_SECONDS = 15.0
LEAVING_SECONDS = 90.0  # a look takes 60 at most
HINT_RETRY_SECONDS = 0.05  # until the handler that is at the build has saved


class Hints:
    """Runs that ended on this machine: their builds are looked at now, not at the next look."""

    def __init__(self) -> None:
        self._keys: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ended(self, attempt: Attempt) -> None:
        self._keys.put(attempt.build)

    def look(self, key: str) -> None:
        self._keys.put(key)

    def close(self) -> None:
        self._keys.put(None)

    def follow(self, application: Application) -> None:
        """Look at each hinted build until closed; a hint is lost without harm."""
        while (key := self._keys.get()) is not None:
            try:
                if not application.conductor.hint(key):
                    time.sleep(HINT_RETRY_SECONDS)
                    self._keys.put(key)
            except Exception as error:  # noqa: BLE001 -- the scheduled look will meet it, too
                log.warning("a hinted look failed: %s", error)


class Worker:
    """Listeners, the hint follower and the sweeper of one application, on threads.

    `only` is the key of the one build that this worker is there for.
    """

    def __init__(
        self,
        application: Application,
        hints: Hints,
        *,
        listeners: int = LISTENERS,
        only: str | None = None,
    ) -> None:
        self._application = application
        self._hints = hints
        self._stop = threading.Event()
        self._only = only
        targets = [*([self._listen] * listeners), self._follow_hints, self._sweep]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Receive nothing more; what is at hand is finished. Local runs go on."""
        self._stop.set()
        self._hints.close()

    def join(self) -> None:
        """Wait until everything at hand is finished, and let go of it.

        What takes longer than a look may is left: its message is delivered again.
        """
        until = time.monotonic() + LEAVING_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            log.warning("a listener did not end in time; its message is delivered again")
        else:
            self._application.close()

    def _listen(self) -> None:
        self._application.queue.listen(self._stop, self._application.conductor.handle)

    def _follow_hints(self) -> None:
        self._hints.follow(self._application)

    def _sweep(self) -> None:
        owner = f"sweeper-{uuid.uuid4().hex}"
        application = self._application
        while True:
            try:
                sweep(application.conductor, owner, only=self._only)
                if self._only is None:
                    sweep(application.conductor, owner, application.queue.dead_letters())
            except Exception as error:  # noqa: BLE001 -- a sweeper that ends would do so unseen
                log.warning("the sweep failed: %s", error)
            if self._stop.wait(SWEEP_SECONDS):
                return


def serve(settings: Settings) -> NoReturn:
    """Run a worker until SIGTERM or SIGINT; ends the process with 0 then."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    hints = Hints()
    application = assemble(settings, on_ended=hints.ended)
    application.queue.check()
    worker = Worker(application, hints)
    worker.start()
    print(f"mlgate worker: receiving from {settings.service_bus.queue}", file=sys.stderr)
    done.wait()
    print("mlgate worker: finishing what is at hand", file=sys.stderr)
    worker.stop()
    worker.join()
    # Threads of the SDK may outlive their clients and keep the interpreter from ending.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)
