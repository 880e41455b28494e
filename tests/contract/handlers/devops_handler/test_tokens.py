"""The job's token: where it goes, what happens when it expires, and that it is never told."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.devops_handler import DevOpsHandler
from mlgate.emulators.azure_devops import AzureDevOps, Fault, FaultKind
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Completion, Progress, Results, RunResult
from tests.contract.handlers.devops_handler.support import Scene, address_of

FAILED = Completion(Verdict.FAILED, "1 of 2 runs passed")

RESULTS = Results("b", "1", "mlgate", (RunResult("a", "a", RunStatus.FAILED),), Verdict.FAILED, "#")

METHODS: dict[str, Callable[[Scene], object]] = {
    "is_waiting": lambda scene: scene.is_waiting(),
    "show": lambda scene: scene.show(Progress(10, "0/2 runs", ("one",))),
    "publish": lambda scene: scene.publish(RESULTS),
    "complete": lambda scene: scene.complete(FAILED),
    "complete in doubt": lambda scene: scene.complete(FAILED, doubt=True),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_an_expired_token_names_the_remedy(method: Callable[[Scene], object], scene: Scene) -> None:
    scene.task.expire_token()
    with pytest.raises(Permanent, match="MLGATE_DEVOPS_IDENTITY=1"):
        method(scene)
    assert scene.task.completions == []


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_hosts_identity_takes_over_from_an_expired_token(
    method: Callable[[Scene], object], scene: Scene
) -> None:
    scene.task.expire_token()
    method(scene.another_handler(identity=True))
    assert {request.caller for request in scene.server.requests} == {None, "identity"}


def test_a_whole_build_is_told_with_the_hosts_identity(scene: Scene) -> None:
    scene.task.expire_token()
    hosted = scene.another_handler(identity=True)
    hosted.show(Progress(10, "0/2 runs", ("one",)))
    hosted.complete(FAILED)
    assert scene.task.completions == ["failed"]
    assert [line.text for line in scene.task.feed] == ["one"]


def test_the_identity_is_not_used_while_the_token_is_good(scene: Scene) -> None:
    hosted = scene.another_handler(identity=True)
    hosted.show(Progress(10, "0/2 runs", ("one",)))
    hosted.complete(FAILED)
    assert {request.caller for request in scene.server.requests} == {"job"}


def test_an_identity_that_the_organization_does_not_know_is_reported(scene: Scene) -> None:
    scene.task.expire_token()
    handler = DevOpsHandler(
        allowed=[scene.server.collection_url],
        identity=lambda: SecretStr("a-stranger"),
        clock=scene.clock,
    )
    with pytest.raises(Permanent, match="neither the job's token nor the host's identity"):
        handler.is_waiting(address_of(scene.task), SecretStr("expired"))


def stranger() -> SecretStr:
    return SecretStr("a-stranger")


def nobody() -> SecretStr:
    raise Permanent("No identity can be had.")


@pytest.mark.parametrize("identity", [stranger, nobody])
def test_one_refusal_does_not_cost_a_good_token(
    identity: Callable[[], SecretStr], scene: Scene
) -> None:
    """A page for maintenance looks like an expired token; the identity is no better."""
    handler = DevOpsHandler(
        allowed=[scene.server.collection_url], identity=identity, clock=scene.clock
    )
    hosted = replace(scene, handler=handler)
    scene.server.faults.add("records.get", FaultKind.SIGN_IN)
    with pytest.raises(Permanent):
        hosted.is_waiting()
    hosted.complete(FAILED)
    assert scene.task.completions == ["failed"]


def test_an_identity_that_is_not_taken_any_more_gives_way_to_the_token(scene: Scene) -> None:
    """It may read but not write, and the token was refused but for a moment."""
    hosted = scene.another_handler(identity=True)
    scene.server.faults.add("records.get", FaultKind.SIGN_IN)
    assert hosted.is_waiting()
    scene.server.faults.add("events", Fault.answering(403))
    hosted.complete(FAILED)
    assert scene.task.completions == ["failed"]
    callers = [each.caller for each in scene.server.requests if each.call == "events"]
    assert callers == ["identity", "job"]


def test_an_identity_that_cannot_be_had_for_now_does_not_keep_from_the_token(
    scene: Scene,
) -> None:
    def later() -> SecretStr:
        raise Temporary("The identity's service is busy.")

    handler = DevOpsHandler(
        allowed=[scene.server.collection_url], identity=later, clock=scene.clock
    )
    hosted = replace(scene, handler=handler)
    scene.server.faults.add("records.get", FaultKind.SIGN_IN)
    with pytest.raises(Temporary):
        hosted.is_waiting()
    assert hosted.is_waiting()


@pytest.mark.parametrize(
    "call", ["records.get", "records.patch", "logs.create", "logs.append", "feed", "events"]
)
def test_a_sign_in_page_is_not_taken_for_success(call: str, scene: Scene) -> None:
    """203 with a page on GET and POST, 401 on PATCH: each once, and the identity mends it."""
    scene.server.faults.add(call, FaultKind.SIGN_IN)
    hosted = scene.another_handler(identity=True)
    hosted.show(Progress(10, "0/2 runs", ("one",)))
    hosted.complete(FAILED)
    assert scene.task.completions == ["failed"]
    assert [line.text for line in scene.task.feed] == ["one"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_redirect_is_followed(method: Callable[[Scene], object], scene: Scene) -> None:
    """The token would go along, and to anywhere."""
    with AzureDevOps() as elsewhere:
        scene.server.faults.add("*", Fault.redirect(elsewhere.collection_url), times=50)
        with pytest.raises(Permanent):
            method(scene)
        assert elsewhere.requests == []


def test_the_machines_netrc_does_not_replace_the_token(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests would put its own login into the header otherwise."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert scene.is_waiting()
    assert scene.server.requests[0].caller == "job"


@pytest.mark.parametrize("text", ["", "two words", "line\nend", "\x00", "tok\u00e9n"])
def test_what_is_no_token_is_not_sent(text: str, scene: Scene) -> None:
    with pytest.raises(Permanent, match="AuthToken"):
        scene.handler.is_waiting(address_of(scene.task), SecretStr(text))
    assert scene.calls == []


FAULTS = [
    Fault.answering(429, "60"),
    Fault.answering(400),
    Fault.answering(500),
    Fault(FaultKind.RESET),
    Fault(FaultKind.LOST),
    Fault(FaultKind.HANG),
    Fault(FaultKind.SIGN_IN),
    Fault(FaultKind.GARBLED),
    Fault.redirect("https://evil.example/"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind.name}-{fault.status}")
def test_the_token_is_told_to_nobody(
    fault: Fault, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in logs, nor in an exception or anything that hangs on it."""
    caplog.set_level(logging.DEBUG)
    secret = scene.task.properties["AuthToken"]
    hasty = scene.another_handler(timeout_seconds=0.3)
    scene.server.faults.add("*", fault, times=50)
    with pytest.raises(OrchestrationError) as raised:
        hasty.is_waiting()
    error: BaseException | None = raised.value
    while error is not None:
        assert not hasattr(error, "request"), "an exception of requests holds its headers"
        assert secret not in repr(vars(error)) + "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__
    assert secret not in caplog.text
    assert secret not in repr(vars(hasty.handler))
