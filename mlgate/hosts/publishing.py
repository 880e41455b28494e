"""`mlgate publish`: send a message to the configured queue and, with `--wait`, follow its build.

Without a pipeline, the message's id identifies the build. The id is chosen here, so the build's key
is known before a host has started it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from handlers.servicebus_handler import ServiceBusQueue
from mlgate.hosts import github
from mlgate.hosts.assembly import make_queue
from mlgate.hosts.console import view
from mlgate.hosts.ending import exit_code, show_end
from mlgate.hosts.exit_codes import INTERRUPTED, OK
from mlgate.hosts.following import Followed, Follower, is_withdrawn, remains
from mlgate.hosts.interrupts import Interrupts
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files, make_state
from mlgate.hosts.terminal import OutputError, complain, say, say_json_text
from mlgate.hosts.usage import SettingsError, UsageError, WrongSetting
from mlgate.orchestration.admission.identity import build_key
from mlgate.orchestration.admission.new_build import new_build
from mlgate.orchestration.builds import Build
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.durable import Envelope, StatePort
from mlgate.orchestration.engine import saved
from mlgate.orchestration.engine.looks import wake
from mlgate.orchestration.errors import BadMessage, OrchestrationError, Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.verdict.evidence import no_notebooks
from mlgate.orchestration.verdict.files import JUNIT
from mlgate.orchestration.verdict.junit import junit_xml
from mlgate.orchestration.verdict.result import result_json
from mlgate.orchestration.wire.messages import LookMessage, Request, read

log = logging.getLogger("mlgate")

_ENDPOINT = re.compile(r"Endpoint=sb://(\[[^\]]*\]|[^:/;]*)", re.IGNORECASE)
_HERE = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What to write when the build that `--wait` follows has ended."""

    junit: Path | None
    as_json: bool


def publish(body: bytes, waiting: Waiting | None) -> int:
    """Send a message; returns the exit code. Raises what prevents it from being sent."""
    stream = sys.stderr if waiting and waiting.as_json else sys.stdout
    try:
        message = read(body).message()
        if waiting is None:
            return _send(body, message)
        if isinstance(message, LookMessage):
            raise UsageError("this is one of mlgate's own follow-up messages, not a request")
        return _send_and_wait(body, waiting, stream)
    except BadMessage as error:
        github.show_findings(error.findings, stream)
        raise


def _send(body: bytes, message: Request | LookMessage) -> int:
    queue = make_queue(Settings.read().service_bus)
    message_id = uuid.uuid4().hex
    try:
        queue.send(body, message_id)
    finally:
        queue.close()
    said = f"published as message {message_id}"
    if not isinstance(message, LookMessage):
        key = build_key(None, message.attempt, message_id)
        said = f"published as build {key}; `mlgate builds {key}` shows its progress"
    with suppress(OutputError, BrokenPipeError):  # the message is sent
        say(said)
    return OK


def _send_and_wait(body: bytes, waiting: Waiting, stream: TextIO) -> int:
    settings = Settings.read()
    _require_shared_state(settings)
    if waiting.junit is not None:
        _make_way(waiting.junit)
    build = _to_be(settings, body)
    state, files = make_state(settings), make_files(settings)
    queue = make_queue(settings.service_bus)
    state.load(build.key)  # raises if the state can't be read: then nothing is sent
    interrupts = Interrupts()
    try:
        try:
            queue.send(body, build.message_id)
        except Temporary:
            with suppress(OrchestrationError):
                saved.withdraw(state, build)  # the message may have arrived anyway
            raise
        say(f"published as build {build.key}; `mlgate cancel {build.key}` cancels it", file=stream)
        with view(stream, quiet=False) as shown:
            found = Follower(
                state,
                build,
                shown,
                asked=interrupts,
                withdraw=lambda: saved.withdraw(state, build),
                cancel=_canceling(state, queue, build),
                clock=SystemClock(),
            ).follow()
    finally:
        interrupts.let_through()
        queue.close()
    return _end(found, build.key, files, waiting, stream, interrupted=bool(interrupts))


def _require_shared_state(settings: Settings) -> None:
    """Raise `SettingsError` if the queue is elsewhere but the state is this machine's default."""
    connection = settings.service_bus.connection_string
    endpoint = _ENDPOINT.search(connection.get_secret_value()) if connection else None
    here = endpoint is not None and endpoint[1] in _HERE
    if not here and not os.environ.get("MLGATE_STATE", "").strip():
        raise SettingsError(
            WrongSetting(
                "MLGATE_STATE",
                "it is not set, so builds on other machines cannot be followed",
                "set it to the same value as on the hosts that handle the queue",
            )
        )


def _to_be(settings: Settings, body: bytes) -> Build:
    """The build as a host with the same settings will store it; raises `BadMessage`."""
    found = read(body)
    message = found.message()
    assert not isinstance(message, LookMessage)
    envelope = Envelope(body, {}, uuid.uuid4().hex)
    return new_build(message, found, settings.policy, None, envelope, SystemClock().now())


def _canceling(state: StatePort, queue: ServiceBusQueue, build: Build) -> Callable[[], bool]:
    """Cancel as a canceled pipeline does, and wake a host instead of waiting for its next look."""

    def cancel() -> bool:
        if is_withdrawn(state, build):
            return True
        stored = state.load(build.key)
        if stored is not None and stored.build.open:
            try:
                wake(queue, build.key, stored.build.look)
            except OrchestrationError as error:
                log.info("build %s: canceled, but no host was woken: %s", build.key, error)
        return False

    return cancel


def _end(
    found: Followed,
    key: str,
    files: BuildFiles,
    waiting: Waiting,
    stream: TextIO,
    *,
    interrupted: bool,
) -> int:
    if found.rejection is not None:
        if interrupted:
            complain(f"mlgate: {found.rejection.reason}")
            return INTERRUPTED
        if not found.rejection.findings:
            raise Permanent(found.rejection.reason)
        raise BadMessage(found.rejection.findings)
    build = found.build
    if build is None:
        complain(f"mlgate: build {key} was withdrawn before a worker started it; none will")
        return INTERRUPTED
    if build.open:
        complain(f"mlgate: exiting before build {key} has ended. {remains(key)}")
        return INTERRUPTED
    if waiting.junit is not None:
        _write_junit(waiting.junit, build, files)
    show_end(build, files, stream)
    github.show(build, stream)
    if waiting.as_json:
        say_json_text(result_json(build).decode())
    if build.findings and not interrupted:
        raise BadMessage(build.findings)
    return exit_code(build, interrupted=interrupted)


def _make_way(junit: Path) -> None:
    """Remove the file, which could be mistaken for this build's; raises `UsageError`."""
    try:
        junit.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=junit.parent):
            pass
    except OSError as error:
        raise UsageError(f"--junit {junit} cannot be written: {error.strerror}") from error


def _write_junit(junit: Path, build: Build, files: BuildFiles) -> None:
    """Copy the build's file, or if that cannot be read, write one without notebook output."""
    try:
        content = b"".join(files.parts(build.key, JUNIT))
    except OrchestrationError as error:
        complain(f"mlgate: {JUNIT} lacks the notebooks' output: {error}")
        content = b"".join(junit_xml(build, no_notebooks))
    try:
        junit.write_bytes(content)
    except OSError as error:
        complain(f"mlgate: --junit {junit} cannot be written: {error.strerror}")
