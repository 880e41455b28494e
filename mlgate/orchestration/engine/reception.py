"""A start message, received: a new build, one that is known already, or a rejection.

A rejected message ends the step that waits for it, and is remembered with its reason. So does a
start of an identity that was judged before, or of an open build with another body.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from pydantic import SecretStr

from mlgate.orchestration.admission.identity import (
    already_judged,
    build_key,
    different_body,
    pipeline_address,
)
from mlgate.orchestration.admission.new_build import new_build
from mlgate.orchestration.admission.policy import HostPolicy, check
from mlgate.orchestration.admission.tokens import outlived
from mlgate.orchestration.builds import Build, PipelineAddress, Verdict
from mlgate.orchestration.durable import Envelope, Rejected, Rejection
from mlgate.orchestration.engine import trouble
from mlgate.orchestration.engine.looks import wake
from mlgate.orchestration.errors import BadMessage, Finding, Permanent, Temporary, UnfitHost
from mlgate.orchestration.findings import Code, finding
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.telling import Completion
from mlgate.orchestration.text import one_line
from mlgate.orchestration.wire.messages import Read, Request

log = logging.getLogger("mlgate")

INVALID = "InvalidMessage"  # the reason of a dead letter that was rejected
SHOWN_FOR = timedelta(days=7)  # a rejected message stays among the dead letters for people
PATIENCE = timedelta(minutes=10)  # with what keeps a start from being stored, before its step ends
MOST_SAID = 4_000  # characters of a reason; its findings say more
NOT_STORED = "NotStored"  # the reason of one that could not be
UNANSWERED = "PipelineUnanswered"  # the reason of one whose pipeline could not be asked


class UnansweredError(Temporary):
    """The message's own pipeline does not answer: it is tried again among the dead letters."""

    def __init__(self, rejected: Rejected, error: Exception) -> None:
        delay = error.delay if isinstance(error, Temporary) else math.inf
        super().__init__(f"its pipeline does not answer: {trouble.sentence(error)}", delay)
        self.rejected = rejected


def start(
    ports: Ports, policy: HostPolicy, envelope: Envelope, read: Read, message: Request
) -> None:
    """Store a new build and have it looked at; raises `BadMessage` for what must be rejected."""
    found = pipeline_address(envelope.properties)
    address, token = found if found is not None else (None, None)
    if findings := check(message, policy, address):
        raise BadMessage(findings)
    build = new_build(message, read, policy, address, envelope, ports.clock.now())
    if token is not None and (warning := outlived(token, build.deadline)):
        build = replace(build, warnings=(*build.warnings, warning))
    # Read before it is written: an earlier delivery may have stored it without knowing.
    known = ports.state.load(build.key)
    if known is None and _is_late(ports, envelope) and build.pipeline is not None:
        waits = _waits(ports, build, token, otherwise=True)
        if waits is None:
            raise BadMessage([_not_stored("Its pipeline cannot be asked whether it still waits.")])
        if not waits:
            log.warning("build %s: nobody waits for it any more", build.build_id)
            return
    if known is None and ports.state.create(build, token):
        log.info("build %s: received", build.build_id)
        wake(ports.queue, build.key, build.look)
    elif known := known or ports.state.load(build.key):
        _meet(ports, known.build, build, token, envelope.delivery_count)
    else:
        raise Temporary(f"Build {build.key} is known but cannot be found.")


def _is_late(ports: Ports, envelope: Envelope) -> bool:
    """Whether a start could not be stored for so long that its step may have been ended."""
    since = envelope.enqueued_at
    return since is not None and ports.clock.now() >= since + PATIENCE


