"""A managed identity whose endpoint gives no token: for now, or for good."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from azure.identity import DefaultAzureCredential

from handlers.azureml_handler.control import translated
from handlers.blobs.address import ContainerAddress
from handlers.blobs.container import Container
from handlers.identity_handler import credential, devops_token
from mlgate.orchestration.errors import OrchestrationError, Temporary, UnfitHost
from tests.unit.orchestration.engine.twins import HandClock

NONE_ASSIGNED = "No User Assigned or Delegated Managed Identity found for specified ClientId."


class Endpoint(ThreadingHTTPServer):
    """As App Service's, for `status`; whoever asks may ask again at once."""

    daemon_threads = True

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status, self.body = status, body


class _Answer(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.server.body)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def managed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, bytes], Endpoint]]:
    """Give this process a managed identity whose endpoint answers so."""
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "MSI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")  # not whoever is signed in here
    monkeypatch.setenv("AZURE_CLIENT_ID", "11111111-1111-1111-1111-111111111111")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    started = []

    def start(status: int, body: bytes) -> Endpoint:
        endpoint = Endpoint(status, body)
        threading.Thread(target=endpoint.serve_forever, args=(0.01,), daemon=True).start()
        started.append(endpoint)
        where = f"http://127.0.0.1:{endpoint.server_address[1]}/msi/token"
        monkeypatch.setenv("IDENTITY_ENDPOINT", where)
        credential.cache_clear()
        return endpoint

    yield start
    credential.cache_clear()
    for endpoint in started:
        endpoint.shutdown()
        endpoint.server_close()


def answer(status: int, message: str = "An unexpected error") -> tuple[int, bytes]:
    return status, json.dumps({"statusCode": status, "message": message}).encode()


def look_at_state() -> None:
    address = ContainerAddress.parse("https://account.blob.core.windows.net/state")
    Container(address, credential(), HandClock()).read("x")


def look_at_jobs() -> None:
    with translated("s/g/n"):
        credential().get_token("https://management.azure.com/.default")


@pytest.mark.parametrize("look", [look_at_state, look_at_jobs, devops_token])
@pytest.mark.parametrize(
    ("answered", "kind", "told"),
    [
        (answer(500), Temporary, "identity service does not answer"),
        (answer(429), Temporary, "identity service does not answer"),
        ((502, b"<html>Bad Gateway</html>"), Temporary, "identity service does not answer"),
        (answer(400, NONE_ASSIGNED), UnfitHost, f"not assigned to .*: {NONE_ASSIGNED} Assign one"),
    ],
    ids=["500", "429", "502", "400"],
)
def test_an_outage_of_the_endpoint_passes_and_an_identity_not_assigned_does_not(
    answered: tuple[int, bytes],
    kind: type[OrchestrationError],
    told: str,
    look: Callable[[], object],
    managed: Callable[[int, bytes], Endpoint],
) -> None:
    managed(*answered)
    with pytest.raises(kind, match=told) as error:
        look()
    assert type(error.value) is kind


def test_an_endpoint_that_is_not_there_passes(
    managed: Callable[[int, bytes], Endpoint],
) -> None:
    endpoint = managed(*answer(500))
    endpoint.shutdown()
    endpoint.server_close()
    impatient = DefaultAzureCredential(retry_total=0)
    with pytest.raises(Temporary), translated("s/g/n"):
        impatient.get_token("https://management.azure.com/.default")
