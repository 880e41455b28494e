"""A model's whole way on one machine: trained, promoted, served, tried as a canary, given all
requests; a worse one; and back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.balancer import Balancer
from tests.e2e.commands import PATIENCE, commit, mlgate
from tests.e2e.serving import Server
from tests.e2e.test_models import COMPARE, TRAIN
from tests.support.models import pickled

MODEL, STAGE = "churn", "churn-staging"


class Release:
    """A repository, and the commands that take what it trains to where it is served."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self._folder, self._repository = folder, repository
        (repository / "train.py").write_text(TRAIN)
        for number, name in enumerate(("one", "two", "three"), 1):
            source = f"class Model:\n    def predict(self, rows): return [{number} for _ in rows]"
            (repository / f"{name}.pkl").write_bytes(pickled(source))
        commit(repository)

    def train(self, name: str, accuracy: float, build_id: str) -> dict[str, Any]:
        """The stage's outcome."""
        message = {
            "version": 1,
            "build_id": build_id,
            "repository": {"url": str(self._repository)},
            "runs": [
                {
                    "kind": "training",
                    "name": "train",
                    "command": f"python train.py {name}.pkl {accuracy}",
                }
            ],
            "promote": {"model": STAGE, "example": "outputs/example.json", "compare": COMPARE},
        }
        found: dict[str, Any] = self._run(message)["promotion"]
        return found

    def promote(self, build_id: str, **more: Any) -> str:
        """What was trained for the stage, in production; the version's id."""
        message = {"version": 1, "kind": "promote", "model": MODEL, "build": build_id, **more}
        result = self._run(message)
        assert result["verdict"] == "succeeded", result["reason"]
        return str(result["promotion"]["id"])

    def roll_back(self, **more: Any) -> dict[str, Any]:
        message = {"version": 1, "kind": "rollback", "model": MODEL, "reason": "No.", **more}
        found: dict[str, Any] = self._run(message)["promotion"]
        return found

    def load(self, url: str, *limits: str) -> int:
        callers = ("--users", "2", "--seconds", "2")
        done = mlgate(self._folder, "load", url, *callers, *limits)
        print(done.out, done.err)  # noqa: T201 -- what was measured
        return done.code

    @contextmanager
    def serve(self, named: str) -> Iterator[Server]:
        server = Server(self._folder, self._folder / ".mlgate/models", named)
        try:
            server.until(lambda said: said["status"] == "ok")
            yield server
        finally:
            server.close()
            shutil.rmtree(server.temporary, ignore_errors=True)

    def _run(self, message: dict[str, Any]) -> dict[str, Any]:
        path = self._folder / "message.json"
        path.write_text(json.dumps(message))
        done = mlgate(self._folder, "run", path, "--json")
        found: dict[str, Any] = json.loads(done.out)
        return found


def answered(url: str, number: int = 40) -> Counter[str]:
    """By which version so many requests were answered, each with 200."""
    found = Counter[str]()
    for _ in range(number):
        got = requests.post(f"{url}/predict", json={"instances": [[1, 2]]}, timeout=PATIENCE)
        assert got.status_code == 200
        found[got.headers["mlgate-model"].partition("@")[2]] += 1
    return found


@pytest.mark.slow(reason="eight builds and three loads, a minute or two")
def test_from_a_training_to_all_requests_and_back(tmp_path: Path, repository: Path) -> None:
    release = Release(tmp_path, repository)
    with ExitStack() as servers:
        assert release.train("one", 0.8, "1")["outcome"] == "promoted"
        blue = release.promote("1")
        follows = servers.enter_context(release.serve(MODEL))
        old = servers.enter_context(release.serve(f"{MODEL}@{blue}"))
        front = servers.enter_context(Balancer({old.url: 100}))
        assert answered(front.url) == {blue: 40}

        assert release.train("two", 0.9, "2")["outcome"] == "promoted"
        green = release.promote("2", verify={"url": follows.url})  # the one that follows has it
        assert answered(follows.url, 3) == {green: 3}
        new = servers.enter_context(release.serve(f"{MODEL}@{green}"))
        front.weights = {old.url: 100, new.url: 0}
        assert release.load(new.url, "--failures", "0") == 0
        assert answered(front.url) == {blue: 40}  # nobody but the load has seen it
        front.weights = {old.url: 90, new.url: 10}
        assert answered(front.url) == {blue: 36, green: 4}
        assert release.load(front.url, "--failures", "0") == 0
        front.weights = {old.url: 0, new.url: 100}
        assert answered(front.url) == {green: 40}

        worse = release.train("three", 0.7, "3")
        assert (worse["outcome"], worse["replaces"]) == ("kept", None)
        assert release.load(new.url, "--p95-ms", "0.001") == 1  # a limit that no server holds

        back = release.roll_back(verify={"url": follows.url})
        assert (back["outcome"], back["id"], back["verified"]) == ("rolled_back", blue, True)
        front.weights = {old.url: 100, new.url: 0}
        assert answered(front.url) == {blue: 40}
        assert answered(follows.url, 3) == {blue: 3}
