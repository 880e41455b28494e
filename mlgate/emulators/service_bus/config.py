"""The settings of a queue: those of Service Bus that the emulator supports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_DURATION = re.compile(
    r"P(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?"
    r"(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """One queue. Names are case-insensitive, as in Service Bus.

    Raises ValueError for invalid values.
    """

    name: str
    lock_seconds: float = 60.0
    max_delivery: int = 10  # failed deliveries until a message is dead-lettered
    dedup_seconds: float = 600.0  # how long a message id is remembered; 0: not at all
    ttl_seconds: float | None = None  # None: no limit
    dead_letter_on_expiry: bool = False  # otherwise an expired message is dropped

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is not a valid name for a queue: "
                "use up to 260 letters, digits, '.', '-', '_' and '/'."
            )
        if self.lock_seconds <= 0 or (self.ttl_seconds is not None and self.ttl_seconds <= 0):
            raise ValueError(f"The lock and the time to live of {self.name!r} must be above 0.")
        if self.dedup_seconds < 0:
            raise ValueError(f"The duplicate window of {self.name!r} must not be below 0.")
        if self.max_delivery < 1:
            raise ValueError(f"{self.name!r} must deliver a message at least once.")


def parse_queue(text: str) -> QueueConfig:
    """A queue from the command line, such as `name,lock=PT30S,max-delivery=10,dedup=PT10M`.

    Durations are ISO 8601 (days and smaller units); other settings are `ttl` and
    `dead-letter-on-expiry=true`. Raises ValueError with a sentence for people.
    """
    name, *settings = text.split(",")
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        match key.strip().lower() if equals else "":
            case "lock":
                values["lock_seconds"] = _seconds(value)
            case "dedup":
                values["dedup_seconds"] = _seconds(value)
            case "ttl":
                values["ttl_seconds"] = _seconds(value)
            case "max-delivery":
                if not value.strip().isdecimal():
                    raise ValueError(f"max-delivery must be a whole number, not {value!r}.")
                values["max_delivery"] = int(value)
            case "dead-letter-on-expiry":
                if value not in {"true", "false"}:
                    raise ValueError(f"dead-letter-on-expiry must be true or false, not {value!r}.")
                values["dead_letter_on_expiry"] = value == "true"
            case _:
                raise ValueError(
                    f"{setting!r} is not a setting of a queue: "
                    "use lock=, max-delivery=, dedup=, ttl= or dead-letter-on-expiry=."
                )
    return QueueConfig(name.strip(), **values)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip().upper())
    parts = (
        {unit: float(value) for unit, value in match.groupdict().items() if value} if match else {}
    )
    if not parts:
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as PT30S.")
    scale = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
    return sum(value * scale[unit] for unit, value in parts.items())
