"""Checks of what builds will need of the outside, and how they are made. The handlers say what to
try; this says what comes of it.

A check that needs one that failed is not tried: its answer would only repeat that. None may take
longer than its limit, and none raises.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.text import one_line

log = logging.getLogger("mlgate")

LIMIT = 90.0  # seconds for one of them, which is longer than clients wait for an answer
_LONGEST = 1000  # characters of what one says


class CheckStatus(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. `says` is a sentence; `remedy` what to do about what is wrong."""

    name: str
    status: CheckStatus
    says: str
    remedy: str = ""

    @property
    def wrong(self) -> bool:
        return self.status is CheckStatus.WRONG

    def __str__(self) -> str:
        return f"{self.name}: {self.says} {self.remedy}".strip()


class NotApplicable(Exception):
    """This host, or what was asked, does not need it."""


class Wrong(Exception):
    """What is wrong, and a remedy if there is a better one than the check's own."""

    def __init__(self, says: str, remedy: str = "") -> None:
        super().__init__(says)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Examination:
    """A check that is to be made.

    `look` returns what there is to say when all is well, and raises `NotApplicable`, `Wrong`, or
    an `OrchestrationError`, for which `remedy` says what to do. `needs` are names of checks that
    must be well before. `limit` is in seconds.
    """

    name: str
    look: Callable[[], str]
    remedy: str
    needs: tuple[str, ...] = ()
    limit: float = LIMIT


def examine(examinations: Iterable[Examination]) -> Iterator[Check]:
    """Make the checks, one after the other."""
    made: dict[str, Check] = {}
    for each in examinations:
        made[each.name] = check = _without_ground(each, made) or _made(each)
        yield check


def conclusion(checks: Sequence[Check]) -> str:
    """Their results, in a sentence."""
    wrong = [check.name for check in checks if check.wrong]
    tried = sum(check.status is not CheckStatus.NOT_APPLICABLE for check in checks)
    if not wrong:
        return f"All is well: {tried} checks."
    names = ", ".join(dict.fromkeys(wrong))
    return f"{len(wrong)} of {tried} checks found something wrong: {names}."


def _without_ground(each: Examination, made: dict[str, Check]) -> Check | None:
    for name in each.needs:
        ground = made.get(name)
        if ground is not None and ground.status is not CheckStatus.OK:
            says = f"Not tried: it needs {name}." if ground.wrong else ground.says
            return Check(each.name, CheckStatus.NOT_APPLICABLE, says)
    return None


def _made(each: Examination) -> Check:
    found: list[Check] = []
    # A thread of its own, left running if the call never returns.
    thread = threading.Thread(target=lambda: found.append(_looked(each)), daemon=True)
    thread.start()
    thread.join(each.limit)
    if found:
        return found[0]
    return _wrong(
        each,
        f"There was no answer within {each.limit:.0f} seconds.",
        "Check that this host reaches it (proxy, firewall, network rules), or why it is slow.",
    )


def _looked(each: Examination) -> Check:
    try:
        return Check(each.name, CheckStatus.OK, one_line(each.look(), _LONGEST))
    except NotApplicable as error:
        return Check(each.name, CheckStatus.NOT_APPLICABLE, one_line(str(error), _LONGEST))
    except Wrong as error:
        return _wrong(each, str(error), error.remedy)
    except OrchestrationError as error:
        return _wrong(each, str(error))
    except Exception as error:
        log.exception("the check %s failed", each.name)
        return _wrong(each, f"mlgate met an unexpected error: {error!r}")


def _wrong(each: Examination, says: str, remedy: str = "") -> Check:
    return Check(each.name, CheckStatus.WRONG, one_line(says, _LONGEST), remedy or each.remedy)
