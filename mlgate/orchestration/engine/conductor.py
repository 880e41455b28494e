"""Handles messages; everything that happens to a build goes through here.

A message is a start, which is stored, or a look, for which one handler takes the build's lease and
acts. Before the build is stored, an error sends the message back to the queue after a wait.
Afterwards the message is completed, and the look comes again in a message of its own.
"""

from __future__ import annotations

import logging
import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from mlgate.orchestration.admission.policy import HostPolicy
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import NOW, Due, Envelope, Rejected, Rejection, Stored
from mlgate.orchestration.engine import dispatch, pace, reception, saved
from mlgate.orchestration.engine.looks import hanging, held, wake
from mlgate.orchestration.engine.saved import SupersededError
from mlgate.orchestration.engine.turn import Turn
from mlgate.orchestration.engine.work import is_suspect
from mlgate.orchestration.errors import BadMessage, Busy, Temporary
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.text import one_line
from mlgate.orchestration.wire.messages import LookMessage, read

log = logging.getLogger("mlgate")

CHECKOUTS = 2  # at once, on one host: they take minutes, and a look of a second must not wait
MOST_REMEMBERED = 10_000  # builds with a look that was handed back
LONGEST_WAIT = 30.0  # seconds; a message that waits keeps its worker from leaving
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0  # seconds until a look that was handed back comes again
UNANSWERED_PAUSE = timedelta(seconds=30)  # so one that hangs does not take all of a pass
MOST_WAITS = 5  # a minute in all, which a suspect waits for another one


