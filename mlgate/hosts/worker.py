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
from pathlib import Path
from typing import NoReturn

from mlgate.hosts.assembly import Application, assemble, check_containers
from mlgate.hosts.settings import Settings
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.ports import Envelope
from mlgate.orchestration.runs import Attempt
from mlgate.orchestration.shift import Shift
from mlgate.orchestration.sweeper import sweep, take_up

log = logging.getLogger("mlgate")

LISTENERS = 4  # messages handled at once; most of a look is waiting for somebody's answer
SWEEP_SECONDS = 15.0
ALIVE = "worker.alive"  # a file in the home, as old as the last sweep that all answered to
SIGNALS = (signal.SIGTERM, signal.SIGINT)
PARTING_SECONDS = 5.0  # for threads with nothing at hand to let go of their connections
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

    def follow(self, application: Application, shift: Shift) -> None:
        """Look at each hinted build until closed; a hint is lost without harm."""
        while (key := self._keys.get()) is not None:
            with shift.work() as begins:
                looked = not begins or _looked(application, key)
            if not looked:
                time.sleep(HINT_RETRY_SECONDS)
                self._keys.put(key)


def _looked(application: Application, key: str) -> bool:
    try:
        return application.conductor.hint(key)
    except Exception as error:  # noqa: BLE001 -- the scheduled look will meet it, too
        log.warning("a hinted look failed: %s", error)
        return True


class Worker:
    """Listeners, the hint follower and the sweeper of one application, on threads.

    `only` is the key of the one build that this worker is there for. `alive` is a file that is
    touched after each sweep to which the state and the queue have answered.
    """

    def __init__(
        self,
        application: Application,
        hints: Hints,
        *,
        listeners: int = LISTENERS,
        only: str | None = None,
        alive: Path | None = None,
    ) -> None:
        self._application = application
        self._hints = hints
        self._shift = Shift()
        self._only = only
        self._alive = alive
        targets = [*([self._listen] * listeners), self._follow_hints, self._sweep]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Receive nothing more; what is at hand is finished. Local runs go on."""
        self._shift.end()
        self._hints.close()

    def finish(self) -> None:
        """Stop, and wait until everything at hand is finished."""
        self.stop()
        self._shift.finish()

    def join(self) -> None:
        """Wait until everything at hand is finished, and let go of the application.

        A thread that has nothing at hand and still hangs in a call of the SDK's is left behind.
        """
        self._shift.finish()
        until = time.monotonic() + PARTING_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._application.close()

    def _listen(self) -> None:
        self._application.queue.listen(self._shift, self._application.conductor.handle)

    def _follow_hints(self) -> None:
        self._hints.follow(self._application, self._shift)

    def _sweep(self) -> None:
        owner = f"sweeper-{uuid.uuid4().hex}"
        while True:
            # The builds first: they must be mended also while the queue does not answer.
            answered = self._mend(owner)
            if self._only is None and not self._shift.over:
                try:
                    self._application.queue.dead_letters(self._take_up)
                except Exception as error:  # noqa: BLE001 -- asked again with the next sweep
                    log.warning("the dead letters could not be read: %s", error)
                    answered = False
            if answered and self._alive is not None:
                _touch(self._alive)
            if self._shift.pause(SWEEP_SECONDS):
                return

    def _take_up(self, envelope: Envelope) -> bool:
        with self._shift.work() as begins:
            return begins and take_up(self._application.conductor, envelope)

    def _mend(self, owner: str) -> bool:
        try:
            with self._shift.work() as begins:
                if begins:
                    sweep(self._application.conductor, owner, only=self._only)
        except Exception as error:  # noqa: BLE001 -- a sweeper that ends would do so unseen
            log.warning("the sweep failed: %s", error)
            return False
        return True


def _touch(file: Path) -> None:
    try:
        file.touch()
    except OSError as error:
        log.warning("%s cannot be written: %s", file, error.strerror)


def serve(settings: Settings) -> NoReturn:
    """Run a worker until SIGTERM or SIGINT, and end the process with 0 then.

    A second one ends it at once, whatever is at hand.
    """
    told = _signals()
    hints = Hints()
    application = assemble(settings, on_ended=hints.ended)
    application.queue.check()
    try:
        check_containers(settings)
    except Temporary as error:
        log.warning("%s", error)  # it may be back before the first message comes
    worker = Worker(application, hints, alive=settings.home / ALIVE)
    worker.start()
    print(f"mlgate worker: receiving from {settings.service_bus.queue}", file=sys.stderr)
    os.read(told, 1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    print("mlgate worker: finishing what is at hand; once more to leave at once", file=sys.stderr)
    worker.stop()
    worker.join()
    # The SDK's lock renewer has threads that the interpreter would wait for, however long.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)


def _signals() -> int:
    """A descriptor that can be read from once one of `SIGNALS` came.

    Not an Event: a signal that comes when a thread is about to wait for one does not wake it.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return told
