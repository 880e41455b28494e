"""How one version follows another, with children that are no processes, and one that is."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlgate.hosts.serving import child as children
from mlgate.hosts.serving import versions
from mlgate.hosts.serving.child import Answer, Child, Gone
from mlgate.hosts.serving.faults import HeldBack, held_back
from mlgate.hosts.serving.keeper import ANSWER_LIMIT, Died, Keeper, Start, Unavailable
from mlgate.hosts.serving.versions import Lost, Refused, Version
from tests.support.stores import Store, answering

PATIENCE = 60.0  # seconds


class Pretended(Child):
    """One that answers with its version's number, once it is let."""

    def __init__(self, version: Version, number: int) -> None:
        self.version = version
        self.number = number  # of the children that were started
        self.let = asyncio.Event()
        self.let.set()
        self.in_flight = 0
        self.closing = self.dead = False
        self.patience = 0.0
        self.busy = 0.0

    @property
    def alive(self) -> bool:
        return not self.dead

    @property
    def memory(self) -> int:
        return 1000

    @property
    def busy_seconds(self) -> float:
        return 0.0 if self.dead else self.busy

    async def ask(self, path: str, content_type: str, body: bytes) -> Answer:
        self.in_flight += 1
        number = self.version.number
        try:
            await self.let.wait()
        finally:
            self.in_flight -= 1
        if self.dead:
            raise Gone
        return Answer(200, content_type, str(number).encode())

    async def close(self, patience: float) -> None:
        self.closing, self.patience = True, patience
        try:
            while self.in_flight:  # noqa: ASYNC110 -- short, and seldom
                await asyncio.sleep(0.01)
        finally:
            await self.kill()

    async def kill(self) -> None:
        self.dead = True
        self.let.set()


@dataclass
class Nursery:
    """Starts children, unless a version is said to fail."""

    failing: set[int] = field(default_factory=set)
    killed: dict[int, int] = field(default_factory=dict)  # how often, while it is loaded
    started: list[Pretended] = field(default_factory=list)
    most: int = 0  # that were alive at a time, with the one being started
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, version: Version, python: str, files: Path, root: Path) -> Child:
        self.most = max(self.most, 1 + sum(each.alive for each in self.started))
        await self.let.wait()
        if version.number in self.failing:
            raise Refused(f"{version.number} is none.")
        if self.killed.get(version.number, 0):
            self.killed[version.number] -= 1
            raise Lost(f"{version.number} was killed.", killed=True)
        self.started.append(Pretended(version, len(self.started)))
        return self.started[-1]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@contextlib.asynccontextmanager
async def keeping(
    store: Store, start: Start, *, pinned: str | None = None, **more: Any
) -> AsyncIterator[Keeper]:
    home = store.root.with_name("home")
    home.mkdir(exist_ok=True)
    how = {"refresh": 0.05, "swap_wait": PATIENCE, "free": lambda: None, "start": start, **more}
    python = lambda _: sys.executable  # noqa: E731 -- one line where a function has four
    keeper = Keeper(store.models, "churn", pinned, python, {"pickle"}, home, **how)
    running = asyncio.create_task(keeper.run())
    try:
        async with asyncio.timeout(PATIENCE):
            yield keeper
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(true: Callable[[], Any]) -> None:
    while not true():  # noqa: ASYNC110 -- anything can be waited for
        await asyncio.sleep(0.01)


async def asked(keeper: Keeper) -> bytes:
    return (await keeper.ask("/predict", "", b""))[1].body


def run(test: Callable[[Nursery], Awaitable[None]]) -> None:
    async def inside() -> None:
        nursery = Nursery()
        nursery.let.set()
        await test(nursery)

    asyncio.run(inside())


