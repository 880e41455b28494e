"""What accepts everything and returns nothing, as a proxy or a small stand-in may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from handlers.devops_handler import DevOpsHandler
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.telling import Completion, Progress
from tests.contract.handlers.devops_handler.published import FINAL, RUNNING
from tests.contract.handlers.devops_handler.support import NO_FILES, Scene, address_from


@dataclass
class Service:
    """Its answer to each request, and the events that it was sent."""

    answer: bytes
    url: str = ""
    events: list[str] = field(default_factory=list)


@pytest.fixture(params=[b"{}", b"", b"[]", b"null", b'{"value": {}}'])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    made = Service(request.param)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if "/events" in self.path:
                made.events.append(json.loads(content)["name"])
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(made.answer)))
            self.end_headers()
            self.wfile.write(made.answer)

        do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815 -- as the library names them

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/"
        Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


def test_the_verdict_is_posted_once_and_soon(service: Service, scene: Scene) -> None:
    begun = scene.clock.time
    handler = DevOpsHandler(allowed=[service.url], clock=scene.clock)
    properties = {**scene.task.properties, "PlanUrl": service.url}
    address, token = address_from(properties)

    assert handler.is_waiting(address, token)
    handler.show(address, token, Progress(10, "1 of 3 runs", ()))
    assert handler.publish(address, token, RUNNING, NO_FILES)
    with pytest.raises(Permanent, match="cannot be read"):
        handler.publish(address, token, FINAL, NO_FILES)
    completion = Completion(Verdict.FAILED, "1 of 3 runs passed")
    with pytest.raises(Temporary, match="still waits"):
        handler.complete(address, token, completion)
    handler.complete(address, token, completion, doubt=True)

    assert service.events == ["TaskStarted", "TaskCompleted"]
    assert (scene.clock.time - begun).total_seconds() < 60