def _meet(
    ports: Ports, known: Build, build: Build, token: SecretStr | None, deliveries: int
) -> None:
    """A start of a known identity: another copy of the one whose build is open, or one that raises
    `BadMessage` where somebody waits for an answer to it."""
    same = known.body == build.body
    # If asking kills hosts, leave it to the completion, which reads the step's own record.
    deadly = deliveries > trouble.DEATHS and build.pipeline is not None
    copy = deadly or known.message_id == build.message_id or build.pipeline is None
    if (
        known.open
        and same
        and not known.pipeline_ended
        and (copy or _step_still_waits(ports, known, build, token))
    ):
        log.info("build %s: its message was delivered before", known.build_id)
        # The handler of the first copy may have died before it sent for the look.
        wake(ports.queue, known.key, known.look)
        return
    if deadly:
        waits: bool | None = True
    elif (waits := _waits(ports, build, token, otherwise=not same)) is None:
        # The completion reads the step's own record. The step of an open build is that build's.
        waits = not known.open
    if waits:
        judged = known.verdict is not None
        raise BadMessage([already_judged(known) if judged or same else different_body(known)])
    log.info("build %s: nobody waits for another copy of its message", known.build_id)


def _step_still_waits(ports: Ports, known: Build, build: Build, token: SecretStr | None) -> bool:
    """Whether another message of the same step came while it waits; its token is the newer one."""
    if known.pipeline != build.pipeline or not _waits(ports, build, token, otherwise=True):
        return False
    ports.state.forget_token(known.key)
    ports.state.create(build, token)
    return True


def _waits(ports: Ports, build: Build, token: SecretStr | None, *, otherwise: bool) -> bool | None:
    """Whether the step of a start that comes too late waits; `otherwise`: where there is none.

    None: its pipeline cannot be asked.
    """
    if build.pipeline is None or token is None:
        return otherwise
    try:
        return ports.pipeline.is_waiting(build.pipeline, token)
    except Permanent as error:
        log.warning("build %s: its pipeline cannot be asked: %s", build.build_id, error)
        return None
    except Exception as error:  # of this one message, whatever it is
        why = f"Its pipeline cannot be asked whether it still waits: {trouble.sentence(error)}"
        raise UnansweredError(Rejected(UNANSWERED, why), error) from error


def reject(ports: Ports, envelope: Envelope, read: Read, error: BadMessage) -> Rejected:
    """Remember a message that cannot be handled, and end the step that waits for it.

    Raises what the state raises, and `UnansweredError` unless the step has ended or the pipeline
    refuses that.
    """
    origin = Origin.of(envelope, read)
    error = origin.completed(error)
    said = one_line(str(error), MOST_SAID)
    log.warning("rejected message %s: %s", one_line(envelope.message_id), said)
    # It may have been reported before, or follow another one of the same step.
    doubt = envelope.delivery_count > 1 or _is_late(ports, envelope) or _known(ports, origin.key)
    waits = origin.address is not None and origin.token is not None
    rejection = origin.rejection(said, error.findings, envelope, ports.clock.now())
    try:
        if not waits or envelope.delivery_count <= trouble.DEATHS:  # that may kill hosts
            ports.state.reject(replace(rejection, told=not waits))
    finally:
        # The step is completed even if the rejection cannot be stored, which is tried again.
        if waits:
            _end_step(ports, origin, error, Rejected(INVALID, said), doubt=doubt)
    if waits:
        ports.state.reject(rejection)
    return Rejected(INVALID, said)


def give_up(ports: Ports, envelope: Envelope, read: Read, error: Exception) -> Rejected | None:
    """End the step of a start that could not be stored for too long; None before then, where nobody
    waits, and where it is stored after all."""
    origin = Origin.of(envelope, read)
    if not _is_late(ports, envelope) or origin.token is None:
        return None
    if _is_stored(ports, origin.key):
        return None
    what = f"The build could not be started: {trouble.sentence(error)}"
    found = BadMessage([_not_stored(what)])
    _end_step(ports, origin, found, Rejected(UNANSWERED, what), doubt=True)
    rejection = origin.rejection(what, found.findings, envelope, ports.clock.now())
    try:
        ports.state.reject(rejection)
    except Exception as another:  # noqa: BLE001 -- it is the state that does not answer
        log.warning("a rejection was not remembered: %s", another)
    return Rejected(NOT_STORED, what)