def test_the_old_one_answers_what_it_was_asked(store: Store) -> None:
    async def test(nursery: Nursery) -> None:
        store.promote(answering(1))
        async with keeping(store, nursery.start) as keeper:
            await until(lambda: keeper.alive)
            nursery.started[0].let.clear()
            early = asyncio.create_task(asked(keeper))
            store.promote(answering(2))
            await until(lambda: nursery.started[0].closing)
            assert await asked(keeper) == b"2"
            assert nursery.started[0].alive
            assert nursery.started[0].patience == ANSWER_LIMIT
            nursery.started[0].let.set()
            assert await early == b"1"
            await until(lambda: not nursery.started[0].alive)
        assert nursery.most == 2

    run(test)


@pytest.mark.parametrize(("drain", "lost"), [(0.3, True), (PATIENCE, False)])
def test_before_a_third_starts_the_old_one_is_ended(store: Store, drain: float, lost: bool) -> None:
    """It is given its time to answer, and whoever loses an answer learns whose it was."""

    async def test(nursery: Nursery) -> None:
        store.promote(answering(1))
        async with keeping(store, nursery.start, drain=drain) as keeper:
            await until(lambda: keeper.alive)
            nursery.started[0].let.clear()
            early = asyncio.create_task(asked(keeper))
            promoted = asyncio.get_running_loop().time()
            store.promote(answering(2))
            await until(lambda: nursery.started[0].closing)
            store.promote(answering(3))
            if lost:
                with pytest.raises(Died) as died:
                    await early
                assert (died.value.version.number, died.value.restarts) == (1, False)
                assert asyncio.get_running_loop().time() - promoted >= drain
            else:
                await asyncio.sleep(0.2)
                assert nursery.started[0].alive
                assert await asked(keeper) == b"2"
                nursery.started[0].let.set()
                assert await early == b"1"
            await until(lambda: len(nursery.started) == 3)
            await until(lambda: not nursery.started[1].alive)
            assert await asked(keeper) == b"3"
            await until(lambda: not list(store.root.with_name("home").glob("*-[12]")))
        assert nursery.most == 2

    run(test)


def test_where_memory_does_not_allow_two_requests_wait(store: Store) -> None:
    async def test(nursery: Nursery) -> None:
        store.promote(answering(1))
        async with keeping(store, nursery.start, free=lambda: 1199) as keeper:
            await until(lambda: keeper.alive)
            nursery.started[0].let.clear()
            early = asyncio.create_task(asked(keeper))
            nursery.let.clear()
            store.promote(answering(2))
            await until(lambda: nursery.started[0].closing)
            late = [asyncio.create_task(asked(keeper)) for _ in range(20)]
            nursery.started[0].let.set()
            assert await early == b"1"
            await asyncio.sleep(0.2)
            assert keeper.status == "loading"
            assert not any(each.done() for each in late)
            nursery.let.set()
            assert await asyncio.gather(*late) == [b"2"] * 20
        assert nursery.most == 1

    run(test)


def test_where_memory_does_not_allow_two_a_bad_one_brings_the_old_one_back(store: Store) -> None:
    async def test(nursery: Nursery) -> None:
        nursery.failing = {2}
        store.promote(answering(1))
        async with keeping(store, nursery.start, free=lambda: 0) as keeper:
            await until(lambda: keeper.alive)
            nursery.let.clear()
            store.promote(answering(2))
            await until(lambda: not keeper.alive)
            late = asyncio.create_task(asked(keeper))
            nursery.let.set()
            assert await late == b"1"
            assert keeper.status == "held_back"
            assert keeper.held_back is not None
            assert keeper.held_back.reason == "2 is none."
        assert (nursery.most, len(nursery.started)) == (1, 2)

    run(test)


def test_who_waited_for_too_long_is_asked_to_come_again(store: Store) -> None:
    async def test(nursery: Nursery) -> None:
        nursery.let.clear()
        store.promote(answering(1))
        async with keeping(store, nursery.start, swap_wait=0.2) as keeper:
            with pytest.raises(Unavailable, match="churn is being loaded") as refused:
                await asked(keeper)
            assert refused.value.after == 0.05

    run(test)


