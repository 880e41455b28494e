"""From an accepted message to a new build, as it is first stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlgate.orchestration.builds import Build, PipelineAddress, RepositoryRequest
from mlgate.orchestration.hostpolicy import HostPolicy
from mlgate.orchestration.identity import build_key
from mlgate.orchestration.messages import StartMessage
from mlgate.orchestration.plan import plan


def new_build(
    message: StartMessage,
    raw: Mapping[str, Any],
    policy: HostPolicy,
    address: PipelineAddress | None,
    message_id: str,
    now: datetime,
) -> Build:
    """A build that nothing was looked at for yet; `raw` is the JSON object `message` was read of.

    The build remembers `raw`: the contract's fields, which hold no token. `now` is aware.
    Raises `BadMessage` for what is wrong between the runs, such as a circle of needs, so that
    it is told before anything is fetched.
    """
    plan(message, None)
    key = build_key(address, message.attempt, message_id)
    repository = message.repository
    return Build(
        key=key,
        build_id=message.build_id or key,
        request=dict(raw),
        repository=RepositoryRequest(
            url=repository.url,
            ref=repository.ref,
            subdirectory=repository.subdirectory,
            submodules=repository.submodules,
            lfs=repository.lfs,
        ),
        backend=policy.backend_of(message),
        workspace=policy.workspace_of(message),
        received_at=now,
        deadline=now + timedelta(minutes=message.deadline_minutes),
        pipeline=address,
    )
