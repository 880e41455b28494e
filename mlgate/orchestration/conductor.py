"""Read, decide, act; and the only home of the error policy.

A message is either a start, which is stored and scheduled, or a look: one handler takes the
build's lease, gathers facts, acts step by step, saves after each, and schedules the next look.

Faults are sorted by where they strike. Before a build is stored: wait a little, then raise, so
that the queue delivers again. After it is stored: remember the fault, schedule the next look, and
let the message go. An exception that nobody foresaw is recorded and raised.
"""

from __future__ import annotations

import json
import logging
import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import SecretStr

from mlgate.orchestration.acts import Ports
from mlgate.orchestration.builds import Build, PipelineAddress, Verdict
from mlgate.orchestration.datacontract import unwrap
from mlgate.orchestration.errors import BadMessage, Permanent, Temporary
from mlgate.orchestration.hostpolicy import HostPolicy, check
from mlgate.orchestration.identity import build_key, pipeline_address
from mlgate.orchestration.leases import held
from mlgate.orchestration.messages import LookMessage, StartMessage, encode_look, parse
from mlgate.orchestration.ports import Completion, Envelope, Rejected, Rejection, Stored
from mlgate.orchestration.receive import new_build
from mlgate.orchestration.tokens import outlived
from mlgate.orchestration.turn import SupersededError, Turn, schedule

log = logging.getLogger("mlgate")

HAND_BACK = timedelta(seconds=2)  # until a look that this handler cannot take comes again


