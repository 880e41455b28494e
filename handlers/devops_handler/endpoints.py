"""Builds a plan's callback URLs: only below an allowed collection, and only with well-formed ids.

The address and the token come in the same message. If the address were trusted, anyone who can
send a message could make the host call any server, with the host's own credentials. So everything
here is checked before any network I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlgate.orchestration.addresses.allowlist import collection_allowed, parse_url
from mlgate.orchestration.builds import PipelineAddress
from mlgate.orchestration.errors import Permanent

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HUB = re.compile(r"[A-Za-z]{1,32}")  # build, release, deployment, gates, checks, in any case


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs of one plan; `collection` has no trailing slash."""

    collection: str
    project: str
    plan: str
    records: str
    feed: str
    loopback: bool

    @property
    def events(self) -> str:
        return f"{self.plan}/events"

    @property
    def logs(self) -> str:
        return f"{self.plan}/logs"

    @property
    def test_runs(self) -> str:
        return f"{self.project}/_apis/test/runs"

    def attachment(self, record: str, kind: str, name: str) -> str:
        """The URL of a record's file; `kind` is without its prefix."""
        return f"{self.records}/{record}/attachments/DistributedTask.Core.{kind}/{name}"

    @property
    def host(self) -> str:
        return self.collection.split("/")[2]


def endpoints_of(address: PipelineAddress, allowed: Sequence[str]) -> Endpoints:
    """The plan's endpoints. Raises `Permanent` if the address may not be called."""
    collection = address.plan_url.rstrip("/")
    url = parse_url(collection)
    if url is None or not collection_allowed(collection, allowed):
        raise Permanent(
            f"This host may not call the pipeline's collection {address.plan_url[:200]!r}. If it "
            "is yours, add its URL to MLGATE_ALLOWED_COLLECTIONS."
        )
    ids = {
        "ProjectId": address.project_id,
        "PlanId": address.plan_id,
        "JobId": address.job_id,
        "TimelineId": address.timeline_id,
        "TaskInstanceId": address.task_instance_id,
    }
    for name, value in ids.items():
        if not _GUID.fullmatch(value):
            raise Permanent(
                f"The message's property {name} is {value[:60]!r}, not a GUID, so nothing under "
                "MLGATE_ALLOWED_COLLECTIONS was called. Publish the message with "
                "PublishToAzureServiceBus, which sets it."
            )
    if not _HUB.fullmatch(address.hub_name):
        raise Permanent(
            f"The message's property HubName is {address.hub_name[:60]!r}, not the name of a hub, "
            "so nothing under MLGATE_ALLOWED_COLLECTIONS was called. Publish the message with "
            "PublishToAzureServiceBus, which sets it."
        )
    project = f"{collection}/{address.project_id}"
    plan = f"{project}/_apis/distributedtask/hubs/{address.hub_name}/plans/{address.plan_id}"
    records = f"{plan}/timelines/{address.timeline_id}/records"
    feed = f"{records}/{address.job_id}/feed"
    return Endpoints(collection, project, plan, records, feed, url.loopback)
