"""The parts of the public request, version 1: the contract's fields, types, defaults and limits.

The descriptions are the documentation: the JSON Schema and the reference page are made of them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from mlgate.orchestration.findings import Code
from mlgate.orchestration.wire.model_types import KeptPath, LoadRequest
from mlgate.orchestration.wire.promotion import PromoteRequest
from mlgate.orchestration.wire.types import (
    ENVIRONMENT_NAME,
    SIZE,
    Command,
    List,
    Minutes,
    Nodes,
    ParameterMap,
    Ref,
    RelativePath,
    RepositoryUrl,
    RunName,
    Seconds,
    TagMap,
    Text,
    VariableMap,
    Wire,
    refuse,
)

MAX_RUNS = 500

Backend = Literal["local", "azureml"]


class Repository(Wire):
    """Where the notebooks and trainings are."""

    url: RepositoryUrl = Field(
        description="https, ssh, or (where the host allows it) an absolute path. Without password, "
        "query or fragment; http for a loopback literal only."
    )
    ref: Ref | None = Field(
        default=None,
        description="Commit SHA, branch, tag, or full ref such as `refs/pull/7/merge`; "
        "the default branch when absent.",
    )
    subdirectory: RelativePath = Field(
        default=".", description="Root of every path below; only this part is snapshotted."
    )
    submodules: bool = Field(default=False, description="Needs the `git` program.")
    lfs: bool = Field(default=False, description="Needs the `git` program.")


class Workspace(Wire):
    """An Azure ML workspace."""

    subscription_id: str = Field(pattern="^[^/]+$", description="The subscription's id.")
    resource_group: str = Field(pattern="^[^/]+$", description="The resource group's name.")
    name: str = Field(pattern="^[^/]+$", description="The workspace's name.")

    def __str__(self) -> str:
        """As the host's settings and the build's state write it."""
        return f"{self.subscription_id}/{self.resource_group}/{self.name}"


class EnvironmentFiles(Wire):
    """What a run finds installed.

    One of the files may be given beside `azureml`, so that one message serves both backends: each
    uses what it can.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["requirements"]},
                {"required": ["conda_file"]},
                {"required": ["azureml"]},
            ],
            "not": {"required": ["requirements", "conda_file"]},
            "dependentRequired": {"image": ["conda_file"]},
        }
    )

    requirements: RelativePath | None = Field(default=None, description="A pip requirements file.")
    conda_file: RelativePath | None = Field(default=None, description="A conda environment file.")
    image: Text | None = Field(
        default=None, description="The base image that the conda file extends."
    )
    azureml: Annotated[str, Field(pattern=f"^{ENVIRONMENT_NAME}$")] | None = Field(
        default=None, description='An Azure ML environment, `"name:version"`.'
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.requirements is not None and self.conda_file is not None:
            raise refuse(
                Code.CONFLICTING_FIELDS,
                "Both `requirements` and `conda_file` are given.",
                "Keep one: a conda file can list pip packages as well.",
            )
        if self.image is not None and self.conda_file is None:
            raise refuse(
                Code.MISSING_FIELD,
                "`image` is given without the `conda_file` that extends it.",
                "Add `conda_file`, or name a registered environment with `azureml`.",
            )
        if self.requirements is None and self.conda_file is None and self.azureml is None:
            raise refuse(
                Code.MISSING_FIELD,
                "The environment is empty.",
                "Give `requirements`, `conda_file` or `azureml`, or leave `environment` out.",
            )
        return self


class ComputeResources(Wire):
    """As Azure ML takes them; ignored locally."""

    instance_type: Text | None = Field(default=None, description="A virtual machine size.")
    instance_count: Nodes | None = Field(
        default=None, description="Number of nodes: a run has one."
    )
    shm_size: Annotated[str, Field(pattern=f"^{SIZE}$")] | None = Field(
        default=None, description="Shared memory, for example `2g`."
    )


class RunFields(Wire):
    """What all runs have in common, and `defaults` may hold."""

    directory: RelativePath | None = Field(
        default=None,
        description="Working directory; the notebook's folder, or the root for a training, "
        "when absent.",
    )
    environment: EnvironmentFiles | None = Field(
        default=None, description="The host's default when absent."
    )
    compute: Text | None = Field(
        default=None,
        description="Azure ML compute name or `serverless`, the host's when absent; "
        "ignored locally.",
    )
    resources: ComputeResources | None = Field(
        default=None, description="As Azure ML takes them; ignored locally."
    )
    environment_variables: VariableMap = Field(default={}, description="Plain strings.")
    tags: TagMap = Field(
        default={},
        description="Plain strings: at most 47 with those of `defaults`, as Azure ML allows 50 and "
        "mlgate uses three; names of up to 100 characters, values of up to 1,000.",
    )
    outputs: List[RelativePath] = Field(
        default=(),
        description="Globs, relative to the working directory, of files to keep; "
        "`outputs/**` always is.",
    )
    timeout_minutes: Minutes = Field(default=60, description="Execution only; fractions allowed.")
    retries: Annotated[int, Field(ge=0, le=5)] = Field(
        default=0, description="Further attempts, after transient failures only."
    )


class NotebookFields(Wire):
    """What only notebooks have, and `defaults` may hold."""

    parameters: ParameterMap = Field(
        default={},
        description="Injected after the cell tagged `parameters`, or at the top when there is "
        "none. A name that the tagged cell does not define is a finding.",
    )
    kernel: Text | None = Field(
        default=None,
        description="The notebook's own when absent. An absent or unknown Python kernel becomes "
        "`python3`; another language is invalid.",
    )
    cell_timeout_seconds: Seconds = Field(default=1200, description="Execution of one cell.")


class Defaults(RunFields, NotebookFields):
    """Fields for all runs; what a run says itself wins.

    `parameters`, `environment_variables` and `tags` are merged key by key; any other field of a
    run replaces the default as a whole. Only a notebook takes a notebook's fields.
    """


class RunIdentity(Wire):
    """What a run is called and what it waits for."""

    name: RunName | None = Field(
        default=None,
        description="Unique; names that differ only in `-` and `_` are the same. Made from the "
        "file's name when absent.",
    )
    needs: List[Text] = Field(
        default=(),
        description="Names of runs that must pass first. The name of a glob means all of its "
        "runs. A run whose need did not pass is skipped.",
    )


class NotebookRun(RunFields, NotebookFields, RunIdentity):
    """One notebook, or one for each match of a glob."""

    kind: Literal["notebook"] = Field(description="A notebook is executed cell by cell.")
    path: RelativePath = Field(
        description="File, or glob such as `notebooks/**/*.ipynb`: one run per match, named "
        "`<name>-<stem>` when the entry has a name."
    )


class TrainingRun(RunFields, RunIdentity):
    """One command."""

    kind: Literal["training"] = Field(description="A command is executed.")
    command: Command = Field(
        description="As an Azure ML command job takes it, for example "
        "`python train.py --alpha 0.5`; `python` is the environment's interpreter."
    )


class ServingRun(RunFields, RunIdentity):
    """One model that another run kept: it is loaded from a folder with nothing but its files, and
    answers requests.

    The run fails when a request fails, and when there is none: neither `requests` nor an example
    nor a locustfile.
    """

    kind: Literal["serving"] = Field(description="A model is loaded and answers requests.")
    model: Text = Field(
        description="The run that keeps the model, a notebook or a training. The serving run needs "
        "it, whether `needs` names it or not."
    )
    path: KeptPath | None = Field(
        default=None,
        description="The model among the files that the run keeps, a file or a folder. When "
        "absent, the only one that is recognised: see `promote.path`.",
    )
    environment: EnvironmentFiles | None = Field(
        default=None,
        description="That of the run that keeps the model when absent. Name the file that the "
        "serving app installs, to prove what will serve.",
    )
    requests: RelativePath | None = Field(
        default=None,
        description="A JSON file in the repository: a list of request bodies as `POST /predict` "
        "takes them, each of which is answered once. The model's example when absent.",
    )
    load: LoadRequest | None = Field(
        default=None,
        description="Load from many callers at once: `{}` for the defaults. No load when absent.",
    )


Run = Annotated[NotebookRun | TrainingRun | ServingRun, Field(discriminator="kind")]
Runs = Annotated[List[Run], Field(min_length=1, max_length=MAX_RUNS)]


class AtLeast(Wire):
    """How many runs must pass."""

    at_least: Annotated[int, Field(ge=1, le=MAX_RUNS)] = Field(description="Number of runs.")


Condition = Annotated[
    Annotated[Literal["all_pass", "any_pass"], Tag("word")] | Annotated[AtLeast, Tag("number")],
    Discriminator(lambda value: "number" if isinstance(value, dict | AtLeast) else "word"),
]


class MetricBound(Wire):
    """One metric of one run, with one bound; a missing or NaN metric fails the gate."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["at_least"]}, {"required": ["at_most"]}]}
    )

    run: Text = Field(description="The run's name.")
    metric: Text = Field(description="The metric's name.")
    at_least: float | None = Field(default=None, description="The smallest value that passes.")
    at_most: float | None = Field(default=None, description="The largest value that passes.")

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise refuse(
                Code.MISSING_FIELD, "The metric has no bound.", "Give `at_least` or `at_most`."
            )
        if self.at_least is not None and self.at_most is not None:
            raise refuse(
                Code.CONFLICTING_FIELDS,
                "Both `at_least` and `at_most` are given.",
                "Write two entries, one for each bound.",
            )
        return self


class GateRequest(Wire):
    """When the build passes."""

    condition: Condition = Field(
        default="all_pass",
        description='`"all_pass"`, `"any_pass"` or `{"at_least": n}`; skipped runs do not count '
        "as passed.",
    )
    metrics: List[MetricBound] = Field(default=(), description="Bounds that must hold as well.")


class PlanFile(Wire):
    """The file in the repository that `runs_from` names."""

    runs: Runs | None = Field(default=None, description="As in the message.")
    defaults: Defaults = Field(
        default_factory=Defaults,
        json_schema_extra={"default": {}},
        description="As in the message, which wins.",
    )
    gate: GateRequest | None = Field(default=None, description="As in the message, which wins.")
    promote: PromoteRequest | None = Field(
        default=None, description="As in the message, which wins."
    )