class Conductor:
    def __init__(self, ports: Ports, policy: HostPolicy) -> None:
        self.ports = ports
        self.policy = policy

    def handle(self, envelope: Envelope) -> Rejected | None:
        """Handle one message; None: complete it. Raises what must be delivered again."""
        try:
            message = parse(envelope.body)
            if isinstance(message, LookMessage):
                self._look(message, envelope.delivery_count)
            else:
                self._start(envelope, message)
        except BadMessage as error:
            return self._reject(envelope, error)
        return None

    def hint(self, key: str) -> bool:
        """Look at a build now, without a message; false when another handler is at it."""
        stored = self.ports.state.load(key)
        if stored is None or not stored.build.open or self._elsewhere(stored.build):
            return True
        return self._take_turn(key, stored.build.generation, stored.build.look)

    def cancel(self, key: str, reason: str) -> bool:
        """Ask for the end of a build; false when it is unknown or has ended."""
        return self._change(
            key, lambda build: replace(build, cancel_requested=build.cancel_requested or reason)
        )

    def abandon(self, key: str) -> bool:
        """End a build whose pipeline is known to be gone; false when unknown or ended."""
        return self._change(key, lambda build: replace(build, pipeline_ended=True))

    def nudge(self, stored: Stored) -> bool:
        """Begin a new chain of looks; false when the build was saved by somebody else meanwhile.

        The new generation makes every message of the old chain stale, and gives the new one an
        id that the queue has not seen.
        """
        build = stored.build
        build = replace(build, generation=build.generation + 1, next_look_at=self._now())
        if self.ports.state.save(build, stored.version) is None:
            return False
        schedule(self.ports, build)
        return True

    def _change(self, key: str, change: Callable[[Build], Build]) -> bool:
        while (stored := self.ports.state.load(key)) is not None and stored.build.open:
            if self.nudge(replace(stored, build=change(stored.build))):
                return True
        return False

    def _start(self, envelope: Envelope, message: StartMessage) -> None:
        found = pipeline_address(envelope.properties)
        address, token = found if found is not None else (None, None)
        if findings := check(message, self.policy, address):
            raise BadMessage(findings)
        raw = json.loads(unwrap(envelope.body))
        build = new_build(message, raw, self.policy, address, envelope.message_id, self._now())
        if token is not None and (warning := outlived(token, build.deadline)):
            build = replace(build, warnings=(*build.warnings, warning))
        try:
            created = self.ports.state.create(build, token)
            if not created:
                stored = self.ports.state.load(build.key)
                log.info("build %s was delivered before", build.build_id)
                if stored is None or not stored.build.open:
                    return
                build = stored.build
            schedule(self.ports, build)
        except Temporary as error:
            # Redelivery is immediate in Functions: without a wait, all deliveries burn in seconds.
            self.ports.clock.sleep(error.delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
            raise

    def _look(self, message: LookMessage, delivery_count: int) -> None:
        stored = self.ports.state.load(message.build)
        if stored is None or not stored.build.open:
            return
        build = stored.build
        if (message.generation, message.look) != (build.generation, build.look):
            just_done = (message.generation, message.look) == (build.generation, build.look - 1)
            if just_done and delivery_count > 1:
                # Its first handler may have died between saving and scheduling.
                schedule(self.ports, build)
            return
        # Whoever holds the lease may be dead; then nobody else would schedule a look.
        if self._elsewhere(build) or not self._take_turn(
            message.build, message.generation, message.look
        ):
            self._hand_back(message)

    def _take_turn(self, key: str, generation: int, look: int) -> bool:
        with held(self.ports.state, key, uuid.uuid4().hex) as ours:
            if not ours:
                return False
            stored = self.ports.state.load(key)
            if stored is None or not stored.build.open:
                return True
            if (stored.build.generation, stored.build.look) != (generation, look):
                return True
            try:
                Turn(self.ports, stored).take()
            except SupersededError:
                log.info("build %s: another handler went on with it", stored.build.build_id)
        return True

    def mend(self, envelope: Envelope) -> None:
        """Handle a start that the queue gave up on, unless it became a build or a rejection."""
        key = self._origin(envelope)[0]
        state = self.ports.state
        if state.load(key) is None and state.rejection(key) is None:
            self.handle(envelope)

    def _reject(self, envelope: Envelope, error: BadMessage) -> Rejected:
        key, address, token, more = self._origin(envelope)
        if more is not None and more.findings != error.findings:
            error = BadMessage((*error.findings, *more.findings))
        state = self.ports.state
        # Told before, perhaps; and one that follows a good one says nothing about that build.
        doubt = envelope.delivery_count > 1 or state.rejection(key) is not None
        known = state.load(key) is not None
        build_id = _said_of_itself(envelope.body)[1]
        state.reject(Rejection(key, self._now(), str(error), error.findings, build_id))
        log.warning("rejected message %s: %s", envelope.message_id, error)
        if address is not None and token is not None and not known:
            completion = Completion(
                Verdict.FAILED, "The message was rejected.", findings=error.findings
            )
            try:
                self.ports.pipeline.complete(address, token, completion, doubt=doubt)
            except Permanent as refused:
                log.warning("could not tell the pipeline: %s", refused)
        return Rejected("InvalidMessage", str(error))

    def _origin(
        self, envelope: Envelope
    ) -> tuple[str, PipelineAddress | None, SecretStr | None, BadMessage | None]:
        """Whose message this is, however bad: its key, the waiting step, what is wrong there."""
        address: PipelineAddress | None = None
        token: SecretStr | None = None
        wrong: BadMessage | None = None
        try:
            if found := pipeline_address(envelope.properties):
                address, token = found
        except BadMessage as error:
            wrong = error
        attempt = _said_of_itself(envelope.body)[0]
        return build_key(address, attempt, envelope.message_id), address, token, wrong

    def _elsewhere(self, build: Build) -> bool:
        return build.host is not None and self.ports.backend(build).host != build.host

    def _hand_back(self, message: LookMessage) -> None:
        # An id of its own: the queue may remember the one this message came with.
        message_id = f"{message.build}-{message.generation}-{message.look}-{uuid.uuid4().hex[:8]}"
        body = encode_look(message.build, message.generation, message.look)
        self.ports.queue.send(body, message_id, self._now() + HAND_BACK)

    def _now(self) -> datetime:
        return self.ports.clock.now()


def _said_of_itself(body: bytes) -> tuple[int, str | None]:
    """The attempt and build id that a rejected message gives, as far as it can be read."""
    try:
        said = json.loads(unwrap(body))
    except (BadMessage, ValueError, RecursionError):
        return 1, None
    if not isinstance(said, dict):
        return 1, None
    attempt, build_id = said.get("attempt"), said.get("build_id")
    return (
        attempt if isinstance(attempt, int) and not isinstance(attempt, bool) else 1,
        build_id if isinstance(build_id, str) else None,
    )
