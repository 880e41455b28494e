"""Builds a conductor and everything it needs from the settings.

This is the only module that knows both the orchestration and the handlers. A handler is imported
when a build first needs it: looking at an Azure ML build does not import git, and this process
never imports Jupyter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pydantic import SecretStr

from handlers.blobs.address import ContainerAddress
from mlgate.hosts.doctor import HostDoctor
from mlgate.hosts.history_page import make_refresh
from mlgate.hosts.home import keep_out_of_git
from mlgate.hosts.settings import ServiceBus, Settings
from mlgate.hosts.stores import make_container, make_files, make_models, make_state
from mlgate.hosts.usage import SettingsError, WrongSetting
from mlgate.orchestration.checks import Examination
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.engine.conductor import Conductor
from mlgate.orchestration.ports import BackendPort, BuildFiles, Checkout, Ports, RepositoryPort

if TYPE_CHECKING:
    from handlers.azureml_handler.handler import AzureMLHandler
    from handlers.local_handler.handler import LocalHandler
    from handlers.local_handler.warm import Begun
    from handlers.servicebus_handler import ServiceBusQueue
    from mlgate.orchestration.builds import Build, RepositoryRequest
    from mlgate.orchestration.runs import Attempt


@dataclass(frozen=True, slots=True)
class Application:
    """A conductor and the queue that feeds it; `close` closes both, and the state.

    `refresh_history` updates the history page if there is one and some time has passed.
    """

    conductor: Conductor
    queue: ServiceBusQueue
    close: Callable[[], None]
    refresh_history: Callable[[], object]


def assemble(
    settings: Settings,
    *,
    files: BuildFiles | None = None,
    on_ended: Callable[[Attempt], None] | None = None,
    begun: Begun | None = None,
    queue: ServiceBusQueue | None = None,
    files_at_once: int | None = None,
) -> Application:
    """The application for these settings; raises `SettingsError` or `Permanent`.

    `files` replaces where build files go. `on_ended` is called for runs that ended on this machine.
    `begun` is a warm process that runs start from, if one was started already. `queue`
    is a client of the queue, if one was created already. `files_at_once` is how many files the
    pipeline takes in a burst, if it is not Azure DevOps.
    """
    backends = _Backends(settings, on_ended, begun)
    closing = ExitStack()
    from handlers.devops_handler import FILES_AT_ONCE, DevOpsHandler
    from handlers.service_handler import ServiceHandler

    keep_out_of_git(settings.home)
    queue = queue or make_queue(settings.service_bus)
    clock = SystemClock()
    identity = devops_identity_token if settings.devops_identity else None
    state = make_state(settings, closing)
    conductor = Conductor(
        Ports(
            state=state,
            queue=queue,
            repository=_Repositories(settings),
            pipeline=DevOpsHandler(
                allowed=settings.policy.allowed_collections,
                identity=identity,
                clock=clock,
                files_at_once=files_at_once or FILES_AT_ONCE,
            ),
            backend=backends.of,
            files=files or make_files(settings),
            clock=clock,
            doctor=make_doctor(settings, lambda: queue),
            models=cache(lambda: make_models(settings)),
            service=ServiceHandler(settings.policy.models.services, settings.services),
        ),
        settings.policy,
    )

    closing.callback(queue.close)
    closing.callback(backends.close)
    return Application(conductor, queue, closing.close, make_refresh(settings, state, clock))


def make_doctor(settings: Settings, queue: Callable[[], ServiceBusQueue]) -> HostDoctor:
    """The doctor that checks what builds need; `queue` returns the client of the queue."""
    return HostDoctor(
        settings,
        queue=queue,
        state=lambda: make_state(settings),
        container=lambda url: make_container(ContainerAddress.parse(url)),
        secrets=lambda url: make_container(ContainerAddress.parse(url).secrets()),
        identity=devops_identity_token,
        azureml=lambda workspace: _azureml_checks(settings, workspace),
        clock=SystemClock(),
    )


def _azureml_checks(settings: Settings, workspace: str) -> tuple[Examination, ...]:
    from handlers.azureml_handler.checks import AzureMLChecks
    from handlers.identity_handler import credential

    return AzureMLChecks(
        workspace=workspace,
        credential=credential,
        compute=settings.compute,
        environment=settings.environment,
        job_identity=settings.job_identity,
        clock=SystemClock(),
    ).examinations()


def make_queue(service_bus: ServiceBus) -> ServiceBusQueue:
    """A client of the queue, by connection string or with the host's identity."""
    from handlers.servicebus_handler import (
        ServiceBusQueue,
        connect_with_identity,
        connect_with_string,
    )

    if service_bus.connection_string is not None:
        text = service_bus.connection_string.get_secret_value
        connect = connect_with_string(text, service_bus.queue)
    elif service_bus.namespace is not None:
        from handlers.identity_handler import credential

        connect = connect_with_identity(service_bus.namespace, credential(service_bus.client_id))
    else:
        raise SettingsError(
            WrongSetting(
                "serviceBusConnectionString",
                "neither it nor serviceBusConnectionString__fullyQualifiedNamespace is set",
                "set one of them; to try things out, use the connection string that "
                "`mlgate emulator` prints",
            )
        )
    return ServiceBusQueue(connect, service_bus.queue)


