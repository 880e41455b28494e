"""Opens the stores of builds, build files and models that the settings name."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.blobs.address import ContainerAddress
from mlgate.hosts.settings import DEFAULT_MODELS, Settings
from mlgate.hosts.usage import SettingsError, WrongSetting
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.durable import StatePort
from mlgate.orchestration.ports import BuildFiles

if TYPE_CHECKING:
    from handlers.blobs.container import Container
    from handlers.models_handler import ModelStore


def make_state(settings: Settings, in_use: ExitStack | None = None) -> StatePort:
    """The store of builds. Until the end of `in_use`, it is ready to be saved to often."""
    if "://" in settings.state:
        from handlers.state_handler.blobs import BlobState

        state = ContainerAddress.parse(settings.state)
        return BlobState(make_container(state), make_container(state.secrets()))
    from handlers.state_handler import SqliteState

    found = SqliteState(Path(settings.state.removeprefix("sqlite:")).absolute())
    if in_use is not None:
        in_use.enter_context(found.in_use())
    return found


def make_files(settings: Settings) -> BuildFiles:
    """The store of build files: a folder per build, named by its key."""
    if "://" in settings.builds:
        from handlers.files_handler.blobs import BlobFiles

        return BlobFiles(make_container(ContainerAddress.parse(settings.builds)))
    from handlers.files_handler import FolderFiles

    root = Path(settings.builds).absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        what = f"{root} cannot be written: {error.strerror}"
        wrong = WrongSetting("MLGATE_BUILDS", what, "set it to another folder")
        raise SettingsError(wrong) from error
    return FolderFiles(lambda key: root / key)


def make_models(settings: Settings) -> ModelStore:
    """The model store."""
    from handlers.models_handler import Answering, Folder, ModelStore

    where = settings.models
    if "://" in where:
        from handlers.models_handler.container import InContainer

        return ModelStore(InContainer(make_container(ContainerAddress.parse(where))))
    folder = Folder(Path(where or DEFAULT_MODELS).absolute(), embedded=not where)
    return ModelStore(Answering(folder))


def check_containers(settings: Settings) -> None:
    """Write something small to each container in the settings; raises what `Container` raises."""
    addresses = [
        ContainerAddress.parse(url) for url in (settings.state, settings.builds) if "://" in url
    ]
    if "://" in settings.state:
        addresses.append(addresses[0].secrets())
    for address in addresses:
        make_container(address).check()


def make_container(address: ContainerAddress) -> Container:
    from handlers.blobs.container import Container
    from handlers.identity_handler import credential

    identity = None if address.signature is not None else credential()
    return Container(address, identity, SystemClock())
