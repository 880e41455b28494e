"""A host is killed at each effect of a build that promotes; the build promotes once."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest

from handlers.models_handler.disk import Disk
from handlers.state_handler import SqliteState
from mlgate.orchestration.builds import Phase
from mlgate.orchestration.models import EntryKind
from tests.contract.handlers.models_handler.disks import Smb
from tests.contract.handlers.models_handler.places import InBlobs, OnDisk
from tests.contract.handlers.models_handler.promoting_host import (
    RUNS,
    Life,
    offered,
    pid_of,
    submitted,
    told,
)
from tests.contract.handlers.models_handler.some import MODEL, entry_after, keep
from tests.servers.blob_relay import BlobRelay
from tests.support.processes import started
from tests.unit.orchestration.engine.builders import NOON

Make = Callable[..., "Scene"]
ROOT = Path(__file__).parents[4]
SMALL, LARGE = 100_000, 9 << 20  # bytes; the large one comes in pieces to a container
LATER = 30.0  # seconds, after which a message comes again


@dataclass(frozen=True)
class Lives:
    """The program that processes are forked off from."""

    asks: IO[str]
    answers: IO[str]

    def live(self, life: Life) -> int:
        """The exit code; the signal that it died of is a negative number."""
        self.asks.write(f"{json.dumps(asdict(life))}\n")
        self.asks.flush()
        return int(self.answers.readline())


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    command = [sys.executable, "-m", "tests.contract.handlers.models_handler.promoting_host"]
    with started(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        yield Lives(program.stdin, program.stdout)


@dataclass
class Scene:
    """A build whose runs have been submitted, in a store with two versions; copies of both."""

    lives: Lives
    folder: Path
    place: OnDisk | InBlobs
    size: int
    served: str = ""

    def __post_init__(self) -> None:
        store = self.place.open()
        store.init()
        for number in (1, 2):
            self.current = keep(store, {"MLmodel": f"{number}".encode()})
            manifest = store.manifest(MODEL, self.current)
            assert manifest is not None
            entry = replace(entry_after(store.head(MODEL)), at=NOON - timedelta(days=4 - number))
            assert store.append(replace(entry, id=manifest.id, digest=manifest.digest))
        (self.folder / "base").mkdir(parents=True)
        base, where = str(self.folder / "base"), self.place.where
        life = Life(base, where, self.size, to_end=False, served=self.served)
        assert self.lives.live(life) == 0
        assert submitted(self.folder / "base").lines() == RUNS
        self.contents = {name: self.place.get(name) or b"" for name in self.place.names()}

    def copy(self) -> tuple[OnDisk | InBlobs, Life]:
        folder = self.folder / uuid.uuid4().hex[:12]
        shutil.copytree(self.folder / "base", folder)
        place: OnDisk | InBlobs
        if isinstance(self.place, InBlobs):
            place = replace(self.place, name=f"models-{folder.name}")
            for name, content in self.contents.items():
                place.put(name, content)
        else:
            place = OnDisk(folder / "models", self.place.disk)
            shutil.copytree(self.place.root, place.root)
        return place, Life(str(folder), place.where, self.size, at=LATER, served=self.served)

    def assert_promoted_once(self, place: OnDisk | InBlobs, folder: Path) -> None:
        version = offered(self.size).id
        store = place.open()
        entries = list(store.log(MODEL))
        if self.served == "badly":
            undone = entries.pop(0)
            assert (undone.kind, undone.id, undone.replaces) == (
                EntryKind.ROLLED_BACK,
                self.current,
                version,
            )
        [entry, *others] = entries
        assert entry.build is not None
        assert (entry.id, entry.replaces) == (version, self.current)
        assert [(each.number, each.build) for each in others] == [(2, None), (1, None)]
        assert store.damaged(MODEL, version) == []
        assert store.damaged(MODEL, self.current) == []

        [said] = told(folder).lines()
        variables = said["variables"]
        assert (said["verdict"], variables["promotion.outcome"]) == (
            ("failed", "rolled_back") if self.served == "badly" else ("succeeded", "promoted")
        )
        assert variables["promotion.number"] == str(entry.number)
        assert (variables["promotion.id"], variables["promotion.previous"]) == (
            version,
            self.current,
        )
        [build] = SqliteState(folder / "state.db").builds()
        assert (build.phase, build.key) == (Phase.COMPLETED, entry.build.key)
        assert submitted(folder).lines() == RUNS


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that costs no time, where there is one: who is killed needs no disk that lasts."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=shared, prefix="mlgate-test-") as folder:
        yield Path(folder)


@pytest.fixture
def make(request: pytest.FixtureRequest, lives: Lives, memory: Path) -> Make:
    def scene(kind: str, size: int = SMALL, served: str = "") -> Scene:
        place: OnDisk | InBlobs
        if kind == "container":
            place = request.getfixturevalue("containers")
        else:
            place = OnDisk(memory / "models", Smb() if kind == "smb" else Disk())
        return Scene(lives, memory / "lives", place, size, served)

    return scene


class ByItself:
    """A process is killed at one of its own effects."""

    def __init__(self, when: str) -> None:
        self._when = when

    def at(self, effect: int, life: Life) -> Life:
        return replace(life, killed_at=effect, when=self._when)

    def over(self) -> None:
        """Nothing is left of it."""


class AtRequests:
    """A process is killed when its store is asked for something, which is done or not."""

    def __init__(self, when: str, relay: BlobRelay) -> None:
        self._when, self._relay = when, relay

    def at(self, effect: int, life: Life) -> Life:
        def kill() -> None:
            if self._when == "before":
                self._relay.die_after(0)
            os.kill(pid_of(life), signal.SIGKILL)

        self._relay.hold(effect - 1, kill)
        return life

    def over(self) -> None:
        self._relay.held = None
        self._relay.revive()


def points(scene: Scene, killing: ByItself | AtRequests, *, every: int, deaths: int = 1) -> int:
    """At how many effects processes were killed: so many `deaths` at each, one after the other."""
    for tried in itertools.count():
        place, life = scene.copy()
        ended = []
        for number in range(1, deaths + 1):
            dying = killing.at(1 + tried * every, replace(life, at=LATER * number))
            ended.append(scene.lives.live(dying))
            killing.over()
        assert set(ended) <= {0, -signal.SIGKILL}
        if ended[-1] != 0:
            assert scene.lives.live(replace(life, at=LATER * (deaths + 1))) == 0
        scene.assert_promoted_once(place, Path(life.folder))
        shutil.rmtree(life.folder)
        if ended[0] == 0:
            return tried
    raise AssertionError


def say(what: str, points: int, began: float) -> None:
    line = f"{what}: {points} points, {time.monotonic() - began:.1f} s"
    print(line)  # noqa: T201 -- what the test is read for, with -s


SOME = 9  # of so many points, one is tried
EACH = pytest.mark.slow(reason="every point, half a minute")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "every", "deaths"),
    [
        ("disk", SOME, 1),
        ("smb", SOME, 1),
        *(
            pytest.param(kind, 1, deaths, marks=EACH)
            for kind in ("disk", "smb", "container")
            for deaths in (1, 2)
        ),
    ],
)
def test_killed_at_any_of_its_effects_a_build_promotes_once(
    kind: str, every: int, deaths: int, when: str, make: Make
) -> None:
    """With a container, those are what is saved and told; its requests are below."""
    began = time.monotonic()
    found = points(make(kind), ByItself(when), every=every, deaths=deaths)
    say(f"{kind}, {when} 1 in {every} effects, {deaths} deaths each", found, began)
    assert found * every > (10 if kind == "container" else 40)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "served", "every"),
    [
        ("disk", "badly", SOME),
        *(
            pytest.param(kind, served, 1, marks=EACH)
            for kind in ("disk", "container")
            for served in ("well", "badly")
        ),
    ],
)
def test_killed_while_it_is_verified_a_build_promotes_once_or_undoes_it_once(
    kind: str, served: str, every: int, when: str, make: Make
) -> None:
    began = time.monotonic()
    found = points(make(kind, served=served), ByItself(when), every=every)
    say(f"{kind}, served {served}, {when} 1 in {every} effects", found, began)
    assert found * every > (10 if kind == "container" else 40)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("every", "deaths", "size"),
    [
        (SOME, 1, SMALL),
        pytest.param(1, 1, LARGE, marks=EACH),
        pytest.param(1, 2, SMALL, marks=EACH),
    ],
)
def test_killed_at_any_of_its_requests_a_build_promotes_once(
    every: int, deaths: int, size: int, when: str, make: Make, relay: BlobRelay
) -> None:
    began = time.monotonic()
    found = points(make("container", size), AtRequests(when, relay), every=every, deaths=deaths)
    say(f"container, {when} 1 in {every} requests, {deaths} deaths each", found, began)
    assert found * every > 15
