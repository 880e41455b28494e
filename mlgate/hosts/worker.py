"""A process that receives from the queue and handles messages until a signal asks it to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path

from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.hints import Hints
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import check_containers
from mlgate.hosts.terminal import complain
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.shift import Shift

__all__ = ["ALIVE", "LISTENERS", "Hints", "Worker", "serve"]

log = logging.getLogger("mlgate")

LISTENERS = 4  # messages handled at once; a look mostly waits for replies
SWEEP_SECONDS = 15.0
ALIVE = "worker.alive"  # a file in the home, touched after each sweep that worked
SIGNALS = (signal.SIGTERM, signal.SIGINT)
PARTING_SECONDS = 5.0  # for idle threads to close their connections


class Worker:
    """Runs one application on threads: listeners, hints, two sweepers and the history page.

    `only` is the key of the one build that this worker serves; None for any build. `alive` is a
    file that is touched after each sweep that worked, as long as the queue answers the listeners.
    `lost` is set when a dead letter was found that cannot be handled now.
    """

    def __init__(
        self,
        application: Application,
        hints: Hints,
        *,
        listeners: int = LISTENERS,
        only: str | None = None,
        alive: Path | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self.lost = threading.Event()
        self._application = application
        self._hints = hints
        self._shift = Shift()
        self._only = only
        self._alive = alive
        self._sweep_seconds = sweep_seconds
        # Dead letters have their own thread, so that many of them, or a slow queue, delay neither
        # the sweep of the builds nor the touching of `alive`.
        others = [self._follow_hints, self._sweep, self._mend_dead_letters]
        if only is None:
            others.append(self._refresh_history)
        targets = [*([self._listen] * listeners), *others]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Receive no more messages; what has begun still finishes. Local runs go on."""
        self._shift.end()
        self._hints.close()

    def finish(self) -> None:
        """Stop, and wait until everything that has begun is finished."""
        self.stop()
        self._shift.finish()

    def join(self, parting_seconds: float = PARTING_SECONDS) -> None:
        """Wait until everything that has begun is finished, then close the application.

        An idle thread that is still in a call of the SDK after `parting_seconds` is left behind.
        """
        self._shift.finish()
        until = time.monotonic() + parting_seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._application.close()

    def _listen(self) -> None:
        self._application.queue.listen(self._shift, self._application.conductor.handle)

    def _follow_hints(self) -> None:
        self._hints.follow(self._application.conductor.hint, self._shift)

    def _sweep(self) -> None:
        while True:
            answered = False
            try:
                with self._shift.work() as begins:
                    if begins:
                        self._application.conductor.sweep(self._only)
                        answered = True
            except Exception as error:  # noqa: BLE001 -- the sweeper must not end silently
                log.warning("the sweep failed: %s", error)
            if answered and self._alive is not None and self._application.queue.answers:
                _touch(self._alive)
            if self._shift.pause(self._sweep_seconds):
                return

    def _mend_dead_letters(self) -> None:
        if self._only is not None and self._shift.pause(self._sweep_seconds):
            return  # a queue made for one build has no old dead letters
        while True:
            try:
                if self._application.queue.mend_dead_letters(self._mend, self._is_over):
                    self.lost.set()
            except Exception as error:  # noqa: BLE001 -- the next pass tries again
                if not self._shift.over:
                    log.warning("the dead letters could not be read: %s", error)
            if self._shift.pause(self._sweep_seconds):
                return

    def _refresh_history(self) -> None:
        while not self._shift.pause(self._sweep_seconds):
            self._application.refresh_history()

    def _mend(self, envelope: Envelope, reason: str | None) -> bool:
        with self._shift.work() as begins:
            return begins and self._application.conductor.mend(envelope, reason)

    def _is_over(self) -> bool:
        return self._shift.over


def _touch(file: Path) -> None:
    try:
        file.touch()
    except OSError as error:
        log.warning("%s cannot be written: %s", file, error.strerror)


def serve(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT. A second signal ends the process at once.

    Threads of the SDK's lock renewer may be left, for which an interpreter would wait.
    """
    asked = _signals()
    hints = Hints()
    application = assemble(settings, on_ended=hints.ended)
    application.queue.check()
    try:
        check_containers(settings)
    except Temporary as error:
        log.warning("%s", error)  # the storage may be back before the first message arrives
    worker = Worker(application, hints, alive=settings.home / ALIVE)
    worker.start()
    complain(f"mlgate worker: receiving from {settings.service_bus.queue}")
    os.read(asked, 1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    complain("mlgate worker: finishing what has begun; send the signal again to exit at once")
    worker.stop()
    worker.join()


def _signals() -> int:
    """A descriptor that becomes readable when one of `SIGNALS` arrives.

    Not an Event: a signal that arrives just before a thread waits for the Event doesn't wake it.
    """
    asked, ask = os.pipe()
    os.set_blocking(ask, False)
    signal.set_wakeup_fd(ask)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return asked