def test_whoever_waits_is_answered_at_once_when_the_version_is_held_back(store: Store) -> None:
    async def test(nursery: Nursery) -> None:
        nursery.failing = {1}
        nursery.let.clear()
        store.promote(answering(1))
        async with keeping(store, nursery.start) as keeper:
            waiting = asyncio.create_task(asked(keeper))
            await until(lambda: nursery.most)
            nursery.let.set()
            with pytest.raises(Unavailable, match="1 is none"):
                await waiting

    run(test)


def test_one_that_dies_is_started_again_three_times_a_minute(store: Store) -> None:
    async def test(nursery: Nursery) -> None:
        store.promote(answering(1))
        async with keeping(store, nursery.start, swap_wait=0.5) as keeper:
            await until(lambda: keeper.alive)
            for _ in range(3):
                nursery.started[-1].dead = True
                assert await asked(keeper) == b"1"  # it waits
            nursery.started[-1].dead = True
            with pytest.raises(Unavailable):
                await asked(keeper)
            assert len(nursery.started) == 4
            store.promote(answering(2))
            await until(lambda: keeper.alive)
            assert await asked(keeper) == b"2"

    run(test)


def test_a_disk_that_is_full_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, tries = versions.copy, list[int]()

    def full(*arguments: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(28, "No space left on device")
        copy(*arguments)

    async def test(nursery: Nursery) -> None:
        store.promote(answering(1))
        async with keeping(store, nursery.start) as keeper:
            await until(lambda: keeper.held_back)
            assert keeper.held_back is not None
            assert "No space left" in keeper.held_back.reason
            await until(lambda: keeper.alive)
            assert keeper.status == "ok"

    monkeypatch.setattr(versions, "copy", full)
    run(test)


@pytest.mark.parametrize(("kills", "served"), [(2, b"2"), (3, b"1")])
def test_one_that_is_killed_while_it_is_loaded_is_tried_again(
    store: Store, kills: int, served: bytes
) -> None:
    """Alone, and twice: then it is held back, and the one before serves again."""

    async def test(nursery: Nursery) -> None:
        nursery.killed = {2: kills}
        store.promote(answering(1))
        async with keeping(store, nursery.start) as keeper:
            await until(lambda: keeper.alive)
            store.promote(answering(2))
            await until(lambda: keeper.held_back)
            assert keeper.status == "loading"
            assert await asked(keeper) == b"1"
            await until(lambda: nursery.started[0].dead)  # it makes room
            await until(lambda: keeper.status == ("ok" if served == b"2" else "held_back"))
            assert await asked(keeper) == served
            if keeper.held_back is not None:
                assert keeper.held_back.reason == "2 was killed."
                await asyncio.sleep(0.5)
        assert nursery.killed == {2: 0}
        assert [each.version.number for each in nursery.started].count(2) == (served == b"2")

    run(test)


def test_the_pauses_between_tries_grow(store: Store) -> None:
    entry = store.promote(answering(1))
    faults: list[Exception] = [OSError("down")] * 6 + [Lost("late", killed=False), OSError("down")]
    faults += [Lost("killed", killed=True)] * 3
    held: HeldBack | None = None
    pauses, found = list[float](), list[tuple[bool, bool]]()
    for fault in faults:
        held = held_back(held, entry, fault, 1000.0, 10.0)
        pauses.append(held.again - 1000.0)
        found.append((held.lasting, held.alone))
    assert pauses == [10.0, 20.0, 40.0, 80.0] + [120.0] * 7
    assert found == [(False, False)] * 8 + [(False, True)] * 2 + [(True, True)]
    another = held_back(held, store.promote(answering(2)), Refused("bad"), 0.0, 600.0)
    assert (another.lasting, another.alone, another.again) == (True, False, 600.0)


def homes(root: Path) -> list[Path]:
    """The folders of children."""
    return list(root.glob("c-*"))


def test_nothing_is_left_of_a_start_that_is_canceled_at_any_point(store: Store) -> None:
    left: list[Path] = []

    async def start(version: Version, python: str, files: Path, root: Path) -> Child:
        for turns in range(20):
            task = asyncio.ensure_future(children.start(version, python, files, root))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            left.extend(homes(root))
        return await children.start(version, python, files, root)

    async def test() -> None:
        store.promote(answering(1))
        async with keeping(store, start) as keeper:
            await until(lambda: keeper.alive)

    asyncio.run(test())
    assert left == []


def test_one_that_hangs_while_it_is_loaded_is_held_back(store: Store) -> None:
    begun = store.root.with_name("begun")

    async def start(version: Version, python: str, files: Path, root: Path) -> Child:
        limit = children.LOAD_LIMIT if version.number == 1 else 5.0
        return await children.start(version, python, files, root, limit)

    async def test() -> None:
        store.promote(answering(1))
        async with keeping(store, start) as keeper:
            await until(lambda: keeper.alive)
            store.promote(answering(2, f"import time; open({str(begun)!r}, 'w'); time.sleep(600)"))
            await until(lambda: keeper.held_back)
            assert keeper.held_back is not None
            assert "Loading it took longer than 5 seconds" in keeper.held_back.reason
            assert begun.exists()
            assert keeper.status == "loading"  # again
            _, answer = await keeper.ask("/predict", "", b'{"instances": [[1, 2]]}')
            assert answer.body == b'{"predictions": [1]}'

    asyncio.run(test())
    assert list(store.root.with_name("home").glob("c-*")) == []


def test_one_that_hangs_in_a_request_is_ended_and_started_again(store: Store) -> None:
    """One request is at fault; those behind it are answered by the next process, or get 500."""
    hangs = "import time; rows[0][0] == 9 and time.sleep(600)"
    bodies = [b'{"instances": [[9, 2]]}', b'{"instances": [[1, 2]]}']

    async def test() -> None:
        store.promote(answering(1, meanwhile=hangs))
        async with keeping(store, children.start, answer_limit=2.0) as keeper:
            await until(lambda: keeper.alive)
            asking = [asyncio.create_task(keeper.ask("/predict", "", each)) for each in bodies]
            found = await asyncio.gather(*asking, return_exceptions=True)
            assert isinstance(found[0], Died)
            assert found[0].restarts
            _, answer = await keeper.ask("/predict", "", bodies[1])
            assert answer.body == b'{"predictions": [1]}'
            first = keeper.alive
            await asyncio.sleep(2.5)  # one that is asked nothing does not hang
            assert keeper.alive is first

    asyncio.run(test())


def test_a_pinned_version_that_nobody_promoted_is_named(store: Store) -> None:
    async def test(nursery: Nursery) -> None:
        store.promote(answering(1))
        pinned = store.keep(answering(2)).id
        async with keeping(store, nursery.start, pinned=pinned) as keeper:
            await until(lambda: keeper.status == "no_model")
            with pytest.raises(
                Unavailable, match=f"The log of .* has no entry for version {pinned}"
            ):
                await asked(keeper)

    run(test)


def test_packages_that_lie_beside_the_interpreter_are_found_by_its_child(tmp_path: Path) -> None:
    """And neither mlgate's own folder, nor what the child's interpreter finds by itself."""
    (tmp_path / "packages").mkdir()
    root = str(Path(children.__file__).parents[3])
    path = ["", root, str(tmp_path / "packages"), str(tmp_path / "none"), *sys.path]
    assert str(tmp_path / "packages") in children.packages_beside(path)
    assert {"", root, str(tmp_path / "none")}.isdisjoint(children.packages_beside(path))
    own = [each for each in sys.path if each.startswith(sys.prefix)]
    assert own
    assert children.packages_beside(own) == []
