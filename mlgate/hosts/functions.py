"""What the function folders share: one application per worker process.

They ask for it when they are loaded, so that wrong settings are told at the start, all at a time,
and again by each message: the host starts its listeners all the same, and answers every message
of a function that could not be loaded with the error of its loading (`LoadResponse` and
`SendInvocationRequest` in Azure/azure-functions-host, GrpcWorkerChannel.cs). Their deliveries run
out within seconds then; once the settings are right, the sweeper takes up what was given up.

Nothing is asked of the network here: an outage of a moment would last as long as the process.
"""

from __future__ import annotations

import logging
from functools import cache

from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.settings import DEFAULT_BUILDS, Settings
from mlgate.orchestration.ports import Rejected

log = logging.getLogger("mlgate")
# The worker passes on what is INFO or more, and there Azure's SDKs tell of each of their requests.
logging.getLogger("azure").setLevel(logging.WARNING)


class RejectedError(Exception):
    """The message was recorded as rejected; raising it spends one of its deliveries."""

    def __init__(self, rejected: Rejected) -> None:
        super().__init__(f"{rejected.reason}: {rejected.description}")


@cache
def application() -> Application:
    """The application for this process's settings; raises `SettingsError`."""
    settings = Settings.read(in_functions=True)
    if settings.builds == DEFAULT_BUILDS:
        log.warning(
            "MLGATE_BUILDS is not set: build files stay on this instance, and go with it. Set it "
            "to the URL of a blob container."
        )
    return assemble(settings)
