"""What the function folders share: one application per worker process, made at the first use."""

from __future__ import annotations

from functools import cache

from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.settings import Settings
from mlgate.orchestration.ports import Rejected


class RejectedError(Exception):
    """The message was recorded as rejected; raising it spends one of its deliveries."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(f"{rejected.reason}: {rejected.description}")


@cache
def application() -> Application:
    """The application for this process's settings; raises `SettingsError` at start-up."""
    return assemble(Settings.read())
