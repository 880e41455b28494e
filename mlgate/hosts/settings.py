"""Reads and validates mlgate's environment variables once, and reports all errors together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from handlers.blobs.address import ContainerAddress
from mlgate.hosts.home import home_of
from mlgate.hosts.usage import SettingsError, WrongSetting
from mlgate.orchestration.addresses.allowlist import url_allowed
from mlgate.orchestration.addresses.repository_urls import repository_url_allowed, shown
from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.admission.policy import HostPolicy
from mlgate.orchestration.wire.types import ENVIRONMENT_NAME

DEFAULT_QUEUE = "function-queue"
DEFAULT_STATE = "sqlite:.mlgate/state.db"
DEFAULT_BUILDS = ".mlgate/builds"
DEFAULT_MODELS = ".mlgate/models"
DEFAULT_ENVIRONMENT = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"

_BACKENDS = ("local", "azureml")
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
# App Service leaves the reference as the value if it cannot read the secret.
_REFERENCE = "@Microsoft.KeyVault("
_WORKSPACE = re.compile(r"[^/\s]+/[^/\s]+/[^/\s]+")
_JOB_IDENTITY = re.compile("user|managed(:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?")


Services = tuple[tuple[str, SecretStr | None], ...]  # URL prefixes of model servers, with keys


@dataclass(frozen=True, slots=True)
class ServiceBus:
    """A queue, reached by a connection string or by a namespace and the host's identity."""

    queue: str
    connection_string: SecretStr | None = None
    namespace: str | None = None
    client_id: str | None = None  # of a user-assigned identity


@dataclass(frozen=True, slots=True)
class Settings:
    service_bus: ServiceBus
    policy: HostPolicy
    git_credentials: tuple[tuple[str, SecretStr], ...]  # URL prefix, token
    services: Services
    compute: str  # Azure ML defaults of the host
    environment: str
    job_identity: str | None  # of Azure ML jobs; None: the compute's identity
    state: str = field(repr=False)  # a container's URL may contain a signature
    builds: str = field(repr=False)
    models: str = field(repr=False)
    home: Path
    devops_identity: bool
    parallel: int

    @classmethod
    def read(
        cls, environ: Mapping[str, str] | None = None, *, in_functions: bool = False
    ) -> Settings:
        """The settings of this process; raises `SettingsError`.

        `in_functions`: this process is a function app, so check what such an app needs.
        """
        return _Reader(os.environ if environ is None else environ, in_functions).settings()


