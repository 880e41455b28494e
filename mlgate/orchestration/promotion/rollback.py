"""Rollback: which version, and the entry that makes it current again. Reads a store, writes
nothing."""

from __future__ import annotations

from datetime import datetime

from mlgate.orchestration.builds import Build
from mlgate.orchestration.durable import ModelsPort
from mlgate.orchestration.models import Entry
from mlgate.orchestration.promotion import history, offers
from mlgate.orchestration.promotion.weighing import Weighed
from mlgate.orchestration.promotions import PromotionOutcome


def going_back(
    models: ModelsPort,
    model: str,
    to: str | None,
    reason: str,
    now: datetime,
    *,
    build: Build | None = None,
    person: str | None = None,
) -> Entry | Weighed:
    """The entry to append, or why there is none.

    `to` is the id of a version or the number of an entry; None is the last version before the
    current one that was not rolled back itself.
    """
    head = models.head(model)
    current = head.entry
    if current is None:
        return _refused(f"{model} has no version.")
    log = models.log(model)
    target = history.before(log) if to is None else history.named(to, log)
    if target is None and to is None:
        return _refused(f"{model} has no version to roll back to.")
    if target is None:
        return _refused(f"{model} has no version or entry {to}: see `mlgate models {model}`.")
    version = f"{model}@{target.id}"
    if target.id == current.id:
        unchanged = PromotionOutcome.UNCHANGED
        return Weighed(unchanged, True, f"{version} is the current version already.")
    if gone := models.missing(model, target.id):
        return _refused(f"Files of {version} are missing, for example {gone[0]}.")
    if wrong := models.damaged(model, target.id):
        return _refused(f"Files of {version} are damaged, for example {wrong[0]}.")
    why = reason or f"{model}@{current.id} is rolled back."
    return offers.rolled_back(target, head, why, now, build=build, person=person)


def _refused(reason: str) -> Weighed:
    return Weighed(PromotionOutcome.REFUSED, False, reason)
