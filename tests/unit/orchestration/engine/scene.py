"""A world whose builds train and offer a model."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.builds import Build
from mlgate.orchestration.models import Entry, Manifest, ModelFile
from mlgate.orchestration.runs import Outcome, RunStatus
from mlgate.orchestration.telling import Completion
from tests.support.memory import MemoryModels
from tests.unit.orchestration.engine.twins import COLLECTION, World

MODEL = "churn"
TRAIN = {"name": "train", "command": "python train.py", "outputs": ["outputs/**"]}


def manifest(content: bytes, example: Any = None) -> Manifest:
    file = ModelFile("model.pkl", len(content), hashlib.sha256(content).hexdigest())
    return Manifest("pickle", "model.pkl", "3.11.7", "linux", {}, (file,), example=example)


class Scene(World):
    """A world whose builds train a model of some bytes, with some metrics."""

    models: MemoryModels
    example: Any = None  # of the models that its builds train

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.attempts = itertools.count(1)  # each build is another one
        self.policy = replace(
            self.policy, models=ModelPolicy((AllowedModel.parse(f"{MODEL}={COLLECTION}"),))
        )

    def allow(self, *models: str) -> None:
        """Let the repository change these as well, or only from a branch: `model@branch`."""
        names = {name.partition("@")[0]: name.partition("@")[2] for name in (MODEL, *models)}
        allowed = tuple(
            AllowedModel.parse(f"{name}={COLLECTION}{branch and '@'}{branch}")
            for name, branch in names.items()
        )
        self.policy = replace(self.policy, models=ModelPolicy(allowed))

    def trains(self, content: bytes, **metrics: float) -> str:
        """The id of the version that the next builds offer."""
        made = manifest(content, self.example)
        record = {**json.loads(made.content), "folder": "outputs"}
        self.backend.kept = {
            "train": {"outputs/model.pkl": content},
            f"check-{MODEL}": {"outputs/model.json": json.dumps(record).encode()},
        }
        self.backend.outcomes["train"] = [Outcome(RunStatus.SUCCEEDED, metrics=metrics)]
        return made.id

    def offer(
        self, *runs: dict[str, Any], promote: dict[str, Any] | None = None, **fields: Any
    ) -> Build:
        """A build that trains and offers, from its message to its end."""
        key = self.begin(*runs, promote=promote, **fields)
        self.run_to_end()
        return self.build(key)

    def begin(
        self, *runs: dict[str, Any], promote: dict[str, Any] | None = None, **fields: Any
    ) -> str:
        self.pipeline.waiting, self.pipeline.said_ended = True, False
        fields["attempt"] = next(self.attempts)
        key = self.start(TRAIN, *runs, promote={"model": MODEL, **(promote or {})}, **fields)
        assert key is not None
        return key

    def until_its_runs_are_known(self, store: Faulty, **fields: Any) -> tuple[str, str]:
        """A build that found the store well, which then fails; its key, and what it offers."""
        self.models = store
        version = self.trains(b"one")
        key = self.begin(**fields)
        while not self.build(key).runs:
            self.deliver()
        store.fault = store.then
        return key, version

    def message(self, kind: str, *, wait: float = 0.0, **fields: Any) -> Build:
        """A build of a kind that runs nothing, to its end; looked at after so many seconds."""
        self.pipeline.waiting, self.pipeline.said_ended = True, False
        fields["attempt"] = next(self.attempts)
        key = self.start(kind=kind, **{"model": MODEL, **fields})
        assert key is not None
        self.clock.sleep(wait)
        self.run_to_end()
        return self.build(key)

    def log(self) -> list[Entry]:
        return list(self.models.log(MODEL))

    def told(self) -> Completion:
        return self.pipeline.completions[-1][0]


COMPARE = {"compare": [{"run": "train", "metric": "accuracy", "better": "higher"}]}


class Faulty(MemoryModels):
    """A store with one fault."""

    def __init__(self, method: str, error: Exception, after: bool) -> None:
        super().__init__()
        self.then = (method, error, after)
        self.fault: tuple[str, Exception, bool] | None = None

    def _struck(self, method: str, act: Callable[[], Any]) -> Any:
        if self.fault is None or self.fault[0] != method:
            return act()
        if self.fault[2]:
            act()
        raise self.fault[1]

    def head(self, model: str) -> Any:
        return self._struck("head", lambda: super(Faulty, self).head(model))

    def append(self, entry: Entry) -> bool:
        return bool(self._struck("append", lambda: super(Faulty, self).append(entry)))

    def keep(self, *arguments: Any) -> None:
        self._struck("keep", lambda: super(Faulty, self).keep(*arguments))
