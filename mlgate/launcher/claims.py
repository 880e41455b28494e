"""Reads what a model's process reports. That is a claim: the model could have written it itself.

Types and sizes are checked here. A report that fails the checks counts as no report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlgate.launcher.asking import MOST_DETAILED
from mlgate.launcher.trial import ANSWERING, DONE, LOADING, TIMES
from mlgate.launcher.values import Raised
from mlgate.scorer import files
from mlgate.scorer.errors import Unusable

MOST_BYTES = 8 << 20  # of a report
MOST_REQUESTS = 100_000  # that are sent one after the other
_MOST_DISTRIBUTIONS = 2_000
_NAME_CHARACTERS = 200  # of a distribution's name, and of its version
_MOST_SECONDS = 10_000_000.0
_KINDS = ("invalid", "dependency", "code")


@dataclass(frozen=True)
class Miss:
    """A request that failed: it was refused, or the model raised. `number` counts from 1."""

    number: int
    refused: tuple[str, str] | None
    raised: Raised | None


@dataclass(frozen=True)
class Said:
    """The report. `step` is the last one that began; "" if there is no valid report.

    `refused` is a kind and a message. `answers` are the `trial.TIMES` answers to the example, else
    the one to the first request; if an answer is too large, they are empty and `answer_bytes` is
    its size. `seconds` are those of each request, or of the example if that is all. `number` is the
    number of the last request, from 1, or 0 before the first; `failed` is how many failed, and
    `misses` are the first of those.
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
        """From its file. Nothing in the file can make this raise."""
        try:
            content = files.read_bounded(path, MOST_BYTES)
            report = json.loads(content or b"", parse_constant=_refuse, parse_float=_finite)
            return cls._of(report)
        except (OSError, Unusable, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls()

    @classmethod
    def _of(cls, report: Mapping[str, Any]) -> Said:
        said = cls(step=_one_of(report["step"], (LOADING, ANSWERING, DONE)))
        seconds = report.get("load_seconds", 0.0)
        number, failed = report.get("number", 0), report.get("failed", 0)
        said = replace(
            said,
            load_seconds=_between(seconds, 0.0, _MOST_SECONDS),
            number=int(_between(number, 0.0, MOST_REQUESTS)),
            failed=int(_between(failed, 0.0, float(number))),
        )
        if "refused" in report or "raised" in report:
            refused, raised = _reason(report)
            return replace(said, refused=refused, raised=raised)
        if said.step != DONE:
            return said
        answers, signature = report["answers"], report["signature"]
        if not isinstance(answers, list) or len(answers) not in (
            {0, TIMES, 1} if said.number else {0, TIMES}
        ):
            raise ValueError
        misses = [Miss(int(each["number"]), *_reason(each)) for each in report.get("misses", ())]
        if bool(misses) != bool(said.failed) or len(misses) > MOST_DETAILED:
            raise ValueError
        times = report.get("seconds", [])
        if said.number and len(times) != said.number:
            raise ValueError
        if not isinstance(signature, (dict, type(None))):
            raise TypeError
        listed = [*report["distributions"].items()][: _MOST_DISTRIBUTIONS + 1]
        if len(listed) > _MOST_DISTRIBUTIONS:
            raise ValueError
        return replace(
            said,
            answers=tuple(answers),
            answer_bytes=int(_between(report.get("answer_bytes", 0), 0.0, 2.0**62)),
            signature=signature,
            seconds=tuple(_between(each, 0.0, _MOST_SECONDS) for each in times),
            misses=tuple(misses),
            distributions={
                _text(name, _NAME_CHARACTERS): _text(version, _NAME_CHARACTERS)
                for name, version in listed
            },
        )


def _reason(report: Mapping[str, Any]) -> tuple[tuple[str, str] | None, Raised | None]:
    """The kind and message of a refusal, or what was raised."""
    if "refused" in report:
        refused = report["refused"]
        return (_one_of(refused["kind"], _KINDS), _text(refused["message"], MOST_BYTES)), None
    return None, Raised.read(report["raised"], str(report["traceback"]))


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError
    return str(value)


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError
    value.encode()  # raises for lone surrogates
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
