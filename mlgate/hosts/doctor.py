"""The checks of `mlgate doctor`: what builds need from outside, tried by the host that needs it.

Each handler defines its own checks; this module chooses and orders them for the host's settings. A
message of kind `check` runs the same checks on the host that handles it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from handlers.made_folders import unmade_again
from mlgate.hosts.settings import DEFAULT_MODELS, Settings
from mlgate.hosts.stores import make_models
from mlgate.hosts.usage import SettingsError
from mlgate.orchestration.checks import Check, Examination, NotApplicable, Wrong, examine
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.durable import StatePort
from mlgate.orchestration.ports import Asked

if TYPE_CHECKING:
    from handlers.blobs.container import Container
    from handlers.servicebus_handler import ServiceBusQueue

_GIB = 1 << 30
# Bytes for checkouts; the local backend also needs room for environments and run output.
_ROOM = {"local": 2 * _GIB, "azureml": _GIB // 4}
_TOLERATED = timedelta(seconds=10)
_FOLDER = "Make this process's user its owner, or set {name} to a place that the user can write."
_STORE = (
    "Set MLGATE_MODELS to the folder of a model store that this process's user owns: mount its "
    "share, or create a store with `mlgate models --init`."
)
_EXTRA = "Install mlgate with what Azure ML needs: pip install -e '.[azureml]'."
_TIME = "Correct this host's clock, for example with NTP."


@dataclass(frozen=True, slots=True)
class HostDoctor:
    """`DoctorPort` for these settings.

    `container` opens the blob container at a URL, `secrets` the one with its secrets. `identity`
    returns the host's own token for Azure DevOps, `azureml` the checks of a workspace, and `free`
    the free bytes on a folder's disk.
    """

    settings: Settings
    queue: Callable[[], ServiceBusQueue]
    state: Callable[[], StatePort]
    container: Callable[[str], Container]
    secrets: Callable[[str], Container]
    identity: Callable[[], SecretStr]
    azureml: Callable[[str], tuple[Examination, ...]]
    clock: Clock
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free

    def examine(self, asked: Asked) -> Iterator[Check]:
        return examine(self._examinations(asked))

    def _examinations(self, asked: Asked) -> Iterator[Examination]:
        yield Examination("disk", self._disk, _FOLDER.format(name="MLGATE_HOME"))
        yield from self._of_queue()
        yield from self._of_state()
        yield from self._of_builds()
        yield Examination("clock", self._clock, _TIME, needs=("state",))
        yield from self._of_devops(asked)
        yield from self._of_repository(asked)
        yield from self._of_azureml(asked)
        yield self._of_models()

    def _disk(self) -> str:
        home = self.settings.home
        _try_folder(home)
        free = self.free(next(each for each in (home, *home.parents) if each.exists()))
        wanted = max(_ROOM[name] for name in self._backends())
        if free < wanted:
            raise Wrong(
                f"{home} has {free / _GIB:.1f} GiB free, but a build may need {wanted / _GIB:g}.",
                "Free some space, or set MLGATE_HOME to a folder on a larger disk.",
            )
        return f"{home} can be written and has {free / _GIB:.1f} GiB free."

    def _backends(self) -> set[str]:
        return {self.settings.policy.backend, *self.settings.policy.allowed_backends}

    def _of_models(self) -> Examination:
        from handlers.blobs.checks import ROLE, tried

        where = self.settings.models
        look = tried(lambda: self.container(where)) if "://" in where else self._models_folder

        def models() -> str:
            if not self.settings.policy.models.allowed:
                raise NotApplicable("This host promotes no models: MLGATE_ALLOWED_MODELS is empty.")
            return look()

        return Examination("models", models, ROLE if "://" in where else _STORE)

    def _models_folder(self) -> str:
        folder = Path(self.settings.models or DEFAULT_MODELS).absolute()
        found = len(make_models(self.settings).models())
        _try_folder(folder)
        return f"{folder} can be written and has {found} models."

    def _of_queue(self) -> tuple[Examination, ...]:
        from handlers.servicebus_handler.checks import examinations

        def queue() -> ServiceBusQueue:
            try:
                return self.queue()
            except SettingsError as error:
                (wrong,) = error.settings
                raise Wrong(wrong.finding, wrong.advice) from None

        return examinations(queue, self.settings.service_bus.queue)

    def _of_state(self) -> Iterator[Examination]:
        from handlers.blobs.checks import ROLE, tried

        where = self.settings.state
        if "://" in where:
            yield Examination("state", tried(lambda: self.container(where)), ROLE)
            yield Examination("state-secrets", tried(lambda: self.secrets(where)), ROLE)
            return

        def database() -> str:
            path = Path(where.removeprefix("sqlite:")).absolute()
            _try_folder(path.parent)
            if not path.exists():
                return f"{path} can be created."
            self.state().builds(1)
            return f"{path} can be read and written."

        yield Examination("state", database, _FOLDER.format(name="MLGATE_STATE"))

    def _of_builds(self) -> Iterator[Examination]:
        from handlers.blobs.checks import ROLE, tried

        where = self.settings.builds
        if "://" in where:
            yield Examination("builds", tried(lambda: self.container(where)), ROLE)
            return

        def folder() -> str:
            _try_folder(Path(where).absolute())
            return f"{Path(where).absolute()} can be written."

        yield Examination("builds", folder, _FOLDER.format(name="MLGATE_BUILDS"))

    def _clock(self) -> str:
        if "://" not in self.settings.state:
            raise NotApplicable("The state is on this machine, so no other clock matters.")
        container = self.container(self.settings.state)
        container.read("check")
        skew = container.skew() or timedelta(0)
        seconds = abs(skew.total_seconds())
        if abs(skew) > _TOLERATED:
            where = "ahead of" if skew > timedelta(0) else "behind"
            raise Wrong(f"This host's clock is {seconds:.0f} s {where} the storage's.")
        return f"This host's clock and the storage's differ by {seconds:.0f} s."

    def _of_devops(self, asked: Asked) -> tuple[Examination, ...]:
        from handlers.devops_handler.checks import examinations

        collections: Sequence[str] = self.settings.policy.allowed_collections
        if asked.pipeline is not None:
            collections = (asked.pipeline.plan_url,)
        identity = self.identity if self.settings.devops_identity else None
        return examinations(collections, asked.token, identity)

    def _of_repository(self, asked: Asked) -> tuple[Examination, ...]:
        from handlers.repository_handler import GitCredential
        from handlers.repository_handler.checks import examinations

        settings = self.settings
        return examinations(
            asked.repository,
            home=settings.home,
            allowed=settings.policy.allowed_repositories,
            credentials=[GitCredential(*entry) for entry in settings.git_credentials],
            host_identity=self.identity,
            collection=asked.pipeline.plan_url if asked.pipeline is not None else None,
            token=asked.token,
        )

    def _of_azureml(self, asked: Asked) -> tuple[Examination, ...]:
        said: Exception = NotApplicable(f"Runs use the backend {asked.backend}.")
        if asked.backend == "azureml" and asked.workspace is None:
            said = Wrong("No workspace is named.")
        elif asked.backend == "azureml" and asked.workspace is not None:
            try:
                return self.azureml(asked.workspace)
            except ImportError as error:
                said = Wrong(f"The package {error.name} is not installed.", _EXTRA)

        def say() -> str:
            raise said

        remedy = "Set MLGATE_WORKSPACE, or `workspace` in the message."
        return (Examination("azureml", say, remedy),)


def _try_folder(folder: Path) -> None:
    """Write a file there and remove it; raises `Wrong`."""
    try:
        with unmade_again(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".mlgate-check-") as file:
                file.write(b"{}")
                file.flush()
    except OSError as error:
        raise Wrong(f"{folder} cannot be written: {error.strerror}.") from None