def _end_step(
    ports: Ports, origin: Origin, error: BadMessage, rejected: Rejected, *, doubt: bool
) -> None:
    """End the waiting step with what is wrong."""
    assert origin.address is not None
    assert origin.token is not None
    completion = Completion(Verdict.FAILED, "The message was rejected.", findings=error.findings)
    try:
        ports.pipeline.complete(origin.address, origin.token, completion, doubt=doubt)
    except Exception as failed:
        if not isinstance(failed, Permanent) or isinstance(failed, UnfitHost):
            raise UnansweredError(rejected, failed) from failed
        log.warning("the step of a rejected message cannot be completed: %s", failed)


def of_no_use(ports: Ports, envelope: Envelope, read: Read, reason: str | None) -> bool | None:
    """Whether a start among the dead letters may go; None: it is still to be handled.

    One that was rejected stays for people to see, and is still to be handled if its step still
    waits. Once a later message of the same step is a rejection or a build, that one ends the step.
    """
    since = envelope.enqueued_at
    shown = since is not None and ports.clock.now() > since + SHOWN_FOR
    origin = Origin.of(envelope, read)
    waits = origin.address is not None and origin.token is not None
    if reason == NOT_STORED or (reason == INVALID and not waits):
        return shown
    rejection = ports.state.rejection(origin.key)
    ours = rejection is not None and rejection.message_id == envelope.message_id
    if shown and (ours or reason in (INVALID, UNANSWERED)):
        return True
    if rejection is not None and (rejection.told if ours else reason == INVALID):
        return False
    stored = ports.state.load(origin.key)
    if stored is not None and stored.build.message_id == envelope.message_id:
        return True
    if stored is not None and stored.build.open and (ours or reason == INVALID):
        later = since is not None and since < stored.build.received_at
        return False if later else None
    return None


def _known(ports: Ports, key: str) -> bool:
    """True also when the state does not answer: it may be known."""
    try:
        return ports.state.rejection(key) is not None or ports.state.load(key) is not None
    except Exception as error:  # noqa: BLE001 -- the waiting step is completed all the same
        log.info("could not check whether %s is known: %s", key, error)
        return True


def _is_stored(ports: Ports, key: str) -> bool:
    """False also when the state does not answer: its build cannot be acted on either."""
    try:
        return ports.state.load(key) is not None
    except Exception as error:  # noqa: BLE001 -- the first one is the reason
        log.info("could not check whether build %s is stored: %s", key, error)
        return False


def _not_stored(what: str) -> Finding:
    return finding(
        Code.NOT_STORED, "", what, "Check the log of mlgate's host, then run the step again."
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose message it is, however bad: its key, the waiting step, and what is wrong there."""

    key: str
    address: PipelineAddress | None = None
    token: SecretStr | None = None
    build_id: str | None = None
    wrong: BadMessage | None = None

    @classmethod
    def of(cls, envelope: Envelope, read: Read) -> Self:
        address: PipelineAddress | None = None
        token: SecretStr | None = None
        wrong: BadMessage | None = None
        try:
            if found := pipeline_address(envelope.properties):
                address, token = found
        except BadMessage as error:
            wrong = error
        message_id = envelope.message_id or read.fingerprint
        key = build_key(address, read.attempt, message_id)
        return cls(key, address, token, read.build_id, wrong)

    def rejection(
        self, reason: str, findings: tuple[Finding, ...], envelope: Envelope, now: datetime
    ) -> Rejection:
        """The message as it is remembered."""
        return Rejection(
            self.key, now, reason, findings, self.build_id, message_id=envelope.message_id
        )

    def completed(self, error: BadMessage) -> BadMessage:
        """The error with what is wrong with the pipeline's properties."""
        if self.wrong is None or self.wrong.findings == error.findings:
            return error
        return BadMessage((*error.findings, *self.wrong.findings))
