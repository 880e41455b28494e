"""The wire: the public request and the internal follow-up, read and written.

A body is read in three steps, each of which reports all it finds: text (`datacontract`), JSON
(`jsontext`), fields (`request`).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlgate.orchestration.datacontract import unwrap
from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.fieldfindings import field_findings
from mlgate.orchestration.findings import Code, choices, finding
from mlgate.orchestration.jsontext import read_object
from mlgate.orchestration.request import Backend, Defaults, GateRequest, Repository, Runs, Workspace
from mlgate.orchestration.wiretypes import (
    Minutes,
    RelativePath,
    Text,
    Version,
    Wire,
    WireSchema,
)

M = TypeVar("M", bound=BaseModel)


class StartMessage(Wire):
    """Run notebooks and trainings of a repository, and close the waiting pipeline step."""

    model_config = ConfigDict(
        title="mlgate request, version 1",
        json_schema_extra={"anyOf": [{"required": ["runs"]}, {"required": ["runs_from"]}]},
    )

    version: Version = Field(description="Contract version.")
    kind: Literal["start"] = Field(default="start", description="What is asked for.")
    build_id: Text | None = Field(
        default=None,
        description="`$(Build.BuildId)`: shown to people, used in names, links the Tests tab, "
        "which is skipped without it.",
    )
    attempt: Annotated[int, Field(ge=1)] = Field(
        default=1, description="`$(System.JobAttempt)`; part of the build's identity."
    )
    repository: Repository = Field(description="Where the notebooks and trainings are.")
    backend: Backend | None = Field(
        default=None,
        description="Where they run; must be one the host allows. The host's when absent.",
    )
    workspace: Workspace | None = Field(
        default=None,
        description="Azure ML only; must be one the host allows. The host's when absent.",
    )
    deadline_minutes: Minutes = Field(default=1440, description="Whole build, queueing included.")
    defaults: Defaults = Field(
        default_factory=Defaults,
        json_schema_extra={"default": {}},
        description="Fields for all runs.",
    )
    runs: Runs | None = Field(default=None, description="The runs; this or `runs_from`.")
    runs_from: RelativePath | None = Field(
        default=None,
        description="A JSON file in the repository holding `runs`, `defaults` and `gate`. What "
        "the message itself says wins: its `defaults` field by field, its `runs` and `gate` as "
        "a whole.",
    )
    gate: GateRequest = Field(
        default_factory=GateRequest,
        json_schema_extra={"default": {}},
        description="When the build passes.",
    )


class LookMessage(Wire):
    """Internal: look at a build. Names it, and carries no state and no token."""

    version: Version = 1
    kind: Literal["look"] = "look"
    build: Annotated[str, Field(pattern="^[0-9a-f]{1,64}$")]
    generation: Annotated[int, Field(ge=0)]
    look: Annotated[int, Field(ge=0)]


def parse(body: bytes) -> StartMessage | LookMessage:
    """The message in a body, wrapped or raw.

    Raises `BadMessage` with every finding, and nothing else, whatever the body holds.
    """
    return parse_object(*read_object(unwrap(body)))


def parse_object(raw: dict[str, Any], findings: list[Finding]) -> StartMessage | LookMessage:
    """The message in an object that was read with these findings; raises as `parse` does."""
    findings = list(findings)
    kind = raw.get("kind", "start")
    if kind == "look":
        return validated(LookMessage, raw, findings)
    if isinstance(kind, str) and kind != "start":
        findings.append(
            finding(
                Code.UNKNOWN_KIND,
                "/kind",
                f"There is no message of kind `{kind[:80]}`.",
                choices(kind, ["start"]),
            )
        )
    if "runs" not in raw and "runs_from" not in raw:
        findings.append(
            finding(
                Code.MISSING_FIELD,
                "",
                "The message names no runs.",
                "Give `runs`, or in `runs_from` a JSON file of the repository that holds them.",
            )
        )
    return validated(StartMessage, raw, findings)


def validated(model: type[M], raw: dict[str, Any], findings: list[Finding]) -> M:
    """The object as that model, when neither the reader nor the model finds anything wrong.

    Raises `BadMessage` with the reader's `findings`, then the model's; a place that the reader
    has found something wrong with is not reported twice.
    """
    found = list(findings)
    places = {each.pointer for each in findings}
    result = None
    try:
        # Through JSON, as strictness differs: a list is a tuple there, a word an enum's member.
        result = model.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        found += [each for each in field_findings(error, model) if each.pointer not in places]
    if found or result is None:
        raise BadMessage(found)
    return result


def encode_look(build: str, generation: int, look: int) -> bytes:
    """The follow-up that asks for one look at a build, by its key."""
    message = LookMessage(build=build, generation=generation, look=look)
    return message.model_dump_json().encode()


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the public message.

    Some rules are the models' alone: secrets in URLs, unexpanded variables, and whatever lies
    between two runs.
    """
    return {
        "$schema": WireSchema.schema_dialect,
        **StartMessage.model_json_schema(schema_generator=WireSchema),
    }
