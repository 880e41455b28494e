"""The JSON Schema of the public message."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from mlgate.orchestration.wire.messages import KINDS, PLANNED, StartMessage
from mlgate.orchestration.wire.promotion import PromoteMessage, RollbackMessage
from mlgate.orchestration.wire.types import WireSchema

_TITLE = "mlgate request, version 1"


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a message of any kind.

    Its own properties are those of the kinds that have a repository; which fields a message may
    have follows from its kind. Some rules are the models' alone: secrets in URLs, unexpanded
    variables, and what two runs must not have in common.
    """
    _, document = models_json_schema(
        [(kind, "validation") for kind in (StartMessage, PromoteMessage, RollbackMessage)],
        schema_generator=WireSchema,
    )
    definitions = document["$defs"]
    start = definitions.pop(StartMessage.__name__)
    properties = start["properties"]
    kind = {**properties["kind"], "enum": [*KINDS]}
    return {
        "$schema": WireSchema.schema_dialect,
        "title": _TITLE,
        "description": start["description"],
        "type": "object",
        "properties": {**properties, "kind": kind},
        "required": ["version"],
        **_either(
            "promote",
            {"$ref": f"#/$defs/{PromoteMessage.__name__}"},
            _either(
                "rollback",
                {"$ref": f"#/$defs/{RollbackMessage.__name__}"},
                {
                    "propertyNames": {"enum": list(properties)},
                    "required": start["required"],
                    **_either("check", _UNPLANNED, _PLANNED),
                },
            ),
        ),
        "$defs": definitions,
    }


_UNPLANNED = {"not": {"anyOf": [{"required": [name]} for name in PLANNED]}}
_PLANNED = {"anyOf": [{"required": ["runs"]}, {"required": ["runs_from"]}]}


def _either(kind: str, then: dict[str, Any], otherwise: dict[str, Any]) -> dict[str, Any]:
    """A message of that kind is as `then` says, any other as `otherwise` says."""
    asked = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    return {"if": asked, "then": then, "else": otherwise}
