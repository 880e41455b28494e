"""A whole pipeline on this machine for one build: queue, worker and the step that waits.

The queue and the pipeline are emulators of Service Bus and Azure DevOps. The worker, the protocol
and the callbacks are the same as in Azure.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from mlgate.emulators.azure_devops import AzureDevOps, Task
from mlgate.hosts.assembly import Application, assemble
from mlgate.hosts.local_queue import NAME, LocalQueue
from mlgate.hosts.settings import ServiceBus, Settings
from mlgate.hosts.worker import Hints, Worker
from mlgate.orchestration.admission.identity import build_key, pipeline_address
from mlgate.orchestration.builds import Build
from mlgate.orchestration.durable import Rejection
from mlgate.orchestration.ports import BuildFiles

if TYPE_CHECKING:
    from handlers.local_handler.warm import Begun

log = logging.getLogger("mlgate")

FILES_AT_ONCE = 100_000  # this pipeline has no limit of requests
LISTENERS = 1  # one build has one look at a time
_SAVED_SECONDS = 0.01  # between checks for a build's end once its step has ended


@dataclass(frozen=True, slots=True)
class LocalBuild:
    """The running build; `task` is the waiting step as the pipeline sees it."""

    key: str
    task: Task
    application: Application
    hints: Hints
    worker: Worker

    def state(self) -> Build | None:
        """The stored build; None until the message was handled."""
        return self.application.conductor.build(self.key)

    @property
    def lost(self) -> bool:
        """Whether every delivery of the message failed."""
        return self.worker.lost.is_set() and self.state() is None

    def rejection(self) -> Rejection | None:
        """Why the message was refused, if it was."""
        return self.application.conductor.rejection(self.key)

    def cancel(self) -> None:
        """Cancel as a canceled pipeline does, and have the build looked at right away."""
        self.task.cancel()
        if self.application.conductor.abandon(self.key):
            self.hints.look(self.key)

    def leave(self) -> Build | None:
        """Stop working on the build, after making sure that its runs were asked to end.

        Returns the build as it is then. Raises what the backend raises.
        """
        self.worker.finish()
        return self.application.conductor.leave(self.key)

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the end of the build; returns whether it has ended."""
        until = time.monotonic() + seconds
        # The step usually ends just before the build. A canceled one ends long before, and some
        # never end.
        completed = self.task.wait_completed(seconds) is not None
        while (build := self.state()) is None or build.open:
            if not completed or time.monotonic() >= until:
                return False
            time.sleep(_SAVED_SECONDS)
        return True


@contextmanager
def local_pipeline(
    settings: Settings,
    message: Mapping[str, Any],
    attempt: int,
    files: Callable[[str], BuildFiles],
    queue: LocalQueue,
    begun: Begun | None = None,
) -> Iterator[LocalBuild]:
    """Publish `message` as the Azure DevOps task would, and handle it until the block ends.

    A message without a `build_id` gets one. At the end, `queue` is stopped, and violations of the
    pipeline's protocol are logged. `files` returns where files go, for the build's key; `begun` is
    as in `assemble`. Raises what `assemble` and the
    Azure DevOps emulator raise if they cannot start.
    """
    with queue, AzureDevOps() as devops:
        bus = ServiceBus(queue=NAME, connection_string=SecretStr(queue.connection_string))
        policy = replace(settings.policy, allowed_collections=(devops.collection_url,))
        hints = Hints()
        said = str(message.get("build_id") or int(time.time()))
        number = int(said) if said.isascii() and said.isdigit() else None
        task = devops.new_task(build_id=number)
        body = json.dumps({**message, "build_id": said}).encode()
        message_id = uuid.uuid4().hex
        found = pipeline_address(task.properties)
        key = build_key(found[0] if found else None, attempt, message_id)
        application = assemble(
            replace(settings, service_bus=bus, policy=policy),
            files=files(key),
            on_ended=hints.ended,
            begun=begun,
            queue=queue.client,
            files_at_once=FILES_AT_ONCE,
        )
        # `only`: this worker must not continue an earlier build that was killed.
        worker = Worker(application, hints, listeners=LISTENERS, only=key)
        worker.start()
        try:
            application.queue.publish(body, message_id, task.properties)
            yield LocalBuild(key, task, application, hints, worker)
        finally:
            # Stopping the queue ends the threads that wait for its next message. They first try
            # again for almost a second, so don't wait for them.
            worker.stop()
            queue.stop()
            worker.join(0.0)
            for slip in devops.violations:
                log.error("protocol violation: %s", slip)
