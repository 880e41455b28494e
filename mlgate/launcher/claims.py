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

from mlgate.launcher.trial import ANSWERING, DONE, LOADING, TIMES
from mlgate.launcher.values import Raised
from mlgate.scorer import files
from mlgate.scorer.errors import Unusable

MOST_BYTES = 8 << 20  # of all that is said
_MOST_DISTRIBUTIONS = 2_000
_NAME_CHARACTERS = 200  # of a distribution, and of its version
_MOST_SECONDS = 10_000_000.0
_KINDS = ("invalid", "dependency", "code")


@dataclass(frozen=True)
class Said:
    """`step` is the last one that was begun; "" when nothing holds. `refused` are kind and message.

    `answers` are as often as `trial.TIMES`, or none: without an example, and where one is too
    large, of `answer_bytes`.
    """

    step: str = ""
    load_seconds: float = 0.0
    answers: tuple[Any, ...] = ()
    answer_bytes: int = 0
    signature: Any = None
    distributions: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, str] | None = None
    raised: Raised | None = None

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
        said = replace(said, load_seconds=_between(seconds, 0.0, _MOST_SECONDS))
        if "refused" in told:
            kind = _one_of(told["refused"]["kind"], _KINDS)
            return replace(said, refused=(kind, _text(told["refused"]["message"], MOST_BYTES)))
        if "raised" in told:
            return replace(said, raised=Raised.read(told["raised"], str(told["traceback"])))
        if said.step != DONE:
            return said
        answers, signature = told["answers"], told["signature"]
        if not isinstance(answers, list) or len(answers) not in (0, TIMES):
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
            distributions={
                _text(name, _NAME_CHARACTERS): _text(version, _NAME_CHARACTERS)
                for name, version in listed
            },
        )


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
