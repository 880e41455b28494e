"""A workspace and everything in it, as plain state; `lock` guards all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from mlgate.emulators.azure_ml.exchange import REGION
from mlgate.emulators.azure_ml.jobs import Job
from mlgate.emulators.azure_ml.storage import Folder
from mlgate.emulators.azure_ml.tokens import Principal

PROVIDER = "Microsoft.MachineLearningServices"
BLOB_STORE = "workspaceblobstore"
ARTIFACT_STORE = "workspaceartifactstore"


@dataclass(slots=True)
class Asset:
    """A version of a code, an environment or a model.

    `properties` are as answers show them; `asked` is a model's path as requested.
    """

    name: str
    version: str
    properties: dict[str, Any]
    created: datetime
    asked: str = ""


@dataclass(slots=True)
class Workspace:
    """A workspace. `computes` are its clusters; `page_size` is the number of items in a page.

    `onward` converts the next page's URL to what `nextLink` shows.
    `keyless`: datastores are identity-based and return no key, and storage accepts none.
    `fails_at_limit`: a job that its own limit ends is Failed, not Canceled.
    `client_id` is that of the workspace's user-assigned identity.
    """

    subscription_id: str
    resource_group: str
    name: str
    principal: Principal
    account: str
    computes: frozenset[str]
    page_size: int
    keyless: bool
    fails_at_limit: bool
    created: datetime
    id: str = field(default_factory=lambda: str(uuid4()))
    client_id: str = field(default_factory=lambda: str(uuid4()))
    codes: dict[tuple[str, str], Asset] = field(default_factory=dict)
    environments: dict[tuple[str, str], Asset] = field(default_factory=dict)
    models: dict[tuple[str, str], Asset] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    onward: Callable[[str], str] = str
    submitted: int = 0  # number of jobs so far
    canceled: dict[str, str] = field(default_factory=dict)  # operation's id -> job's name
    lock: threading.RLock = field(default_factory=threading.RLock)
    changed: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        self.changed = threading.Condition(self.lock)

    @property
    def path(self) -> str:
        """The workspace's ARM id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/workspaces/{self.name}"
        )

    @property
    def containers(self) -> dict[str, str]:
        """The container of each datastore."""
        return {
            BLOB_STORE: f"azureml-blobstore-{self.id}",
            ARTIFACT_STORE: f"azureml-artifacts-{self.id}",
        }

    @property
    def api(self) -> str:
        """Run history's URL, as discovery returns it."""
        return f"https://{REGION}.api.azureml.ms"

    def folder(self, uri: str) -> Folder | None:
        """The place of a long or short `azureml://` path; None if it is not in this workspace.

        A short path is `azureml://datastores/NAME/paths/PATH`, for the artifact store also without
        `paths`; a long one has `subscriptions/.../workspaces/NAME/` in front.
        """
        rest = uri.removeprefix("azureml://")
        if rest == uri or "datastores/" not in rest:
            return None
        ours = f"{self.path.removeprefix('/')}/".replace(f"providers/{PROVIDER}/", "").lower()
        before, _, place = rest.partition("datastores/")
        if before and before.lower() != ours:
            return None
        store, _, path = place.partition("/")
        if store not in self.containers:
            return None
        return Folder(self.containers[store], path.removeprefix("paths/").strip("/"))

    def artifacts(self, job: Job) -> Folder:
        """Where a job's logs go, and what it leaves in ./outputs and ./logs."""
        return Folder(self.containers[ARTIFACT_STORE], f"ExperimentRun/{job.data_container}")