class Conductor:
    """Safe for threads."""

    def __init__(self, ports: Ports, policy: HostPolicy) -> None:
        self.ports = ports
        self.policy = policy
        self._checkouts = threading.BoundedSemaphore(CHECKOUTS)
        self._suspects = threading.BoundedSemaphore(1)
        self._handed_back: dict[str, tuple[int, datetime]] = {}  # the look, and when it comes again
        self._seen_elsewhere: dict[str, tuple[int, datetime]] = {}  # the look, and since when
        self._unanswered: dict[str, datetime] = {}  # collections not asked for dead letters until

    def handle(self, envelope: Envelope, *, dead_letters: bool = True) -> Rejected | None:
        """Handle one message; None: complete it. Raises what must be delivered again.

        `dead_letters`: the host can dead-letter a message, instead of letting its deliveries run
        out.
        """
        try:
            return self._handle(envelope)
        except Exception as error:
            if dead_letters and isinstance(error, reception.UnansweredError):
                # If it waited here for its own pipeline, the messages of others would wait, too.
                log.warning("message %s is dead-lettered: %s", one_line(envelope.message_id), error)
                return error.rejected
            # Redelivery is immediate in Functions: without a wait, all deliveries burn in seconds.
            delay = error.delay if isinstance(error, Temporary) else LONGEST_WAIT
            self._wait(min(delay, LONGEST_WAIT))
            raise

    def hint(self, key: str) -> bool:
        """Look at a build now, without a message; false when it must be tried again later."""
        stored = self.ports.state.load(key)
        if stored is None or not stored.build.open or self._elsewhere(stored.build):
            return True
        return self._take_turn(stored)

    def sweep(self, only: str | None = None) -> list[str]:
        """Wake the builds whose next look is overdue; returns their keys.

        `only` is the key of the one build that this host watches. Raises when the list of open
        builds cannot be read; a build that cannot be woken does not keep others from it.
        """
        woken = []
        for due in self.ports.state.due():
            if only not in (None, due.key) or not pace.overdue(due, self._now()):
                continue
            try:
                if self._wake_overdue(due):
                    woken.append(due.key)
            except Temporary as error:
                log.warning("build %s: it is overdue and could not be woken: %s", due.key, error)
            except Exception:
                log.exception("build %s: it is overdue and could not be woken", due.key)
        return woken

    def mend(self, envelope: Envelope, reason: str | None) -> bool:
        """Handle a message that was dead-lettered; true when it can be removed.

        `reason` is the dead letter's. Raises what may succeed the next time.
        """
        found = read(envelope.body)
        try:
            message = found.message()
        except BadMessage:
            message = None
        if isinstance(message, LookMessage):
            # It may have killed hosts, so it is not handled here, where other dead letters wait.
            stored = self.ports.state.load(message.build)
            if stored is not None and stored.build.open and stored.build.look == message.look:
                wake(self.ports.queue, message.build, message.look)
            return True
        useless = reception.of_no_use(self.ports, envelope, found, reason)
        if useless is not None:
            return useless
        origin = reception.Origin.of(envelope, found)
        collection = "" if origin.address is None else origin.address.plan_url
        pause = self._unanswered.get(collection, self._now()) - self._now()
        if NOW < pause <= UNANSWERED_PAUSE:  # a clock that was set back makes it no longer
            raise Busy(f"{collection} did not answer a moment ago.")
        # Hosts only peek at dead letters, so each of them may be here with this one.
        with held(self.ports.state, origin.key, uuid.uuid4().hex) as ours:
            if not ours:
                raise Busy("Another host handles this dead letter.")
            useless = reception.of_no_use(self.ports, envelope, found, reason)
            if useless is not None:
                return useless
            # It may have been reported when it was delivered.
            again = replace(envelope, delivery_count=max(2, envelope.delivery_count))
            try:
                return self._handle(again) is None
            except reception.UnansweredError:
                if len(self._unanswered) >= MOST_REMEMBERED:
                    self._unanswered.clear()
                self._unanswered[collection] = self._now() + UNANSWERED_PAUSE
                raise

    def build(self, key: str) -> Build | None:
        """The build as stored."""
        found = self.ports.state.load(key)
        return None if found is None else found.build

    def rejection(self, key: str) -> Rejection | None:
        """Why the message of that identity was refused, if it was."""
        return self.ports.state.rejection(key)

    def cancel(self, key: str, reason: str) -> bool:
        """Ask for the end of a build; false when it is unknown or has ended."""
        return saved.cancel(self.ports.state, key, reason)

    def abandon(self, key: str) -> bool:
        """Record that the build's pipeline is gone; false when it is unknown or has ended."""
        return saved.abandon(self.ports.state, key)

    def leave(self, key: str) -> Build | None:
        """Make sure that the backend was asked to cancel an open build's runs; raises what the
        backend raises. Returns the build as it is afterwards."""
        build = self.build(key)
        if build is not None and build.open:
            dispatch.cancel(self.ports, build)
        return build

    def _handle(self, envelope: Envelope) -> Rejected | None:
        found = read(envelope.body)
        try:
            message = found.message()
            if isinstance(message, LookMessage):
                again = envelope.delivery_count > 1 or message.handed_back > 0
                self._look(message, envelope.enqueued_at, again=again)
            else:
                reception.start(self.ports, self.policy, envelope, found, message)
        except BadMessage as error:
            return reception.reject(self.ports, envelope, found, error)
        except Exception as error:
            if (rejected := reception.give_up(self.ports, envelope, found, error)) is not None:
                return rejected
            raise
        return None

    def _look(self, message: LookMessage, at: datetime | None, *, again: bool) -> None:
        try:
            if self._looked(message, at, again=again):
                return
        except Exception as error:  # noqa: BLE001 -- the look comes again, in a message of its own
            log.warning("build %s: its look comes again: %s", message.build, error)
        self._hand_back(message)

    def _hand_back(self, message: LookMessage) -> None:
        """Resend a look that could not be taken, unless this host just did: copies of a message
        must not start chains of their own."""
        sent = self._handed_back.get(message.build)
        if sent is not None and sent[0] == message.look and self._now() < sent[1]:
            return
        seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(message.handed_back, 10))
        pause = timedelta(seconds=seconds)
        number = message.handed_back + 1
        wake(self.ports.queue, message.build, message.look, pause, handed_back=number)
        if len(self._handed_back) >= MOST_REMEMBERED:
            self._handed_back.clear()
        self._handed_back[message.build] = (message.look, self._now() + pause)

    def _looked(self, message: LookMessage, at: datetime | None, *, again: bool) -> bool:
        """Whether the look was taken, or is not due any more; `again`: another handler had it
        before, and `at` is the broker's time."""
        stored = self.ports.state.load(message.build)
        if stored is None or not stored.build.open:
            return True
        build = stored.build
        if message.look != build.look:
            if not again or message.look != build.look - 1:
                return True
            # That handler may have died between saving and sending, or not know that it saved.
            pause = (build.next_look_at or self._now()) - self._now()
            if pause > NOW:
                wake(self.ports.queue, build.key, build.look, min(pause, pace.LONGEST_PAUSE))
                return True
        return self._take_turn(stored, at, waits=message.handed_back < MOST_WAITS)

    def _take_turn(self, stored: Stored, at: datetime | None = None, *, waits: bool = True) -> bool:
        """False when this handler could not act, and the same look must come again."""
        build = stored.build
        elsewhere = self._elsewhere(build)
        if elsewhere and not self._is_abandoned(build):
            return False
        turn = Turn(self.ports, stored, self._checkouts, self.policy.models, at)
        hangs = hanging(self.ports.state, build.key, self.ports.clock, turn.steps)
        with self._apart(build, waits=waits) as free:
            if not free:
                return False
            with held(self.ports.state, build.key, uuid.uuid4().hex, hangs=hangs) as ours:
                if not ours:
                    return False
                try:
                    if elsewhere:
                        turn.give_up(f"The host {build.host}, where it ran, is gone.")
                    else:
                        turn.take()
                except SupersededError:
                    log.info("build %s: another handler saved it meanwhile", build.build_id)
                    return False
        return True

    @contextmanager
    def _apart(self, build: Build, *, waits: bool) -> Iterator[bool]:
        """Yield whether to act on the build now: suspects are acted on one at a time.

        A process that dies takes all its builds with it, though only one of them killed it. Apart
        from each other, the innocent ones are not blamed for a third death, after which a build
        skips the step.
        """
        suspect = is_suspect(build)
        ours = suspect and self._suspects.acquire(blocking=False)
        try:
            yield ours or not (suspect and waits)
        finally:
            if ours:
                self._suspects.release()

    def _elsewhere(self, build: Build) -> bool:
        """Whether the build's runs belong to another host, which alone can look at them."""
        if build.phase is not Phase.WATCHING or build.host is None:
            return False
        try:
            return self.ports.backend(build).host != build.host
        except Exception:
            # This host cannot know. Until the build must end, another host may.
            asked = build.cancel_requested is not None or build.pipeline_ended
            if not asked and self._now() < build.deadline:
                raise
            log.exception("build %s: its backend cannot be asked", build.build_id)
            return True

    def _is_abandoned(self, build: Build) -> bool:
        """Whether the only host that can look at a build has not done so for so long that it is
        gone.

        Each of its looks raises the look's number. How long the number stays the same is measured
        here, by one clock, since the other host's clock may be wrong. Where no process lasts long
        enough to measure it, the deadline ends the build.
        """
        now = self._now()
        if now >= build.deadline + pace.HOST_GONE:
            return True
        asked = build.cancel_requested is not None or build.pipeline_ended
        limit = pace.ENDING_GRACE if asked or now >= build.deadline else pace.HOST_GONE
        look, since = self._seen_elsewhere.get(build.key, (build.look, now))
        if len(self._seen_elsewhere) >= MOST_REMEMBERED:
            self._seen_elsewhere.clear()
        self._seen_elsewhere[build.key] = (build.look, since if look == build.look else now)
        return look == build.look and now >= since + limit

    def _wake_overdue(self, due: Due) -> bool:
        """Whether the build's look was overdue, and was sent again."""
        stored = self.ports.state.load(due.key)
        if stored is None or not stored.build.open:
            return False
        build = stored.build
        known = replace(due, at=build.next_look_at or build.received_at)
        if not pace.overdue(known, self._now()):
            self.ports.state.set_due(replace(known, wakes=0))
            return False
        log.info("build %s: its next look was overdue", build.build_id)
        try:
            wake(self.ports.queue, build.key, build.look)
        except Exception as error:  # noqa: BLE001 -- a host that cannot send may still look
            log.warning("build %s: it is looked at without a message: %s", build.build_id, error)
            return self._take_turn(stored, waits=False)  # no message counts how often it waits
        self.ports.state.set_due(Due(due.key, self._now(), due.wakes + 1))
        return True

    def _wait(self, seconds: float) -> None:
        self.ports.clock.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter

    def _now(self) -> datetime:
        return self.ports.clock.now()
