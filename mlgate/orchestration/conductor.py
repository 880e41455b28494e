"""Read, decide, act; and the only home of the error policy.

A message is either a start, which is stored and scheduled, or a look: one handler takes the
build's lease, gathers facts, acts step by step, saves after each, and schedules the next look.

Faults are sorted by where they strike. Before a build is stored: wait a little, then raise, so
that the queue delivers again. After it is stored: remember the fault, schedule the next look, and
let the message go, also after an exception that nobody foresaw.
"""

from __future__ import annotations

import json
import logging
import random
import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import SecretStr

from mlgate.orchestration.acts import Ports
from mlgate.orchestration.builds import Build, Phase, PipelineAddress, Verdict
from mlgate.orchestration.datacontract import unwrap
from mlgate.orchestration.errors import BadMessage, Permanent, Temporary
from mlgate.orchestration.hostpolicy import HostPolicy, check
from mlgate.orchestration.identity import build_key, pipeline_address
from mlgate.orchestration.leases import held
from mlgate.orchestration.messages import LookMessage, StartMessage, encode_look, parse
from mlgate.orchestration.ports import Envelope, Rejected, Rejection, Stored
from mlgate.orchestration.receive import new_build
from mlgate.orchestration.tokens import outlived
from mlgate.orchestration.told import Completion
from mlgate.orchestration.turn import SupersededError, Turn, schedule

log = logging.getLogger("mlgate")

HOST_GRACE = timedelta(minutes=10)  # after the deadline, for the host of local runs to come back
LONGEST_WAIT = 30.0  # seconds; a message at hand keeps its worker from leaving, too
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
            self._wait(error)
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
        if not self._take_turn(message.build, message.generation, message.look):
            self._hand_back(message)

    def _take_turn(self, key: str, generation: int, look: int) -> bool:
        """False when this handler could not act, and the same look must come again."""
        with held(self.ports.state, key, uuid.uuid4().hex) as ours:
            if not ours:
                return False
            stored = self.ports.state.load(key)
            if stored is None or not stored.build.open:
                return True
            build = stored.build
            if (build.generation, build.look) != (generation, look):
                return True
            turn = Turn(self.ports, stored)
            try:
                if not self._elsewhere(build):
                    turn.take()
                elif self._now() >= build.deadline + HOST_GRACE:
                    turn.give_up(f"The host {build.host}, where it ran, did not come back.")
                else:
                    return False
            except SupersededError:
                log.info("build %s: somebody else saved it meanwhile", build.build_id)
                return False
        return True

    def mend(self, envelope: Envelope) -> None:
        """Handle a start that the queue gave up on, unless all was done that can be done."""
        key = self._origin(envelope)[0]
        rejection = self.ports.state.rejection(key)
        if self.ports.state.load(key) is None and (rejection is None or not rejection.told):
            self.handle(envelope)

    def _reject(self, envelope: Envelope, error: BadMessage) -> Rejected:
        key, address, token, more = self._origin(envelope)
        if more is not None and more.findings != error.findings:
            error = BadMessage((*error.findings, *more.findings))
        state = self.ports.state
        # Told before, perhaps; and one that follows a good one says nothing about that build.
        doubt = envelope.delivery_count > 1 or state.rejection(key) is not None
        waiting = address is not None and token is not None and state.load(key) is None
        build_id = _said_of_itself(envelope.body)[1]
        rejection = Rejection(key, self._now(), str(error), error.findings, build_id)
        log.warning("rejected message %s: %s", envelope.message_id, error)
        state.reject(replace(rejection, told=not waiting))
        if address is not None and token is not None and waiting:
            completion = Completion(
                Verdict.FAILED, "The message was rejected.", findings=error.findings
            )
            try:
                self.ports.pipeline.complete(address, token, completion, doubt=doubt)
            except Permanent as refused:
                log.warning("could not tell the pipeline: %s", refused)
            except Temporary as busy:
                self._wait(busy)
                raise
            state.reject(rejection)
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

    def _wait(self, error: Temporary) -> None:
        """Redelivery is immediate in Functions: without a wait, all deliveries burn in seconds."""
        seconds = min(error.delay, LONGEST_WAIT)
        self.ports.clock.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter

    def _elsewhere(self, build: Build) -> bool:
        """Whether the build's runs belong to another host, which alone can look at them."""
        if build.phase is not Phase.WATCHING or build.host is None:
            return False
        return self.ports.backend(build).host != build.host

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
        # Half a surrogate pair, which JSON can hold, would fit into no file.
        build_id.encode("utf-8", "replace").decode() if isinstance(build_id, str) else None,
    )
