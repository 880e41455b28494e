"""What a message says of models, as far as it is not a message or a run of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from mlgate.orchestration.addresses.allowlist import url_allowed
from mlgate.orchestration.findings import Code
from mlgate.orchestration.models import is_id
from mlgate.orchestration.wire.json_text import json_type
from mlgate.orchestration.wire.types import (
    LONGEST_PATH,
    NO_CONTROL,
    RELATIVE,
    RelativePath,
    Wire,
    path_below,
    refuse,
)

_LONGEST_REASON = 1000
_TO = "Give 12 digits of `0-9a-f`, as `mlgate models` lists them, or the number of an entry."


def _kept_path(value: str) -> str:
    remedy = "Name it as the run keeps it, such as `outputs/model.onnx`."
    return path_below(value, remedy, remedy)


def _version_or_number(value: object) -> object:
    """Strings are ids of versions, so a number between quotes is neither."""
    if isinstance(value, str):
        if is_id(value):
            return value
        number = value.isascii() and value.isdecimal()
        raise refuse(
            Code.BAD_FORMAT,
            "The string is not the id of a version.",
            "Drop the quotes of a number." if number else _TO,
        )
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(
            Code.WRONG_TYPE,
            f"The value must be a string or an integer, not {json_type(value)}.",
            _TO,
        )
    if value < 1:
        raise refuse(Code.OUT_OF_RANGE, "Entries of a model's log count from 1.", _TO)
    return value


def _reason(value: str) -> str:
    """It goes into a log that stays for ever, and into terminals."""
    if len(value) > _LONGEST_REASON:
        raise refuse(
            Code.OUT_OF_RANGE,
            f"The reason has {len(value):,} characters, more than {_LONGEST_REASON:,}.",
            "Shorten it, and put a link to the rest into it.",
        )
    if not value.isprintable():
        raise refuse(
            Code.BAD_FORMAT,
            "The reason holds a line break, or another character that cannot be printed.",
            "Put it on one line.",
        )
    return value


def _service_url(value: str) -> str:
    if not url_allowed(value, [value]):
        raise refuse(
            Code.BAD_FORMAT,
            "The URL is not one that requests can be sent to.",
            "Write it as `https://host/path`, without user, password or query; http is only for a "
            "loopback address such as `127.0.0.1`.",
        )
    return value.rstrip("/")


ModelName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
VersionOrNumber = Annotated[
    str | int,
    BeforeValidator(_version_or_number),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "string", "pattern": "^[0-9a-f]{12}$"},
                {"type": "integer", "minimum": 1},
            ]
        }
    ),
]
Reason = Annotated[
    str,
    AfterValidator(_reason),
    Field(json_schema_extra={"maxLength": _LONGEST_REASON, "pattern": NO_CONTROL}),
]
# As `url_allowed` has it, as far as a pattern can say that.
_HTTPS, _LOOPBACK = (
    r"https://[^?#@\s\\]+",
    r"http://(127(\.\d{1,3}){3}|\[::1\])(?![^:/])[^?#@\s\\]*",
)
ServiceUrl = Annotated[
    str,
    AfterValidator(_service_url),
    Field(json_schema_extra={"pattern": f"^({_HTTPS}|{_LOOPBACK})$"}),
]
# Among the files that a run keeps, by their relative paths.
KeptPath = Annotated[
    str,
    AfterValidator(_kept_path),
    Field(json_schema_extra={"maxLength": LONGEST_PATH, "pattern": RELATIVE}),
]


# More callers than one process of locust can be, or a longer load, need another tool.
class LoadRequest(Wire):
    """Callers that send requests at once, by locust, once the model has answered correctly.

    The run fails when no request is made, when the locustfile raises, and when a request fails,
    unless a metric of the gate bounds this run's `failures` or `failure_ratio`.
    """

    users: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="How many callers there are."
    )
    spawn_rate: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=10, description="How many of them begin each second."
    )
    seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=15, description="How long they send requests; within the run's `timeout_minutes`."
    )
    locustfile: RelativePath | None = Field(
        default=None,
        description="A Python file in the repository that says what callers do, executed in the "
        "run's `directory` by an environment of locust's alone. When absent, each sends the "
        "model's example, or the first request, to `/invocations`, and again once it is answered.",
    )
