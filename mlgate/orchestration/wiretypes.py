"""The types of single values in a message: what strict JSON and the contract's words come to.

Where pydantic and JSON Schema cannot be derived from one another, a type says it for both.
"""

from __future__ import annotations

import keyword
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from mlgate.orchestration.findings import Code
from mlgate.orchestration.repositoryurls import refusal

# Nobody means more than a year, and far larger numbers overflow clocks.
_YEAR_IN_MINUTES = 366 * 24 * 60


class Wire(BaseModel):
    """An object of a message: strict, closed, immutable.

    None stands for a field that was left out. The wire has no null: the reader finds it wrong
    (`jsontext`), and the schema does not offer it.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class WireSchema(GenerateJsonSchema):
    """JSON Schema without what is Python's alone: nulls for absent fields, titles of fields."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        json_schema = super().default_schema(schema)
        if json_schema.get("default", ...) is None:
            del json_schema["default"]
        return json_schema

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 -- the base's name
        return False


def refuse(code: Code, message: str, remedy: str) -> PydanticCustomError:
    """What a validator raises; it becomes a finding of that code with just these sentences."""
    said = {"code": code.value, "message": message, "remedy": remedy}
    return PydanticCustomError("finding", "{message}", said)


def _not_boolean(value: object) -> object:
    if isinstance(value, bool):  # which Literal[1] would take: to Python, true is 1
        raise refuse(Code.BAD_VERSION, "The version is a boolean.", 'Write `"version": 1`.')
    return value


def _relative_path(value: str) -> str:
    """The path without `.` and doubled `/`; it stays inside the folder it is relative to."""
    if not value:
        raise refuse(Code.BAD_FORMAT, "The path is empty.", "Leave the field out, or name a path.")
    if "\\" in value:
        raise refuse(Code.UNSAFE_PATH, "The path holds a backslash.", "Separate folders by `/`.")
    if value.startswith("/") or re.match("[A-Za-z]:", value):
        raise refuse(
            Code.UNSAFE_PATH,
            "The path is absolute.",
            "Give it relative to the repository's `subdirectory`.",
        )
    path = PurePosixPath(value)
    if ".." in path.parts:
        raise refuse(
            Code.UNSAFE_PATH,
            "The path holds `..`.",
            "Paths cannot leave the repository's `subdirectory`: choose a higher one.",
        )
    return str(path)


def _repository_url(value: str) -> str:
    refused = refusal(value)
    if refused is not None:
        raise refuse(refused.code, refused.message, refused.remedy)
    return value


def _parameter_name(value: str) -> str:
    if not value.isidentifier() or keyword.iskeyword(value) or not value.isascii():
        raise refuse(
            Code.BAD_FORMAT,
            "The parameter's name is not a Python name.",
            "Use letters, digits and `_`, as in the cell tagged `parameters`.",
        )
    return value


def _variable_name(value: str) -> str:
    if not value or "=" in value:
        raise refuse(
            Code.BAD_FORMAT,
            "The name of the environment variable is empty or holds `=`.",
            "Give the name alone, and the value as its value.",
        )
    return value


Version = Annotated[Literal[1], BeforeValidator(_not_boolean)]
Text = Annotated[str, Field(min_length=1)]
RunName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
RelativePath = Annotated[
    str,
    AfterValidator(_relative_path),
    Field(
        json_schema_extra={
            "pattern": r"^(?!/)(?![A-Za-z]:)(?!(.*/)?\.\.(/|$))[^\\]+$",
        }
    ),
]
RepositoryUrl = Annotated[
    str, AfterValidator(_repository_url), Field(json_schema_extra={"minLength": 1})
]
# The characters that `git check-ref-format` refuses, and a leading `-`, which is an option.
Ref = Annotated[str, Field(pattern=r"^[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]*$")]
Minutes = Annotated[float, Field(gt=0, le=_YEAR_IN_MINUTES)]
Seconds = Annotated[float, Field(gt=0, le=_YEAR_IN_MINUTES * 60)]
ParameterMap = Annotated[
    dict[Annotated[str, AfterValidator(_parameter_name)], JsonValue],
    Field(
        json_schema_extra={
            "propertyNames": {
                "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                "not": {"enum": [*keyword.kwlist]},
            }
        }
    ),
]
VariableMap = Annotated[
    dict[Annotated[str, AfterValidator(_variable_name)], str],
    Field(json_schema_extra={"propertyNames": {"pattern": "^[^=]+$"}}),
]
