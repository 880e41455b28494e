"""What a message says of models: what a start offers, and the kinds that run nothing.

As in `fields`, the descriptions are the documentation.
"""

from __future__ import annotations

import warnings
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from mlgate.orchestration.findings import Code
from mlgate.orchestration.wire.model_types import (
    KeptPath,
    ModelName,
    Reason,
    ServiceUrl,
    VersionOrNumber,
)
from mlgate.orchestration.wire.types import BuildId, List, Minutes, Text, Version, Wire, refuse

Tolerance = Annotated[float, Field(ge=0)]


class CompareRequest(Wire):
    """One metric by which the candidate is compared with the model's current version.

    Better, worse or neither: a difference up to the tolerance counts as none.
    """

    model_config = ConfigDict(
        json_schema_extra={"not": {"required": ["tolerance", "relative_tolerance"]}}
    )

    run: Text = Field(description="The run's name.")
    metric: Text = Field(description="The metric's name.")
    better: Literal["higher", "lower"] = Field(
        default="higher", description="Which of two values is the better one."
    )
    tolerance: Tolerance | None = Field(
        default=None, description="The largest difference that counts as none; 0 when absent."
    )
    relative_tolerance: Tolerance | None = Field(
        default=None,
        description="The same as a share of the current version's value: 0.01 is one percent.",
    )
    current: Text | None = Field(
        default=None,
        description="The metric of the same run that holds the current version's value, measured "
        "in this build; the value on record with that version when absent.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.tolerance is not None and self.relative_tolerance is not None:
            raise refuse(
                Code.CONFLICTING_FIELDS,
                "Both `tolerance` and `relative_tolerance` are given.",
                "Keep one of them.",
            )
        if self.current == self.metric:
            raise refuse(
                Code.CONFLICTING_FIELDS,
                "`metric` and `current` name the same metric, so nothing could ever be better.",
                "Name in `current` the one with the current version's value, or leave it out for "
                "the value on record.",
            )
        return self


class VerifyRequest(Wire):
    """The server that has to answer with the new version before the build passes.

    It is polled until `GET /health` names the log's new entry. Then the version's example is sent
    to `POST /predict` until so many answers in a row come from the new version and are as recorded.
    Anything else, and the entry is undone: the version before is the current one again, and the
    build fails.
    """

    url: ServiceUrl = Field(
        description="Where the model is served, without the route; the host must allow it "
        "(`MLGATE_SERVICES`)."
    )
    answers: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="How many answers in a row it takes."
    )
    timeout_minutes: Minutes = Field(
        default=10, description="How long it may take; the build's deadline counts as well."
    )


# Abstract classes, which pydantic's are, have a method of that name; no message is asked for it.
warnings.filterwarnings("ignore", 'Field name "register" in "PromoteRequest"')


class PromoteRequest(Wire):
    """The model that the build offers, and what it takes to become the current version.

    The first serving run whose `model` is the same run, with the same `path`, tries it. Without
    one, the build gets one more run, `check-<model>`, which loads the model and has it answer.
    """

    model: ModelName = Field(
        description="The model; the host must allow it for this repository (`MLGATE_ALLOWED_MODELS`"
        ")."
    )
    run: Text | None = Field(
        default=None,
        description="The run whose kept output is the candidate; the only training of the build "
        "when absent.",
    )
    path: KeptPath | None = Field(
        default=None,
        description="The model among the files that the run keeps, a file or a folder. When "
        "absent, the only one that is recognised: a folder with `MLmodel`, else `*.onnx`, "
        "`*.skops`, `*.joblib` or `*.pkl`.",
    )
    compare: List[CompareRequest] = Field(
        default=(),
        description="Metrics by which it is compared with the current version: worse by one is "
        "worse, else better by one is better.",
    )
    when: Literal["better", "not_worse"] = Field(
        default="better", description="What it must be, where there is something to compare."
    )
    worse: Literal["fail", "keep"] = Field(
        default="fail",
        description="What a worse one does: `fail` fails the build, `keep` lets it pass with a "
        "warning. The current version stays in both cases.",
    )
    first: bool = Field(
        default=True, description="Whether it is promoted when the model has no current version."
    )
    example: KeptPath | None = Field(
        default=None,
        description="A JSON file among those that the run keeps: a request body as `POST /predict` "
        "takes it. MLflow's input example when absent.",
    )
    verify: VerifyRequest | None = Field(
        default=None, description="The server that has to answer with the promoted version."
    )
    register: bool = Field(
        default=False,
        description="Whether a promoted version is also registered as a model of the Azure ML "
        "workspace, with its job; ignored locally. `MLGATE_REGISTER_MODELS` of the host does so "
        "for all.",
    )


class ModelMessage(Wire):
    """What a message of a kind that runs nothing says of its build."""

    version: Version = Field(description="Contract version.")
    build_id: BuildId | None = Field(
        default=None, description="`$(Build.BuildId)`, as in a start message."
    )
    attempt: Annotated[int, Field(ge=1)] = Field(
        default=1, description="`$(System.JobAttempt)`, as in a start message."
    )
    deadline_minutes: Minutes = Field(
        default=1440, description="Whole build, from the moment the message was enqueued."
    )
    model: ModelName = Field(
        description="The model; `MLGATE_ALLOWED_MODELS` of the host must name it."
    )
    verify: VerifyRequest | None = Field(
        default=None, description="The server that has to answer with the version."
    )


class PromoteMessage(ModelMessage):
    """Promote the model of an earlier build whose gate passed; runs and compares nothing."""

    kind: Literal["promote"] = Field(description="Promote what an earlier build kept.")
    build: BuildId = Field(description="The earlier build: its id or its key.")
    run: Text | None = Field(
        default=None,
        description="The run whose kept output is the candidate; the one that the build offered, "
        "else its only training, when absent.",
    )


class RollbackMessage(ModelMessage):
    """Make an earlier version of a model the current one again; runs nothing."""

    kind: Literal["rollback"] = Field(description="Go back to an earlier version.")
    to: VersionOrNumber | None = Field(
        default=None,
        description="A version's id, or the number of an entry of the model's log; the version "
        "before the current one when absent.",
    )
    reason: Reason = Field(
        default="", description="Why, for the record: one line of at most 1,000 characters."
    )
