"""The app that serves a model, as it is deployed, and what the Functions host does around it.

The host has the listener and the routes. It hands a request to the worker with its body as bytes,
if it has a Content-Length (`ToRpcHttp` and `PopulateBody` of Azure/azure-functions-host,
GrpcMessageConversionExtensions.cs), and answers 404 where no function has the route and the method.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.contract.scorer.conftest import ENVIRONMENT as LIBRARIES
from tests.functions.process import Answer, WorkerProcess
from tests.support.stores import EXAMPLE, MODEL

ROOT = Path(__file__).parents[2]
FUNCTION = "PredictFunctionApp"
SITE = "https://contoso-predict.azurewebsites.net"
PATIENCE = 60.0  # seconds


def package(folder: Path) -> Path:
    """What `make predict` makes, with its packages beside it as the platform has them."""
    app = folder / "app"
    command = ["make", "--no-print-directory", "predict", f"PREDICT={app}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [packages] = (LIBRARIES / "lib").glob("python*/site-packages")
    (app / ".python_packages/lib").mkdir(parents=True)
    (app / ".python_packages/lib/site-packages").symlink_to(packages)
    return app


def bare_python(folder: Path) -> Path:
    """An interpreter that finds no package by itself."""
    venv.create(folder / "python", symlinks=True)
    return folder / "python/bin/python"


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class ServingApp:
    """A running app; `loaded` is what the worker said when it loaded the function."""

    def __init__(self, app: Path, worker: WorkerProcess) -> None:
        self._worker = worker
        described = json.loads((app / FUNCTION / "function.json").read_text())
        [trigger, returned] = described["bindings"]
        assert (trigger["route"], trigger["authLevel"]) == ("{*path}", "function")
        assert json.loads((app / "host.json").read_text())["extensions"]["http"] == {
            "routePrefix": ""
        }
        self._trigger = trigger
        self.loaded: Answer = worker.ask(
            "load",
            name=FUNCTION,
            script=described["scriptFile"],
            entry="",
            bindings=[trigger, returned],
        )

    @property
    def pid(self) -> int:
        return self._worker.pid

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Got:
        if method.lower() not in self._trigger["methods"]:
            return Got(404, {}, b"")
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            told["content-length"] = str(len(body))
        http = {
            "method": method,
            "url": f"{SITE}{path}",
            "headers": {"host": urlsplit(SITE).netloc, **told},
            "params": {"path": path.partition("?")[0].removeprefix("/")},
            "body": {"bytes": base64.b64encode(body).decode()} if body else None,
        }
        answer = self._worker.ask(
            "invoke",
            name=FUNCTION,
            number="1",
            binding=self._trigger["name"],
            data={"http": http},
            metadata={},
        )
        assert answer.ok, answer
        assert answer.returned is not None
        found = {name.lower(): value for name, value in answer.returned["headers"].items()}
        return Got(answer.returned["status"], found, base64.b64decode(answer.returned["body"]))

    def get(self, path: str) -> Got:
        return self.request("GET", path)

    def post(self, path: str, body: Any = EXAMPLE, kind: str = "application/json") -> Got:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, content, content_type=kind)

    def until(self, true: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """What `/health` says once that is true of it."""
        end = time.monotonic() + PATIENCE
        while not true(said := self.get("/health").json()):
            assert time.monotonic() < end, said
            time.sleep(0.05)
        return dict(said)

    def serves(self, number: int) -> dict[str, Any]:
        return self.until(lambda said: said["number"] == number)

    def holds_back(self, number: int) -> str:
        """Why; once it does."""
        said = self.until(lambda said: said["held_back"] and said["held_back"]["number"] == number)
        return str(said["held_back"]["reason"])


@contextmanager
def running(
    deployed: tuple[Path, Path], store: Path, log: Path, **settings: str
) -> Iterator[ServingApp]:
    """`deployed` is an app and its interpreter. Temporary files, sockets too, have a short path."""
    app, python = deployed
    temporary = tempfile.mkdtemp(prefix="predict-")
    environment = {
        "PATH": "/nowhere",
        "TMPDIR": temporary,
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "MLGATE_MODELS": str(store),
        "MLGATE_MODEL": MODEL,
        "MLGATE_MODEL_REFRESH": "0.2",
        **settings,
    }
    try:
        with WorkerProcess(python, app, environment, log) as worker:
            yield ServingApp(app, worker)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
