"""Whom the handler calls: nobody that the host did not allow, whatever a message says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from handlers.devops_handler import DevOpsHandler
from mlgate.orchestration.builds import PipelineAddress, Verdict
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.telling import Completion, Progress, Results
from tests.contract.handlers.devops_handler.support import NO_FILES, Scene, address_of, token_of

ALLOWED = [
    "https://dev.azure.com/contoso/",
    "https://contoso.visualstudio.com",
    "https://devops.example.com:8443/tfs/Main",
]

HOSTILE = [
    "",
    "/",
    "contoso",
    "//dev.azure.com/contoso/",
    "dev.azure.com/contoso/",
    "http://dev.azure.com/contoso/",
    "ftp://dev.azure.com/contoso/",
    "file:///etc/passwd",
    "ssh://dev.azure.com/contoso/",
    "https://dev.azure.com/",
    "https://dev.azure.com/contosox/",
    "https://dev.azure.com/contoso-evil/",
    "https://dev.azure.com/fabrikam/",
    "https://dev.azure.com/Contoso/../fabrikam/",
    "https://dev.azure.com/contoso/../fabrikam/",
    "https://dev.azure.com/contoso/%2e%2e/fabrikam/",
    "https://dev.azure.com/contoso/..%2ffabrikam/",
    "https://dev.azure.com/contoso/./x/",
    "https://dev.azure.com//contoso/",
    "https://dev.azure.com/contoso%2f..%2ffabrikam/",
    "https://dev.azure.com/%63ontosox/",
    "https://dev.azure.com/contoso%00/",
    "https://dev.azure.com\\@evil.example/contoso/",
    "https://dev.azure.com\\evil.example/contoso/",
    "https://dev.azure.com@evil.example/contoso/",
    "https://user@dev.azure.com/contoso/",
    "https://user:secret@dev.azure.com/contoso/",
    "https://evil.example#@dev.azure.com/contoso/",
    "https://evil.example?@dev.azure.com/contoso/",
    "https://dev.azure.com.evil.example/contoso/",
    "https://evildev.azure.com/contoso/",
    "https://evil.dev.azure.com/contoso/",
    "https://dev.azure.com./contoso/",
    "https://dev.azure.com:444/contoso/",
    "https://dev.azure.com:8443/contoso/",
    "https://dev.azure.com:/contoso/",
    "https://dev.azure.com:443:443/contoso/",
    "https://dev.azure.com/contoso/?redirect=https://evil.example",
    "https://dev.azure.com/contoso/#fragment",
    "https://dev.azure.com/contoso/;@evil.example/../",
    "https://dev.azure.com\t/contoso/",
    "https://dev.azure.com/contoso/\r\nHost: evil.example",
    " https://dev.azure.com/contoso/",
    "https://dev.azure.com/contoso/\n",
    "https:/dev.azure.com/contoso/",
    "https:dev.azure.com/contoso/",
    "https:///dev.azure.com/contoso/",
    "https://dev%2eazure%2ecom/contoso/",
    "https://\uff44\uff45\uff56.azure.com/contoso/",  # full-width letters, which IDNA maps to dev
    "https://dev\u3002azure\u3002com/contoso/",  # ideographic full stops, likewise
    "https://xcontoso.visualstudio.com/",
    "https://contoso.visualstudio.com.evil.example/",
    "https://devops.example.com/tfs/Main/",
    "https://devops.example.com:8443/tfs/Mainframe/",
    "https://devops.example.com:8443/tfs/",
    "https://169.254.169.254/metadata/",
    "http://169.254.169.254/metadata/",
    "https://[::ffff:169.254.169.254]/contoso/",
    "http://localhost:{port}/org/",
    "http://127.0.0.1:{port}/other/",
    "http://127.0.0.1:{port}/organization/",
    "http://127.0.0.1:{port}/org/../other/",
    "http://127.0.0.2:{port}/org/",
    "http://2130706433:{port}/org/",
    "http://127.1:{port}/org/",
    "http://0x7f.0.0.1:{port}/org/",
    "http://user@127.0.0.1:{port}/org/",
    "http://0.0.0.0:{port}/org/",
    "http://[::1]:{port}/org/",
    "http://[::ffff:127.0.0.1]:{port}/org/",
    "https://127.0.0.1:{port}/org/",
    "HTTP://127.0.0.1:{port}/ORG/",
]

WRONG_IDS = [
    "",
    "1",
    "..",
    "not-a-guid",
    "{11111111-2222-3333-4444-555555555555}",
    "11111111222233334444555555555555",
    "11111111-2222-3333-4444-55555555555",
    "11111111-2222-3333-4444-555555555555/../..",
    "11111111-2222-3333-4444-555555555555\n",
    "1\u0661111111-2222-3333-4444-555555555555",
]


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A proxy for everything that leaves the machine: whoever calls out is caught in it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        listening.setblocking(False)
        yield listening


def refusals(handler: DevOpsHandler, address: PipelineAddress) -> list[str]:
    """The sentences with which each of the port's methods refuses `address`."""
    sentences, token = [], SecretStr("a-token")
    for method in (
        lambda: handler.is_waiting(address, token),
        lambda: handler.show(address, token, Progress(1, "1/2 runs", ("a line",))),
        lambda: handler.publish(address, token, Results("b", "1", "t"), NO_FILES),
        lambda: handler.complete(address, token, Completion(Verdict.FAILED, "no")),
        lambda: handler.complete(address, token, Completion(Verdict.FAILED, "no"), doubt=True),
    ):
        with pytest.raises(Permanent) as refusal:
            method()
        sentences.append(str(refusal.value))
    return sentences


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_plan_url_is_refused_before_any_request(
    url: str, scene: Scene, trap: socket.socket
) -> None:
    """Each method names the setting to change, and no server hears of it."""
    collection = scene.server.collection_url
    port = collection.split(":")[2].partition("/")[0]
    handler = DevOpsHandler(allowed=[*ALLOWED, collection], clock=scene.clock, timeout_seconds=5)
    address = replace(address_of(scene.task), plan_url=url.replace("{port}", port))
    for sentence in refusals(handler, address):
        assert "MLGATE_ALLOWED_COLLECTIONS" in sentence
    assert scene.calls == []
    with pytest.raises(BlockingIOError):
        trap.accept()


