"""One build in a container, as tests of its blobs ask for it and save it."""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from handlers.state_handler.blobs import BlobState
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import Rejection, Stored
from tests.unit.orchestration.engine.builders import NOON, build

TOKEN = SecretStr("radioactive")
KEY = build().key
REJECTION = Rejection(KEY, NOON, "bad")
LOOKED = replace(build(), look=1)
ENDED = replace(build(), phase=Phase.COMPLETED)


def keys(state: BlobState) -> list[str]:
    return [due.key for due in state.due()]


def stored(state: BlobState, key: str = KEY) -> Stored:
    found = state.load(key)
    assert found is not None
    return found


def save(state: BlobState, changed: Build = LOOKED) -> bool:
    return state.save(changed, stored(state).version) is not None