def devops_identity_token() -> SecretStr:
    """The host's own token for Azure DevOps; raises `OrchestrationError` if there is none."""
    from handlers.identity_handler import devops_token

    return devops_token()


class _Repositories:
    """The repository handler, created on first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: RepositoryPort | None = None

    def checkout(
        self,
        request: RepositoryRequest,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> AbstractContextManager[Checkout]:
        return self._real().checkout(request, collection=collection, token=token)

    def contains(
        self,
        request: RepositoryRequest,
        commit: str,
        branch: str,
        *,
        collection: str | None = None,
        token: SecretStr | None = None,
    ) -> bool:
        return self._real().contains(request, commit, branch, collection=collection, token=token)

    def _real(self) -> RepositoryPort:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> RepositoryPort:
        from handlers.repository_handler import GitCredential, RepositoryHandler

        settings = self._settings
        return RepositoryHandler(
            home=settings.home,
            allowed=settings.policy.allowed_repositories,
            credentials=[GitCredential(*entry) for entry in settings.git_credentials],
            host_identity=devops_identity_token,
        )


class _Backends:
    """One backend per name and workspace, created when a build first needs it."""

    def __init__(
        self,
        settings: Settings,
        on_ended: Callable[[Attempt], None] | None,
        begun: Begun | None,
    ) -> None:
        self._settings = settings
        self._begun = begun
        self._on_ended = on_ended
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str | None], BackendPort] = {}
        self._close: list[Callable[[], None]] = []

    def of(self, build: Build) -> BackendPort:
        key = (build.backend, build.workspace)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(*key)
            return self._made[key]

    def _make(self, name: str, workspace: str | None) -> BackendPort:
        if name == "azureml":
            return self._make_azureml(workspace or "")
        return self._make_local()

    def _make_local(self) -> LocalHandler:
        from handlers.local_handler import processes
        from handlers.local_handler.handler import LocalHandler

        processes.be_readable(False)  # by the runs, which run as the same user
        processes.leave_no_core()
        backend = LocalHandler(
            home=self._settings.home,
            parallel=self._settings.parallel,
            on_ended=self._on_ended,
            begun=self._begun,
        )
        self._begun = None
        self._close.append(backend.close)
        return backend

    def _make_azureml(self, workspace: str) -> AzureMLHandler:
        from handlers.azureml_handler.handler import AzureMLHandler
        from handlers.identity_handler import credential

        backend = AzureMLHandler(
            workspace=workspace,
            credential=credential(),
            compute=self._settings.compute,
            environment=self._settings.environment,
            job_identity=self._settings.job_identity,
            clock=SystemClock(),
        )
        self._close.append(backend.close)
        return backend

    def close(self) -> None:
        if self._begun is not None:
            self._begun.end()
        for close in self._close:
            close()
