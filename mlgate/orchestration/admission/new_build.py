"""From an accepted message to a new build, as it is first stored."""

from __future__ import annotations

from datetime import datetime, timedelta

from mlgate.orchestration.admission.identity import build_key
from mlgate.orchestration.admission.policy import HostPolicy
from mlgate.orchestration.builds import Build, PipelineAddress, RepositoryRequest
from mlgate.orchestration.durable import Envelope
from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.planning.promotion import verify_of
from mlgate.orchestration.promotions import Promotion
from mlgate.orchestration.wire.fields import Repository
from mlgate.orchestration.wire.messages import Read, Request, StartMessage


def new_build(
    message: Request,
    read: Read,
    policy: HostPolicy,
    address: PipelineAddress | None,
    envelope: Envelope,
    now: datetime,
) -> Build:
    """A build that nothing has been done for yet; `message` is what was `read`.

    The build remembers the JSON as it came: the contract's fields, which hold no token. The time
    in the queue counts towards the deadline. `now` is aware.
    Raises `BadMessage` for what is wrong between the runs, such as a circle of needs, before
    anything is fetched.
    """
    start = message if isinstance(message, StartMessage) else None
    if start is not None:
        plan(start, None)
    key = build_key(address, message.attempt, envelope.message_id)
    return Build(
        key=key,
        build_id=message.build_id or key,
        request=dict(read.raw),
        body=read.fingerprint,
        message_id=envelope.message_id,
        repository=None if start is None else _requested(start.repository),
        backend=policy.backend_of(start),
        workspace=policy.workspace_of(start),
        received_at=now,
        deadline=(envelope.enqueued_at or now) + timedelta(minutes=message.deadline_minutes),
        pipeline=address,
        promotion=_promotion(message),
    )


def _promotion(message: Request) -> Promotion | None:
    """For the model that the message itself names; a file of the repository may name one too."""
    named = message.promote if isinstance(message, StartMessage) else message
    return None if named is None else Promotion(named.model, verify=verify_of(named.verify))


def _requested(repository: Repository) -> RepositoryRequest:
    return RepositoryRequest(
        url=repository.url,
        ref=repository.ref,
        subdirectory=repository.subdirectory,
        submodules=repository.submodules,
        lfs=repository.lfs,
    )
