"""The types of single values in a message: what strict JSON and the contract's words come to.

Where pydantic and JSON Schema cannot be derived from one another, a type says it for both.
"""

from __future__ import annotations

import keyword
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from mlgate.orchestration.addresses.repository_urls import refusal
from mlgate.orchestration.findings import Code

# Nobody means more than a year, and far larger numbers overflow clocks.
_YEAR_IN_MINUTES = 366 * 24 * 60
LONGEST_PATH = 4096  # of Linux
_LONGEST_ID = 128
# Of a run of Azure ML (MicrosoftDocs/azure-ai-docs, resource-limits-capacity.md): of its 50 tags,
# the backend takes three to find a build's jobs by.
MOST_TAGS = 47
_LONGEST_TAG_NAME = 100
ENVIRONMENT_NAME = r"[^\s:]\S*[:@]\S+"  # of Azure ML: with a version or a label
SIZE = r"[1-9][0-9]*[bBkKmMgG]"  # as Docker and Azure ML take it
_LONGEST_TAG_VALUE = 1000


class Wire(BaseModel):
    """An object of a message: strict, closed, immutable.

    None is a field that was left out. The wire has no null: the reader rejects it (`json_text`),
    and the schema does not offer it.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class WireSchema(GenerateJsonSchema):
    """JSON Schema without what only Python has: nulls for absent fields, titles of fields."""

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
    if isinstance(value, bool):  # which Literal[1] would accept: to Python, true is 1
        raise refuse(Code.BAD_VERSION, "The version is a boolean.", 'Write `"version": 1`.')
    return value


def _relative_path(value: str) -> str:
    return path_below(
        value,
        "Give it relative to the repository's `subdirectory`.",
        "Paths cannot leave the repository's `subdirectory`: choose a higher one.",
    )


def path_below(value: str, if_absolute: str, if_outside: str) -> str:
    """The path without `.` and doubled `/`; it stays inside the folder it is relative to.

    The other two are remedies.
    """
    if not value:
        raise refuse(Code.BAD_FORMAT, "The path is empty.", "Leave the field out, or name a path.")
    if len(value) > LONGEST_PATH:
        raise refuse(
            Code.OUT_OF_RANGE,
            f"The path has {len(value):,} characters, more than {LONGEST_PATH:,}.",
            "No system has such a path: give a shorter one.",
        )
    if "\\" in value:
        raise refuse(Code.UNSAFE_PATH, "The path holds a backslash.", "Separate folders by `/`.")
    if value.startswith("/") or re.match("[A-Za-z]:", value):
        raise refuse(Code.UNSAFE_PATH, "The path is absolute.", if_absolute)
    path = PurePosixPath(value)
    if ".." in path.parts:
        raise refuse(Code.UNSAFE_PATH, "The path holds `..`.", if_outside)
    return str(path)


def _build_id(value: str) -> str:
    """It goes into names, tags, variables and terminals."""
    if len(value) > _LONGEST_ID:
        raise refuse(
            Code.OUT_OF_RANGE,
            f"The build id has {len(value):,} characters, more than {_LONGEST_ID}.",
            "Give a short one, such as `$(Build.BuildId)`.",
        )
    if not value.isprintable():
        raise refuse(
            Code.BAD_FORMAT,
            "The build id holds a character that cannot be printed.",
            "Give a plain one, such as `$(Build.BuildId)`.",
        )
    return value


def shown_id(value: str) -> str:
    """A build id that may not be one, fit to be shown."""
    return "".join(each if each.isprintable() else "\ufffd" for each in value[:_LONGEST_ID])


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


def _few_tags(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MOST_TAGS:
        raise refuse(
            Code.OUT_OF_RANGE,
            f"There are {len(value):,} tags, more than {MOST_TAGS}.",
            f"Leave out {len(value) - MOST_TAGS:,}.",
        )
    return value


def _one_node(value: int) -> int:
    if value > 1:
        raise refuse(
            Code.OUT_OF_RANGE,
            "The run asks for more than one node.",
            "Leave the field out: a run is one command on one node.",
        )
    return value


def _command(value: str) -> str:
    if not value.strip():
        raise refuse(
            Code.BAD_FORMAT,
            "The command is blank: it would execute nothing, and succeed.",
            "Write what the run executes, for example `python train.py`.",
        )
    return value


def _tag_name(value: str) -> str:
    if len(value) > _LONGEST_TAG_NAME:
        raise refuse(
            Code.OUT_OF_RANGE,
            f"The tag's name has {len(value):,} characters, more than {_LONGEST_TAG_NAME}.",
            "Give a shorter one.",
        )
    return value


def _tag_value(value: str) -> str:
    if len(value) > _LONGEST_TAG_VALUE:
        raise refuse(
            Code.OUT_OF_RANGE,
            f"The tag has {len(value):,} characters, more than {_LONGEST_TAG_VALUE:,}.",
            "Shorten it, or keep the text in a file below `outputs/`.",
        )
    return value


T = TypeVar("T")

# A list of JSON. Strict as all else, but for what Python calls it: a list, and here a tuple.
List = Annotated[tuple[T, ...], Field(strict=False)]
Version = Annotated[Literal[1], BeforeValidator(_not_boolean)]
Text = Annotated[str, Field(min_length=1)]
Command = Annotated[Text, AfterValidator(_command), Field(json_schema_extra={"pattern": r"\S"})]
# Some of what cannot be printed: a pattern cannot name it all.
NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]*$"
BuildId = Annotated[
    Text,
    AfterValidator(_build_id),
    Field(json_schema_extra={"maxLength": _LONGEST_ID, "pattern": NO_CONTROL}),
]
RunName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
RELATIVE = r"^(?!/)(?![A-Za-z]:)(?!(.*/)?\.\.(/|$))[^\\]+$"
RelativePath = Annotated[
    str,
    AfterValidator(_relative_path),
    Field(json_schema_extra={"maxLength": LONGEST_PATH, "pattern": RELATIVE}),
]
RepositoryUrl = Annotated[
    str, AfterValidator(_repository_url), Field(json_schema_extra={"minLength": 1})
]
# The characters that `git check-ref-format` refuses, and a leading `-`, which is an option.
Ref = Annotated[str, Field(pattern=r"^[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]*$")]
# To start a command on several nodes, Azure ML needs a `distribution`, which a message lacks.
Nodes = Annotated[int, Field(ge=1, json_schema_extra={"maximum": 1}), AfterValidator(_one_node)]
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
TagMap = Annotated[
    dict[
        Annotated[str, AfterValidator(_tag_name)],
        Annotated[
            str,
            AfterValidator(_tag_value),
            Field(json_schema_extra={"maxLength": _LONGEST_TAG_VALUE}),
        ],
    ],
    AfterValidator(_few_tags),
    Field(
        json_schema_extra={
            "maxProperties": MOST_TAGS,
            "propertyNames": {"maxLength": _LONGEST_TAG_NAME},
        }
    ),
]
