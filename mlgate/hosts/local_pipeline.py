"""A whole pipeline on this machine: queue, worker and the step that waits, for one build.

The queue is the emulator, the pipeline the stand-in for Azure DevOps; the worker, the protocol and
the callbacks between them are the ones that run in Azure.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlgate.emulators.azure_devops import AzureDevOps, Task
from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.local_queue import LocalQueue
from mlgate.hosts.settings import ServiceBus, Settings
from mlgate.hosts.worker import Hints, Worker
from mlgate.orchestration.admission.identity import build_key, pipeline_address
from mlgate.orchestration.builds import Build
from mlgate.orchestration.durable import Rejection
from mlgate.orchestration.ports import BuildFiles

if TYPE_CHECKING:
    from handlers.local_handler.warm import Begun

log = logging.getLogger("mlgate")

LISTENERS = 1  # one build has one look at a time
_SAVED_SECONDS = 0.01  # between two looks at whether a build has ended whose step has


@dataclass(frozen=True, slots=True)
class LocalBuild:
    """The build under way; `task` is the waiting step as the pipeline sees it."""

    key: str
    task: Task
    application: Application
    hints: Hints
    worker: Worker

    def state(self) -> Build | None:
        """The build as stored; None until the message was handled."""
        return self.application.conductor.build(self.key)

    @property
    def lost(self) -> bool:
        """Whether the message could not be handled, however often it was delivered."""
        return self.worker.lost.is_set() and self.state() is None

    def rejection(self) -> Rejection | None:
        """Why the message was refused, if it was."""
        return self.application.conductor.rejection(self.key)

    def cancel(self) -> None:
        """What canceling a pipeline does; the build is told at once instead of finding out."""
        self.task.cancel()
        if self.application.conductor.abandon(self.key):
            self.hints.look(self.key)

    def leave(self) -> Build | None:
        """Work on it no more, and make sure that the end of its runs was asked for.

        Returns the build as it is left. Raises what the backend raises.
        """
        self.worker.finish()
        return self.application.conductor.leave(self.key)

    def wait(self, seconds: float) -> bool:
        """Whether the build is over, waiting for it so long at most."""
        until = time.monotonic() + seconds
        # The step ends just before the build. It may also never end, or long before, as a canceled
        # one does.
        told = self.task.wait_completed(seconds) is not None
        while (build := self.state()) is None or build.open:
            if not told or time.monotonic() >= until:
                return False
            time.sleep(_SAVED_SECONDS)
        return True


@contextmanager
def local_pipeline(
    settings: Settings,
    message: Mapping[str, Any],
    attempt: int,
    files: BuildFiles,
    queue: LocalQueue,
    begun: Begun | None = None,
) -> Iterator[LocalBuild]:
    """Publish `message` as the Azure DevOps task would, and have it handled until the block ends.

    One without a `build_id` gets this pipeline's own. What a strict pipeline would have minded
    is logged at the end. `queue` is stopped then; `begun` is as of `assemble`. Raises what the
    assembly and the stand-in for the pipeline raise when they cannot start.
    """
    with queue, AzureDevOps() as devops:
        bus = ServiceBus(
            queue=settings.service_bus.queue, connection_string=queue.connection_string
        )
        policy = replace(settings.policy, allowed_collections=(devops.collection_url,))
        hints = Hints()
        application = assemble(
            replace(settings, service_bus=bus, policy=policy),
            files=files,
            on_ended=hints.ended,
            begun=begun,
            queue=queue.client,
        )
        said = str(message.get("build_id") or int(time.time()))
        number = int(said) if said.isascii() and said.isdigit() else None
        task = devops.new_task(build_id=number)
        body = json.dumps({**message, "build_id": said}).encode()
        message_id = uuid.uuid4().hex
        found = pipeline_address(task.properties)
        key = build_key(found[0] if found else None, attempt, message_id)
        # An earlier build that was killed is no business of this worker.
        worker = Worker(application, hints, listeners=LISTENERS, only=key)
        worker.start()
        try:
            application.queue.publish(body, message_id, task.properties)
            yield LocalBuild(key, task, application, hints, worker)
        finally:
            # The queue goes first, so that threads which wait for its next message end; but
            # they try it once more after most of a second, which nobody has to wait for.
            worker.stop()
            queue.stop()
            worker.join(0.0)
            for slip in devops.violations:
                log.error("protocol violation: %s", slip)
