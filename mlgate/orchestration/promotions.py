"""The nouns of promotions: what a build offers, how it compares, and how far its promotion is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mlgate.orchestration.models import Compared, Entry


class PromotionOutcome(StrEnum):
    """The outcome for a candidate."""

    PROMOTED = "promoted"
    KEPT = "kept"  # the current version stays
    UNCHANGED = "unchanged"  # the candidate is the current version
    SUPERSEDED = "superseded"  # a build that began later was first
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric by which a candidate is weighed.

    `current` names a metric of the same run with the current version's value, measured in this
    build; without it, the value on record counts. At most one of the tolerances is given.
    """

    run: str
    metric: str
    better: str = "higher"  # or "lower"
    tolerance: float = 0.0
    relative_tolerance: float | None = None  # of the current version's value
    current: str | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """What has to serve a version before its build passes: the server at `url` gives so many
    answers in a row, as recorded, within so many minutes."""

    url: str
    answers: int = 5
    timeout_minutes: float = 10.0


@dataclass(frozen=True, slots=True)
class PromotionRequest:
    """What a build offers, and what it needs. `path` and `example` are among the run's outputs."""

    model: str
    run: str
    path: str | None = None  # None: the one that is recognised
    compare: tuple[Comparison, ...] = ()
    when: str = "better"  # or "not_worse"
    worse: str = "fail"  # or "keep"
    first: bool = True
    example: str | None = None
    verify: Verify | None = None
    register: bool = False  # also in the backend's own list of models


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """The value of the metric that versions are compared by first, of one version."""

    id: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the server is with an entry that was appended.

    It has been waited for since `since`, by the broker's clock, and so for `waited` seconds at the
    last look. `answered` counts the answers in a row, `seen` is what the server said last. `failed`
    is why the entry is to be undone: `undo` is the entry to be appended for that, and `undone` its
    number once it is there. `current` is the id of the version that somebody else made current.
    """

    request: Verify
    since: datetime | None = None
    waited: float = 0.0
    answered: int = 0
    seen: str = ""
    failed: str | None = None
    undo: Entry | None = None
    undone: int | None = None
    current: str | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """The promotion of what a build offers, or a rollback; `outcome` is None while it goes on.

    `id` and `digest` are those of the version that it is about, `was` is the id of the one that was
    current, `trend` lists the last ones, the oldest first. `entry` is the one to be appended,
    from the decision until its result is known; `copied`: its version is kept, so
    that from now on the entry may be there. `passed`: the build's verdict stays what its gate said.
    `verification` is there from when the entry was appended, where `verify` asks for one;
    `verified` is its result.
    """

    model: str
    outcome: PromotionOutcome | None = None
    passed: bool = False
    reason: str = ""
    id: str | None = None
    digest: str | None = None
    number: int | None = None
    was: str | None = None
    comparison: tuple[Compared, ...] = ()
    trend: tuple[TrendPoint, ...] = ()
    entry: Entry | None = None
    copied: bool = False
    outrun: int = 0  # how often somebody else's entry came first
    verify: Verify | None = None
    verification: Verification | None = None
    verified: bool | None = None
    registered: bool = False  # the backend's list of models was seen to, as well as it could be

    @property
    def unregistered(self) -> bool:
        """Whether the backend's list of models does not know of the entry yet."""
        entered = self.outcome in (PromotionOutcome.PROMOTED, PromotionOutcome.ROLLED_BACK)
        return entered and self.number is not None and not self.registered
