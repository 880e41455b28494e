"""What a model's process says of itself: a claim, as the model could have written it.

Types and sizes are checked here. What does not hold is as if nothing had been said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlgate.launcher.asking import MOST_TOLD
from mlgate.launcher.trial import ANSWERING, DONE, LOADING, TIMES
from mlgate.launcher.values import Raised
from mlgate.scorer import files
from mlgate.scorer.errors import Unusable

MOST_BYTES = 8 << 20  # of all that is said
MOST_REQUESTS = 100_000  # that are asked one after the other
_MOST_DISTRIBUTIONS = 2_000
_NAME_CHARACTERS = 200  # of a distribution, and of its version
_MOST_SECONDS = 10_000_000.0
_KINDS = ("invalid", "dependency", "code")


@dataclass(frozen=True)
class Miss:
    """A request that failed, by its number from 1: it was refused, or the model raised."""

    number: int
    refused: tuple[str, str] | None
    raised: Raised | None


@dataclass(frozen=True)
class Said:
    """`step` is the last one that was begun; "" when nothing holds. `refused` are kind and message.

    `answers` are those to the example, as often as `trial.TIMES`, else the one to the first
    request; none where that is too large, of `answer_bytes`. `seconds` are those of each request,
    or of the example alone. `number` is the request that was asked last, from 1, and 0 before;
    `failed` is how many did, and `misses` are the first of them.
    """

    step: str = ""
    load_seconds: float = 0.0
    answers: tuple[Any, ...] = ()
    answer_bytes: int = 0
    signature: Any = None
    distributions: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, str] | None = None
    raised: Raised | None = None
    seconds: tuple[float, ...] = ()
    number: int = 0
    failed: int = 0
    misses: tuple[Miss, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Said:
        """From the file of it, whatever that is; never raises for what is in it."""
        try:
            content = files.read_bounded(path, MOST_BYTES)
            told = json.loads(content or b"", parse_constant=_refuse, parse_float=_finite)
            return cls._of(told)
        except (OSError, Unusable, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls()

    @classmethod
    def _of(cls, told: Mapping[str, Any]) -> Said:
        said = cls(step=_one_of(told["step"], (LOADING, ANSWERING, DONE)))
        seconds = told.get("load_seconds", 0.0)
        number, failed = told.get("number", 0), told.get("failed", 0)
        said = replace(
            said,
            load_seconds=_between(seconds, 0.0, _MOST_SECONDS),
            number=int(_between(number, 0.0, MOST_REQUESTS)),
            failed=int(_between(failed, 0.0, float(number))),
        )
        if "refused" in told or "raised" in told:
            refused, raised = _reason(told)
            return replace(said, refused=refused, raised=raised)
        if said.step != DONE:
            return said
        answers, signature = told["answers"], told["signature"]
        if not isinstance(answers, list) or len(answers) not in (
            {0, TIMES, 1} if said.number else {0, TIMES}
        ):
            raise ValueError
        misses = [Miss(int(each["number"]), *_reason(each)) for each in told.get("misses", ())]
        if bool(misses) != bool(said.failed) or len(misses) > MOST_TOLD:
            raise ValueError
        times = told.get("seconds", [])
        if said.number and len(times) != said.number:
            raise ValueError
        if not isinstance(signature, (dict, type(None))):
            raise TypeError
        listed = [*told["distributions"].items()][: _MOST_DISTRIBUTIONS + 1]
        if len(listed) > _MOST_DISTRIBUTIONS:
            raise ValueError
        return replace(
            said,
            answers=tuple(answers),
            answer_bytes=int(_between(told.get("answer_bytes", 0), 0.0, 2.0**62)),
            signature=signature,
            seconds=tuple(_between(each, 0.0, _MOST_SECONDS) for each in times),
            misses=tuple(misses),
            distributions={
                _text(name, _NAME_CHARACTERS): _text(version, _NAME_CHARACTERS)
                for name, version in listed
            },
        )


def _reason(told: Mapping[str, Any]) -> tuple[tuple[str, str] | None, Raised | None]:
    """Kind and message of what was refused, or what was raised."""
    if "refused" in told:
        refused = told["refused"]
        return (_one_of(refused["kind"], _KINDS), _text(refused["message"], MOST_BYTES)), None
    return None, Raised.read(told["raised"], str(told["traceback"]))


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError
    return str(value)


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError
    value.encode()  # raises for what is no text
    return value


def _between(value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError
    return float(value)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _refuse(_: str) -> None:
    raise ValueError