class _Reader:
    def __init__(self, environ: Mapping[str, str], in_functions: bool) -> None:
        self._environ = environ
        self._in_functions = in_functions
        self._wrong: list[WrongSetting] = []

    def settings(self) -> Settings:
        backend = self._choice("MLGATE_BACKEND", "local", _BACKENDS)
        backends = self._list("MLGATE_ALLOWED_BACKENDS") or (backend,)
        for name in backends:
            if name not in _BACKENDS:
                self._not_one_of("MLGATE_ALLOWED_BACKENDS", name, _BACKENDS)
        state = self._text("MLGATE_STATE") or DEFAULT_STATE
        self._check_state(state)
        builds = self._text("MLGATE_BUILDS") or DEFAULT_BUILDS
        if "://" in builds:
            self._check_container("MLGATE_BUILDS", builds)
        models = self._text("MLGATE_MODELS")
        if "://" in models:
            self._check_container("MLGATE_MODELS", models)
        services = self._services()
        if backend not in backends:
            what = f"{backend!r} is not in MLGATE_ALLOWED_BACKENDS"
            self._error("MLGATE_BACKEND", what, "add it there, or choose another one")
        settings = Settings(
            service_bus=self._service_bus(),
            policy=HostPolicy(
                backend=backend,
                allowed_backends=backends,
                workspace=self._workspace("MLGATE_WORKSPACE"),
                allowed_workspaces=self._allowed_workspaces(),
                allowed_collections=self._allowed_collections(),
                allowed_repositories=self._allowed_repositories(),
                models=self._allowed_models(services),
            ),
            git_credentials=self._git_credentials(),
            services=services,
            compute=self._text("MLGATE_COMPUTE") or "serverless",
            environment=self._environment(),
            job_identity=self._job_identity(),
            state=state,
            builds=builds,
            models=models,
            home=home_of(self._environ),
            devops_identity=self._switch("MLGATE_DEVOPS_IDENTITY"),
            parallel=self._count("MLGATE_PARALLEL", os.cpu_count() or 1),
        )
        if self._in_functions:
            self._check_functions(settings)
        if self._wrong:
            raise SettingsError(*self._wrong)
        return settings

    def _service_bus(self) -> ServiceBus:
        name = "serviceBusConnectionString"
        connection = self._text(name)
        return ServiceBus(
            queue=self._text("serviceBusQueueName") or DEFAULT_QUEUE,
            connection_string=SecretStr(connection) if connection else None,
            namespace=self._text(f"{name}__fullyQualifiedNamespace") or None,
            client_id=self._text(f"{name}__clientId") or None,
        )

    def _workspace(self, name: str) -> str | None:
        value = self._text(name)
        if value:
            self._check_workspace(name, value)
        return value or None

    def _check_workspace(self, name: str, value: str) -> None:
        if not _WORKSPACE.fullmatch(value):
            what = f"{value!r} is not the name of a workspace"
            self._error(name, what, "write it as subscription/resource-group/name")

    def _allowed_workspaces(self) -> tuple[str, ...]:
        name = "MLGATE_ALLOWED_WORKSPACES"
        for value in self._list(name):
            self._check_workspace(name, value)
        default = self._text("MLGATE_WORKSPACE")
        return self._list(name) or ((default,) if default else ())

    def _environment(self) -> str:
        name = self._text("MLGATE_ENVIRONMENT") or DEFAULT_ENVIRONMENT
        if not re.fullmatch(ENVIRONMENT_NAME, name):
            self._error("MLGATE_ENVIRONMENT", f"{name!r} has no version", "write name:version")
        return name

    def _job_identity(self) -> str | None:
        name = "MLGATE_JOB_IDENTITY"
        value = self._text(name)
        if value and not _JOB_IDENTITY.fullmatch(value):
            form = "user, managed or managed:CLIENT_ID with the client id of an identity"
            self._error(name, f"{value!r} is unknown", f"write {form}")
        return value or None

    # A prefix that doesn't match itself can match nothing, so it is a typo.

    def _allowed_collections(self) -> tuple[str, ...]:
        name = "MLGATE_ALLOWED_COLLECTIONS"
        for prefix in self._list(name):
            if not url_allowed(prefix, [prefix]):
                self._error(
                    name,
                    f"{shown(prefix)} can match no collection",
                    "write it as https://host/path, without user name or query; http is for a "
                    "loopback address such as 127.0.0.1",
                )
        return self._list(name)

    def _allowed_repositories(self) -> tuple[str, ...]:
        name = "MLGATE_ALLOWED_REPOSITORIES"
        for prefix in self._list(name):
            if not prefix.startswith("/") and not repository_url_allowed(prefix, [prefix]):
                self._error(
                    name,
                    f"{shown(prefix)} can match no repository",
                    "write it as https://host/path or ssh://git@host/path, without password or "
                    "query, or as an absolute path",
                )
        return self._list(name)

    def _allowed_models(self, services: Services) -> ModelPolicy:
        name = "MLGATE_ALLOWED_MODELS"
        allowed = []
        for number, entry in enumerate(self._list(name), 1):
            try:
                allowed.append(AllowedModel.parse(entry))
            except ValueError as error:
                form = "model=https://host/path or model=https://host/path@branch"
                self._error(name, f"entry {number} {error}", f"write it as {form}")
        keep = self._count("MLGATE_MODELS_KEEP", 10)
        register = self._switch("MLGATE_REGISTER_MODELS")
        return ModelPolicy(tuple(allowed), keep, tuple(prefix for prefix, _ in services), register)

    def _services(self) -> Services:
        name = "MLGATE_SERVICES"
        services: list[tuple[str, SecretStr | None]] = []
        for number, entry in enumerate(self._list(name), 1):
            prefix, separator, variable = entry.rpartition("=") if "=" in entry else (entry, "", "")
            if not url_allowed(prefix, [prefix]):
                self._error(
                    name,
                    f"entry {number} can match no server",
                    "write it as https://host/path or https://host/path=NAME_OF_VARIABLE, without "
                    "user name or query; http is for a loopback address such as 127.0.0.1",
                )
            elif not separator:
                services.append((prefix, None))
            elif key := self._secret(name, number, variable):
                services.append((prefix, key))
        return tuple(services)

    def _git_credentials(self) -> tuple[tuple[str, SecretStr], ...]:
        name = "MLGATE_GIT_CREDENTIALS"
        credentials = []
        for number, entry in enumerate(self._list(name), 1):
            prefix, separator, variable = entry.rpartition("=")
            if not separator or not prefix:
                # Name the entry by its number: a wrong one may contain the token itself.
                what = f"entry {number} has no prefix, or names no variable"
                self._error(name, what, "write it as https://host/path=NAME_OF_VARIABLE")
            elif not url_allowed(prefix, [prefix]):
                self._error(
                    name,
                    f"entry {number} can match no repository",
                    "write its prefix as https://host/path, without user name, password or query "
                    "(ssh URLs are opened with the host's own key)",
                )
            elif token := self._secret(name, number, variable):
                credentials.append((prefix, token))
        return tuple(credentials)

    def _secret(self, name: str, number: int, variable: str) -> SecretStr | None:
        """The secret in the variable that an entry names; None, with an error, if it has none."""
        value = self._environ.get(variable, "")
        named = f"the variable that entry {number} names is"
        if not value:
            self._error(name, f"{named} not set", "set that variable")
        elif value.startswith(_REFERENCE):
            what = f"{named} a Key Vault reference that the app could not resolve"
            self._error(name, what, "check that its identity may read the vault's secret")
        else:
            return SecretStr(value)
        return None

    def _count(self, name: str, default: int) -> int:
        text = self._text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) < 1:
            what = f"{text[:80]!r} is not a whole number above 0"
            self._error(name, what, "write one from 1 to 999999999")
            return 1
        return int(text)

    def _check_state(self, state: str) -> None:
        if "://" in state:
            self._check_container("MLGATE_STATE", state, with_secrets=True)
        elif not state.startswith("sqlite:"):
            what = f"{shown(state)} is not the address of a store"
            self._error("MLGATE_STATE", what, "write sqlite:PATH or the URL of a blob container")

    def _check_container(self, name: str, url: str, *, with_secrets: bool = False) -> None:
        try:
            address = ContainerAddress.parse(url)
            if with_secrets:
                address.secrets()
        except ValueError as error:
            what, remedy = error.args
            self._error(name, f"{shown(url)} {what}", remedy)

    def _check_functions(self, settings: Settings) -> None:
        # Instances come and go, so local runs and a state on the disk would be lost.
        if "local" in (settings.policy.backend, *settings.policy.allowed_backends):
            self._error(
                "MLGATE_ALLOWED_BACKENDS",
                "local cannot be allowed inside Azure Functions",
                "set MLGATE_BACKEND=azureml",
            )
        if settings.state.startswith("sqlite:"):
            self._error(
                "MLGATE_STATE",
                "sqlite: cannot be used inside Azure Functions",
                "set it to the URL of a blob container",
            )
        # Relative paths are below the app's folder, which is often read-only.
        if not _writable(settings.home):
            what = f"{settings.home} cannot be written"
            self._error("MLGATE_HOME", what, "set it to /tmp/mlgate, for example")
        builds = Path(settings.builds).absolute()
        if "://" not in settings.builds and not _writable(builds):
            what = f"{builds} cannot be written"
            self._error("MLGATE_BUILDS", what, "set it to the URL of a blob container")
        bus = settings.service_bus
        if bus.connection_string is None and bus.namespace is None:
            name = "serviceBusConnectionString"
            what = f"neither it nor {name}__fullyQualifiedNamespace is set"
            self._error(name, what, "set one of them")

    def _text(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def _list(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._text(name).split(",") if part.strip())

    def _choice(self, name: str, default: str, known: tuple[str, ...]) -> str:
        value = self._text(name) or default
        if value not in known:
            self._not_one_of(name, value, known)
            return default
        return value

    def _switch(self, name: str) -> bool:
        value = self._text(name).lower()
        if value not in ("", *_ON, *_OFF):
            self._not_one_of(name, value, _ON + _OFF)
        return value in _ON

    def _not_one_of(self, name: str, value: str, known: tuple[str, ...]) -> None:
        self._error(name, f"{value!r} is unknown", f"choose from {', '.join(known)}")

    def _error(self, name: str, what: str, remedy: str) -> None:
        self._wrong.append(WrongSetting(name, what, remedy))


def _writable(folder: Path) -> bool:
    """Whether the folder can be written or created."""
    try:
        place = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError:  # a parent cannot be read, or the name is too long
        return False
    return place.is_dir() and os.access(place, os.W_OK)