@pytest.mark.parametrize("value", WRONG_IDS)
@pytest.mark.parametrize(
    "name", ["project_id", "plan_id", "job_id", "timeline_id", "task_instance_id"]
)
def test_an_id_that_is_no_guid_is_refused_before_any_request(
    name: str, value: str, scene: Scene
) -> None:
    """An id is part of the path, so it may not lead anywhere else."""
    changes: dict[str, Any] = {name: value}
    for sentence in refusals(scene.handler, replace(address_of(scene.task), **changes)):
        assert "MLGATE_ALLOWED_COLLECTIONS" in sentence
    assert scene.calls == []


@pytest.mark.parametrize("hub", ["", "../build", "build/plans", "build?x=", "build\n", "b" * 40])
def test_a_hub_that_is_no_word_is_refused_before_any_request(hub: str, scene: Scene) -> None:
    sentences = refusals(scene.handler, replace(address_of(scene.task), hub_name=hub))
    assert all("HubName" in sentence for sentence in sentences)
    assert scene.calls == []


def test_nothing_is_allowed_by_default(scene: Scene) -> None:
    handler = DevOpsHandler(allowed=[], clock=scene.clock)
    assert len(refusals(handler, address_of(scene.task))) == 5
    assert scene.calls == []


def test_slashes_at_the_end_of_an_allowed_url_do_no_harm(scene: Scene) -> None:
    """The task sends its collection with a slash; none, or one more, means the same."""
    address, token = address_of(scene.task), token_of(scene.task)
    for url in (address.plan_url.rstrip("/"), address.plan_url + "/"):
        assert scene.handler.is_waiting(replace(address, plan_url=url), token)


def test_the_machines_proxy_is_not_asked_for_the_loopback_pipeline(
    scene: Scene, trap: socket.socket
) -> None:
    """`mlgate run` works on a laptop behind a proxy."""
    assert scene.is_waiting()
    with pytest.raises(BlockingIOError):
        trap.accept()


def test_other_hosts_are_reached_through_the_machines_proxy(
    scene: Scene, trap: socket.socket
) -> None:
    """The standard variables count: the trap is asked to connect, and nobody else."""
    handler = DevOpsHandler(allowed=ALLOWED, clock=scene.clock, timeout_seconds=0.2)
    address = replace(address_of(scene.task), plan_url="https://dev.azure.com/contoso/")
    with pytest.raises(Temporary, match=r"dev\.azure\.com"):
        handler.is_waiting(address, token_of(scene.task))
    connection, _ = trap.accept()
    with connection:
        assert connection.recv(100).startswith(b"CONNECT dev.azure.com:443 ")


@pytest.mark.parametrize("bundle", [None, "/nowhere/ca.pem"])
def test_a_connection_that_cannot_be_secured_is_reported_as_passing(
    bundle: str | None, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates get mended, so no build is failed for one."""
    if bundle:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    secure = scene.server.collection_url.replace("http:", "https:")
    handler = DevOpsHandler(allowed=[secure], clock=scene.clock, timeout_seconds=5)
    address = replace(address_of(scene.task), plan_url=secure)
    with pytest.raises(Temporary, match=bundle or "REQUESTS_CA_BUNDLE"):
        handler.is_waiting(address, token_of(scene.task))
    assert scene.calls == []
