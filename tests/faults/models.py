"""What the stories say of models: the store before a build, and what the host lets it change."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from enum import StrEnum

from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.models import Entry, EntryKind, Manifest, ModelFile
from tests.support.memory import MemoryModels, MemoryService
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.engine.twins import COLLECTION

MODEL = "churn"
CONTENT = b"weights"
BEFORE = (b"one", b"two", b"three")  # versions that were promoted, days ago


class Models(StrEnum):
    """What a story does with a model."""

    FIRST = "first"  # promotes its first version
    NEXT = "next"  # promotes one over others, whose files go then
    STUCK = "stuck"  # would promote, and its entry is never answered for
    BACK = "back"  # goes back, and runs nothing
    VERIFIED = "verified"  # promotes one that its server then answers with
    UNDONE = "undone"  # promotes one that its server holds back
    UNSERVED = "unserved"  # promotes one, and no server answers


VERIFYING = (Models.VERIFIED, Models.UNDONE, Models.UNSERVED)
OVER_OTHERS = (Models.NEXT, Models.BACK, *VERIFYING)
SERVER = "https://churn.contoso.com"


def manifest_of(content: bytes) -> Manifest:
    file = ModelFile("model.pkl", len(content), hashlib.sha256(content).hexdigest())
    return Manifest("pickle", "model.pkl", "3.11.7", "linux", {}, (file,), example=[[1.0]])


MANIFEST = manifest_of(CONTENT)


class Silent(MemoryModels):
    """One that appends nothing, and never says so."""

    def append(self, entry: Entry) -> bool:
        raise Temporary("It does not answer.")


def store_for(models: Models | None) -> MemoryModels:
    store = Silent() if models is Models.STUCK else MemoryModels()
    replaced = None
    for number, content in enumerate(BEFORE, 1) if models in OVER_OTHERS else ():
        made = manifest_of(content)
        store.keep(MODEL, made, lambda _, content=content: [content])  # type: ignore[misc]  # a default binds the loop's value
        at = NOON - timedelta(days=10 - number)
        store.append(
            Entry(number, MODEL, EntryKind.PROMOTED, made.id, made.digest, replaced, at, person="a")
        )
        replaced = made.id
    return store


def policy_for(models: Models | None) -> ModelPolicy:
    branch = "@main" if models is Models.NEXT else ""
    allowed = (AllowedModel.parse(f"{MODEL}={COLLECTION}{branch}"),)
    return ModelPolicy(allowed, keep=1, services=(SERVER,), register=True)


def promote_of(models: Models) -> dict[str, object]:
    verify = {"verify": {"url": SERVER, "timeout_minutes": 2}} if models in VERIFYING else {}
    return {"model": MODEL, "run": "c", **verify}


def service_for(models: Models | None, store: MemoryModels) -> MemoryService:
    bad = {MANIFEST.id: "held back: it is wrong."} if models is Models.UNDONE else {}
    return MemoryService(lambda: store, MODEL, behind=1, bad=bad, down=models is Models.UNSERVED)


def message_back() -> dict[str, object]:
    return {"version": 1, "kind": "rollback", "model": MODEL, "reason": "It answers wrongly."}
