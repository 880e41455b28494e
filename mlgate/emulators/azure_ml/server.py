"""Emulates an Azure ML workspace with its storage, its compute and its identity provider.

The variables in `environment` lead clients here: a proxy that only allows the emulated hosts, and
the authority that signs for them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from mlgate.emulators.azure_ml.azurite import Azurite
from mlgate.emulators.azure_ml.certificates import make_certificates
from mlgate.emulators.azure_ml.dispatch import Dispatcher
from mlgate.emulators.azure_ml.exchange import Answer, Drop, Request
from mlgate.emulators.azure_ml.execution import Compute, Node
from mlgate.emulators.azure_ml.faults import Faults
from mlgate.emulators.azure_ml.joblist import Jobs
from mlgate.emulators.azure_ml.listener import Listener
from mlgate.emulators.azure_ml.proxy import Proxy
from mlgate.emulators.azure_ml.routing import HOSTS, Service
from mlgate.emulators.azure_ml.storage import BLOBS, Storage
from mlgate.emulators.azure_ml.tokens import Principal, Tokens
from mlgate.emulators.azure_ml.workspace import Workspace

_PASSED_ON = {
    "HOME", "LANG", "PATH", "TMPDIR", "TZ",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
}  # a row a line # fmt: skip
_PASSED_ON_PREFIXES = ("LC_", "PIP_", "UV_")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the server saw it; `status` is 0 if its connection was cut instead.

    `call` is the route's name, or empty for an unknown one; the body of "token" is left out.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    status: int
    call: str
    body: bytes
    at: datetime
    answered_at: datetime


class AzureML:
    """A context manager that ends everything it starts.

    `python` is the interpreter that jobs find as `python`, `node_environment` their variables (by
    default what they need of this process's), and `parallel` how many run at once. A job that is
    stopped early is killed after `grace_seconds`.
    Without `azurite` it starts its own, which takes half a second and also accepts tokens. Clients
    of a `keyless` workspace use their identity, and so must its jobs, which get one from their
    compute unless that is serverless. For `fails_at_limit`, see `Workspace`.
    """

    def __init__(
        self,
        *,
        azurite: Azurite | None = None,
        python: Path | None = None,
        node_environment: Mapping[str, str] | None = None,
        parallel: int = 2,
        grace_seconds: float = 0.5,
        computes: tuple[str, ...] = ("cpu-cluster",),
        page_size: int = 100,
        keyless: bool = False,
        fails_at_limit: bool = False,
        token_lifetime: timedelta = timedelta(hours=1),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.faults = Faults()
        self.requests: list[Received] = []
        self.tokens = Tokens(token_lifetime, clock)
        self._shared = azurite
        self._node = Node(
            python or Path(sys.executable),
            _passed_on(os.environ) if node_environment is None else dict(node_environment),
            grace_seconds,
        )
        self._parallel = parallel
        self._computes = computes
        self._page_size = page_size
        self._keyless = keyless
        self._fails_at_limit = fails_at_limit
        self._clock = clock
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="azure-ml-")))
        self._certificates = make_certificates(folder, (*HOSTS, f"*.{BLOBS}"))
        own = Azurite(server=self._certificates.server)
        azurite = self._shared or stack.enter_context(own)
        self.storage = Storage(azurite, self._certificates.authority)
        stack.callback(self.storage.close)
        self.workspace = Workspace(
            subscription_id=str(uuid4()),
            resource_group="emulator",
            name="workspace",
            principal=Principal(str(uuid4()), str(uuid4()), uuid4().hex),
            account=azurite.account,
            computes=frozenset(self._computes),
            page_size=self._page_size,
            keyless=self._keyless,
            fails_at_limit=self._fails_at_limit,
            created=self._clock(),
        )
        for container in self.workspace.containers.values():
            self.storage.make_container(container)
        compute = Compute(
            self.workspace,
            self.storage,
            self.faults,
            self._clock,
            self._node,
            folder / "jobs",
            self._parallel,
        )
        stack.callback(compute.stop)
        self.jobs = Jobs(self.workspace, compute)
        service = Service(self.workspace, self.storage, compute, self.tokens)
        self._dispatcher = Dispatcher(service, self.faults, self._clock)
        listener = Listener(self._respond, self._certificates.server_context())
        listener.start()
        stack.callback(listener.stop)
        stack.callback(self._dispatcher.stop)
        hosts = (*HOSTS, self.storage.host)
        self._proxy = Proxy(hosts, listener.port, self._dispatcher.violations.append)
        self._proxy.start()
        stack.callback(self._proxy.stop)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead an unmodified client to this workspace and no other."""
        principal = self.workspace.principal
        return {
            "HTTPS_PROXY": self._proxy.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(self._certificates.authority),
            "AZURE_TENANT_ID": principal.tenant_id,
            "AZURE_CLIENT_ID": principal.client_id,
            "AZURE_CLIENT_SECRET": principal.client_secret,
        }

    @property
    def workspace_name(self) -> str:
        """`subscription/resource-group/name`."""
        workspace = self.workspace
        return f"{workspace.subscription_id}/{workspace.resource_group}/{workspace.name}"

    @property
    def violations(self) -> list[str]:
        """Requests that neither a recording nor the unmodified SDK makes."""
        return list(self._dispatcher.violations)

    def _respond(self, request: Request) -> Answer:
        """The answer to a request; raises Drop to cut the connection instead."""
        at = self._clock()
        handled = self._dispatcher.handle(request)
        self.requests.append(
            Received(
                request.method,
                request.host,
                request.path,
                request.query,
                handled.answer.status if isinstance(handled.answer, Answer) else 0,
                handled.call,
                b"" if handled.call == "token" else request.body,  # it contains the secret
                at,
                self._clock(),
            )
        )
        if isinstance(handled.answer, Drop):
            raise handled.answer
        return handled.answer


def _passed_on(host: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in host.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
