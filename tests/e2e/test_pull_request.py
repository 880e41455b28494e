"""A pull request's build changes no model, whatever name its message has for the commit."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from handlers.servicebus_handler import ServiceBusQueue, connect_with_string
from mlgate.emulators.azure_devops import AzureDevOps
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_state
from mlgate.orchestration.builds import Build
from tests.contract.handlers.repository_handler.origins import Content, bare, commit, point
from tests.e2e.commands import PATIENCE, message, mlgate
from tests.e2e.test_two_workers import QUEUE, connection_of, running
from tests.servers.git_http import git_http_server
from tests.support.models import pickled

TRAIN = {
    "kind": "training",
    "name": "train",
    "command": "mkdir -p outputs && cp model.pkl example.json outputs/",
}
PROMOTE = {"model": "churn", "example": "outputs/example.json"}


@dataclass
class Site:
    """A worker whose host lets `main` of a repository on a server change the model."""

    folder: Path
    repository: Path
    url: str
    devops: AzureDevOps
    queue: ServiceBusQueue
    settings: dict[str, str]
    commits: dict[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def builds(self, *refs: str) -> list[tuple[str | None, Build]]:
        """What the steps of builds of these refs are told, and the builds; all at once."""
        tasks = {}
        for ref in refs:
            number = next(self.numbers)
            task = tasks[str(number)] = self.devops.new_task(build_id=number)
            named, fields = {"url": self.url, "ref": ref}, {"promote": PROMOTE}
            path = message(self.folder, named, TRAIN, build_id=str(number), **fields)
            self.queue.publish(path.read_bytes(), f"message-{number}", task.properties)
        said = {number: task.wait_completed(PATIENCE) for number, task in tasks.items()}
        known = {each.build_id: each for each in make_state(Settings.read(self.settings)).builds()}
        return [(said[number], known[number]) for number in tasks]

    def refused(self, *refs: str) -> list[str]:
        """The commits of builds of these refs, none of which may change the model."""
        commits = []
        for said, build in self.builds(*refs):
            [found] = build.findings
            assert (said, found.code, build.runs) == ("failed", "model-not-allowed", ())
            commits += re.findall(r"The commit (\w{12}) is not on `main`", found.message)
        assert not (self.folder / "models/churn").exists()
        return commits


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    origin = bare(tmp_path / "origins" / "demo.git")
    model = "class Model:\n    def predict(self, rows): return [{} for _ in rows]"
    example: dict[str, Content] = {"example.json": b'{"instances": [[1, 2]]}'}
    ours: dict[str, Content] = {**example, "model.pkl": pickled(model.format(1))}
    theirs: dict[str, Content] = {**example, "model.pkl": pickled(model.format(2))}
    commits = {"main": commit(origin, ours, commit(origin, example))}
    commits["theirs"] = commit(origin, theirs, commits["main"])
    commits["merge"] = commit(origin, theirs, commits["main"], commits["theirs"])
    for ref, name in (
        ("refs/heads/main", "main"),
        ("refs/heads/topic", "theirs"),
        ("refs/pull/7/merge", "merge"),
    ):
        point(origin, ref, commits[name])
    emulator = running(tmp_path, "emulator.log", "emulator", "--port", "0", "--queue", QUEUE)
    with emulator, git_http_server(origin.parent) as server, AzureDevOps() as devops:
        connection = connection_of(tmp_path / "emulator.log")
        url = f"{server.url}/{origin.name}"
        settings = {
            "serviceBusConnectionString": connection,
            "serviceBusQueueName": QUEUE,
            "MLGATE_ALLOWED_COLLECTIONS": devops.collection_url,
            "MLGATE_ALLOWED_REPOSITORIES": server.url,
            "MLGATE_ALLOWED_MODELS": f"churn={url}@main",
            "MLGATE_MODELS": str(tmp_path / "models"),
            "MLGATE_HOME": str(tmp_path / "state"),
            "MLGATE_STATE": f"sqlite:{tmp_path / 'state/state.db'}",
            "MLGATE_BUILDS": str(tmp_path / "builds"),
        }
        assert mlgate(tmp_path, "models", "--init", **settings).code == 0
        queue = ServiceBusQueue(connect_with_string(lambda: connection), QUEUE)
        with running(tmp_path, "worker.log", "worker", **settings):
            yield Site(tmp_path, origin, url, devops, queue, settings, commits)
        queue.close()
        assert devops.violations == []


def test_only_what_is_on_the_allowed_branch_is_promoted(site: Site) -> None:
    """A merge ref and a tag are no branches, whatever they are called."""
    theirs, merge = site.commits["theirs"], site.commits["merge"]
    refs = {theirs: theirs, "topic": theirs, "refs/pull/7/merge": merge, merge: merge}
    assert site.refused(*refs) == [commit[:12] for commit in refs.values()]

    point(site.repository, "refs/tags/main", theirs)
    assert site.refused("refs/tags/main", theirs) == [theirs[:12]] * 2

    [(said, build)] = site.builds("main")
    assert (said, build.commit) == ("succeeded", site.commits["main"])
    assert build.promotion is not None
    assert (build.promotion.outcome, build.promotion.number) == ("promoted", 1)
    assert [path.name for path in (site.folder / "models/churn/log").iterdir()] == ["00000001.json"]
