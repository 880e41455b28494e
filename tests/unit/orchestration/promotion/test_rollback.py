"""Which version a rollback returns to, and why it returns to none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from mlgate.orchestration.models import Entry, EntryKind, Manifest, ModelFile
from mlgate.orchestration.promotion.rollback import going_back
from mlgate.orchestration.promotion.weighing import Weighed
from mlgate.orchestration.promotions import PromotionOutcome
from tests.support.memory import MemoryModels

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def manifest(word: str) -> Manifest:
    content = word.encode()
    file = ModelFile("model.pkl", len(content), hashlib.sha256(content).hexdigest())
    return Manifest("pickle", "model.pkl", "3.11.7", "linux", {}, (file,))


FIRST, SECOND = manifest("first").id, manifest("second").id


@dataclass
class Store(MemoryModels):
    """One in which some versions are damaged."""

    wrong: dict[str, list[str]] = field(default_factory=dict)

    def damaged(self, model: str, version: str) -> list[str]:
        return self.wrong.get(version, [])


def store(*words: str) -> Store:
    """One with these versions, the last one current."""
    models = Store()
    before: str | None = None
    for number, word in enumerate(words, 1):
        made = manifest(word)

        def parts(_: str, content: bytes = word.encode()) -> Iterator[bytes]:
            yield content

        models.keep("churn", made, parts)
        kind, digest = EntryKind.PROMOTED, made.digest
        assert models.append(Entry(number, "churn", kind, made.id, digest, before, NOW))
        before = made.id
    return models


@pytest.mark.parametrize("to", [None, FIRST, "1"])
@pytest.mark.parametrize("reason", ["It was worse.", ""])
def test_it_returns_to_the_version_before_or_to_the_one_that_is_named(
    to: str | None, reason: str
) -> None:
    found = going_back(store("first", "second"), "churn", to, reason, NOW, person="Ada")

    assert isinstance(found, Entry)
    assert (found.number, found.kind) == (3, EntryKind.ROLLED_BACK)
    assert (found.id, found.replaces, found.person) == (FIRST, SECOND, "Ada")
    assert found.reason == (reason or f"churn@{SECOND} is rolled back.")


@pytest.mark.parametrize(
    ("words", "to", "reason"),
    [
        ("", None, "churn has no version."),
        ("", FIRST, "churn has no version."),
        ("first", None, "churn has no version to roll back to."),
        ("first", "7", "churn has no version or entry 7: see `mlgate models churn`."),
    ],
)
def test_there_may_be_none_to_return_to(words: str, to: str | None, reason: str) -> None:
    found = going_back(store(*words.split()), "churn", to, "", NOW)
    assert found == Weighed(PromotionOutcome.REFUSED, False, reason)


@pytest.mark.parametrize("to", [SECOND, "2"])
def test_the_current_version_stays_and_that_is_no_failure(to: str) -> None:
    found = going_back(store("first", "second"), "churn", to, "", NOW)
    reason = f"churn@{SECOND} is the current version already."
    assert found == Weighed(PromotionOutcome.UNCHANGED, True, reason)


@pytest.mark.parametrize("what", ["missing", "damaged"])
def test_a_version_whose_files_cannot_be_served_is_not_returned_to(what: str) -> None:
    models = store("first", "second")
    if what == "missing":
        models.drop_files("churn", FIRST)
    else:
        models.wrong[FIRST] = ["model.pkl"]
    found = going_back(models, "churn", None, "", NOW)
    reason = f"Files of churn@{FIRST} are {what}, for example model.pkl."
    assert found == Weighed(PromotionOutcome.REFUSED, False, reason)


def test_a_long_reason_is_cut() -> None:
    found = going_back(store("first", "second"), "churn", None, "why " * 1000, NOW)
    assert isinstance(found, Entry)
    assert 900 < len(found.reason) <= 1000
    assert found.reason.startswith("why why ")
