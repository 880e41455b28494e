"""The names of things in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mlgate.orchestration.runs import Attempt

PROVIDER = "Microsoft.MachineLearningServices"
STORE = "workspaceblobstore"  # the datastore that every workspace has
OUTPUT = "run"  # the job's only output: the launcher's output folder


@dataclass(frozen=True, slots=True)
class Workspace:
    subscription_id: str
    resource_group: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `subscription/resource-group/name`, which the settings have checked."""
        return cls(*text.split("/"))

    def __str__(self) -> str:
        return f"{self.subscription_id}/{self.resource_group}/{self.name}"

    @property
    def path(self) -> str:
        """Its Azure Resource Manager id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/workspaces/{self.name}"
        )


def output_folder(attempt: Attempt) -> str:
    """Where an attempt's output is in the datastore, the same for every host."""
    return f"mlgate/{attempt.id}"


def output_uri(attempt: Attempt) -> str:
    return f"azureml://datastores/{STORE}/paths/{output_folder(attempt)}/"


def model_folder(version: str) -> str:
    """Where the files of a model's version are in the datastore, for the runs that compare theirs
    with it. No attempt has such an id."""
    return f"mlgate/current-models/{version}"


def model_uri(version: str) -> str:
    return f"azureml://datastores/{STORE}/paths/{model_folder(version)}/"


def build_tag(build: str) -> str:
    """The tag that all jobs of this build have, and no others: lists filter by tag name only."""
    return f"mlgate-{build}"
