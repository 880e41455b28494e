"""The wire: the public request and the internal follow-up, read and written.

A body is read once, in three steps, each of which reports all it finds: text (`data_contract`),
JSON (`json_text`), fields (`fields`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.findings import Code, Findings, choices
from mlgate.orchestration.wire.data_contract import unwrap
from mlgate.orchestration.wire.field_findings import add_field_findings
from mlgate.orchestration.wire.fields import (
    Backend,
    Defaults,
    GateRequest,
    Repository,
    Runs,
    Workspace,
)
from mlgate.orchestration.wire.json_text import read_object
from mlgate.orchestration.wire.promotion import PromoteMessage, PromoteRequest, RollbackMessage
from mlgate.orchestration.wire.types import (
    BuildId,
    Minutes,
    RelativePath,
    Version,
    Wire,
    shown_id,
)

M = TypeVar("M", bound=BaseModel)

KINDS = ("start", "check", "promote", "rollback")
# The fields of runs, which a check does not have.
PLANNED = ("runs", "runs_from", "defaults", "gate", "promote")


class StartMessage(Wire):
    """Run notebooks and trainings of a repository, and close the waiting pipeline step."""

    version: Version = Field(description="Contract version.")
    kind: Literal["start", "check"] = Field(
        default="start",
        description="What to do. `check` runs nothing: it tries what builds of this message's "
        "`repository`, `backend` and `workspace` will need of the host, shows the results, "
        "and fails when something is wrong. It has none of the fields of runs. `promote` and "
        "`rollback` run nothing either: they say which version of a model is the current one, and "
        "have fields of their own.",
    )
    build_id: BuildId | None = Field(
        default=None,
        description="`$(Build.BuildId)`: shown to people, used in names, links the Tests tab, "
        "which is skipped without it. At most 128 printable characters.",
    )
    attempt: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="`$(System.JobAttempt)`; part of the build's identity, so that a job that "
        "runs again is a new build.",
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
    deadline_minutes: Minutes = Field(
        default=1440, description="Whole build, from the moment the message was enqueued."
    )
    defaults: Defaults = Field(
        default_factory=Defaults,
        json_schema_extra={"default": {}},
        description="Fields for all runs.",
    )
    runs: Runs | None = Field(default=None, description="The runs; this or `runs_from`.")
    runs_from: RelativePath | None = Field(
        default=None,
        description="A JSON file in the repository holding `runs`, `defaults`, `gate` and "
        "`promote`. What the message itself says wins: its `defaults` field by field, the others "
        "as a whole.",
    )
    gate: GateRequest = Field(
        default_factory=GateRequest,
        json_schema_extra={"default": {}},
        description="When the build passes.",
    )
    promote: PromoteRequest | None = Field(
        default=None,
        description="The model that the build offers when it passes; none when absent.",
    )


class LookMessage(Wire):
    """Internal: look at a build. Names it, and carries no state and no token.

    `handed_back` counts how often a handler could not take this look and sent it again.
    """

    version: Version = 1
    kind: Literal["look"] = "look"
    build: Annotated[str, Field(pattern="^[0-9a-f]{1,64}$")]
    look: Annotated[int, Field(ge=0)]
    handed_back: Annotated[int, Field(ge=0)] = 0


Request = StartMessage | PromoteMessage | RollbackMessage
_MODELS: dict[str, type[PromoteMessage | RollbackMessage]] = {
    "promote": PromoteMessage,
    "rollback": RollbackMessage,
}


@dataclass(frozen=True, slots=True)
class Read:
    """A body, as far as it can be read.

    `raw` is the JSON object as it came, empty when there is none. Only `message` raises: whose
    message it is can be read in most bodies, whatever is wrong with them.
    """

    raw: Mapping[str, Any]
    findings: tuple[Finding, ...]
    valid: Request | LookMessage | None

    def message(self) -> Request | LookMessage:
        """Raises `BadMessage` with all findings."""
        if self.valid is None:
            raise BadMessage(self.findings)
        return self.valid

    @property
    def attempt(self) -> int:
        """1 where none can be read."""
        attempt = self.raw.get("attempt")
        return attempt if isinstance(attempt, int) and not isinstance(attempt, bool) else 1

    @property
    def build_id(self) -> str | None:
        """Fit to be shown, whatever the body holds."""
        build_id = self.raw.get("build_id")
        return shown_id(build_id) if isinstance(build_id, str) and build_id else None

    @property
    def fingerprint(self) -> str:
        """Equal for two bodies of the same JSON, wrapped or raw, whatever the order of keys."""
        canonical = json.dumps(self.raw, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def read(body: bytes) -> Read:
    """The message in a body, wrapped or raw; raises nothing, whatever the body holds."""
    raw: dict[str, Any] = {}
    try:
        raw, findings = read_object(unwrap(body))
        return Read(raw, (), message_of(raw, findings))
    except BadMessage as error:
        return Read(raw, error.findings, None)


def message_of(raw: Mapping[str, Any], findings: Findings | None = None) -> Request | LookMessage:
    """The message that a JSON object holds, which was read with these findings.

    Raises `BadMessage` with all findings, and nothing else.
    """
    findings = findings or Findings()
    kind = raw.get("kind", "start")
    if kind == "look":
        return validated(LookMessage, raw, findings)
    if isinstance(kind, str) and kind in _MODELS:
        return validated(_MODELS[kind], raw, findings)
    if isinstance(kind, str) and kind not in KINDS:
        message = f"There is no message of kind `{kind[:80]}`."
        findings.add(Code.UNKNOWN_KIND, "/kind", message, choices(kind[:80], KINDS))
    elif kind == "check":
        for name in PLANNED:
            if name in raw:
                message = f"A message of kind `check` runs nothing, so it has no `{name}`."
                findings.add(Code.CONFLICTING_FIELDS, f"/{name}", message, "Leave the field out.")
    elif "runs" not in raw and "runs_from" not in raw:
        findings.add(
            Code.MISSING_FIELD,
            "",
            "The message names no runs.",
            "Give `runs`, or in `runs_from` a JSON file of the repository that holds them.",
        )
    return validated(StartMessage, raw, findings)


def validated(model: type[M], raw: Mapping[str, Any], findings: Findings) -> M:
    """The object as that model, when neither the reader nor the model finds anything wrong.

    Raises `BadMessage` with the reader's `findings`, then the model's; a place that the reader
    has found something wrong with is not reported twice.
    """
    try:
        result = model.model_validate(raw)
    except ValidationError as error:
        add_field_findings(error, model, findings)
        result = None
    findings.check()
    assert result is not None
    return result


def encode_look(build: str, look: int, handed_back: int = 0) -> bytes:
    """The follow-up that asks for one look at a build, by its key."""
    message = LookMessage(build=build, look=look, handed_back=handed_back)
    return message.model_dump_json().encode()
