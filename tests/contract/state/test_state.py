"""What `StatePort` promises, shown for every implementation."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.state_handler import SqliteState
from mlgate.orchestration.builds import Phase
from mlgate.orchestration.errors import Finding, Permanent
from mlgate.orchestration.ports import Rejection, StatePort
from tests.contract.state.conftest import Storage
from tests.unit.orchestration.builders import NOON, build, failed, run
from tests.unit.orchestration.twins import HandClock

TOKEN = SecretStr("radioactive")


@pytest.fixture(params=["sqlite", "blobs"])
def again(
    request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock
) -> Callable[[], StatePort]:
    """Opens the same state once more, as another process would."""
    if request.param == "blobs":
        storage: Storage = request.getfixturevalue("storage")
        return storage.state
    return lambda: SqliteState(tmp_path / "state.db", clock)


@pytest.fixture
def state(again: Callable[[], StatePort]) -> StatePort:
    return again()


def test_a_build_comes_back_as_it_was_stored(
    state: StatePort, again: Callable[[], StatePort]
) -> None:
    stored = build(run("a", needs=("b",)), failed("b", cell=3), cancel_requested="so")
    assert state.create(stored, TOKEN)

    found = again().load(stored.key)
    assert found is not None
    assert found.build == stored
    assert again().token(stored.key) == TOKEN
    assert state.load("unknown") is None


def test_create_changes_nothing_when_the_key_exists(state: StatePort) -> None:
    state.create(build(), TOKEN)

    assert not state.create(build(run("other")), SecretStr("another"))
    found = state.load(build().key)
    assert found is not None
    assert found.build == build()
    assert state.token(build().key) == TOKEN


def test_a_token_does_not_come_back_with_a_late_copy_of_its_message(state: StatePort) -> None:
    state.create(build(), TOKEN)
    first = state.load(build().key)
    assert first is not None
    state.save(replace(first.build, phase=Phase.COMPLETED), first.version)
    state.forget_token(build().key)

    assert not state.create(build(), TOKEN)
    assert state.token(build().key) is None


def test_save_is_compare_and_swap(state: StatePort) -> None:
    state.create(build(), None)
    first = state.load(build().key)
    assert first is not None
    second = state.save(replace(first.build, look=1), first.version)

    assert second is not None
    assert state.save(replace(first.build, look=99), first.version) is None
    assert state.load(build().key) == second
    assert state.save(replace(second.build, look=2), second.version) is not None


def test_of_many_writers_one_wins_each_round(again: Callable[[], StatePort]) -> None:
    again().create(build(), None)

    def increment(_: int) -> None:
        mine = again()
        while True:
            found = mine.load(build().key)
            assert found is not None
            if mine.save(replace(found.build, look=found.build.look + 1), found.version):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))

    found = again().load(build().key)
    assert found is not None
    assert found.build.look == 40


def test_a_lease_has_one_holder_until_it_ends(state: StatePort, clock: HandClock) -> None:
    assert state.lease("k", "first", 10)
    assert not state.lease("k", "second", 10)
    clock.sleep(9)
    assert state.lease("k", "first", 10), "its holder renews it"
    clock.sleep(9)
    assert not state.lease("k", "second", 10)
    clock.sleep(1)
    assert state.lease("k", "second", 10)
    state.release("k", "first")
    assert not state.lease("k", "first", 10), "only the holder gives it back"
    state.release("k", "second")
    assert state.lease("k", "first", 10)


def test_open_builds_are_those_not_completed(state: StatePort) -> None:
    for number, phase in enumerate(Phase):
        state.create(build(key=f"{number}", phase=phase), None)
        found = state.load(f"{number}")
        assert found is not None
        state.save(replace(found.build, look=1), found.version)

    assert {each.phase for each in state.open_builds()} == set(Phase) - {Phase.COMPLETED}
    assert len(state.builds()) == len(Phase)


def test_the_newest_builds_come_first_and_no_more_than_asked_for(state: StatePort) -> None:
    for number in range(6):
        at = NOON + timedelta(minutes=number * (-1) ** number)
        state.create(build(key=f"{number}", received_at=at), None)
        found = state.load(f"{number}")
        assert found is not None
        if number % 3:
            state.save(replace(found.build, phase=Phase.COMPLETED), found.version)

    assert [each.key for each in state.builds()] == ["4", "2", "0", "1", "3", "5"]
    assert [each.key for each in state.builds(2)] == ["4", "2"]
    assert {each.key for each in state.open_builds()} == {"0", "3"}


def test_tokens_are_forgotten_for_good_and_twice_without_harm(state: StatePort) -> None:
    state.create(build(), TOKEN)
    state.forget_token(build().key)
    state.forget_token(build().key)

    assert state.token(build().key) is None


def test_rejections_are_remembered_by_key(state: StatePort) -> None:
    first = Rejection("k", NOON, "bad", (Finding("c", "/p", "m", "r"),), "7")
    state.reject(first)
    assert state.rejection("k") == first
    state.reject(replace(first, reason="worse"))

    assert [each.reason for each in state.rejections()] == ["worse"]
    assert state.rejection("other") is None


def test_the_newest_rejections_come_first(state: StatePort) -> None:
    for number in range(3):
        state.reject(Rejection(f"{number}", NOON + timedelta(minutes=number), "bad"))
    state.reject(Rejection("0", NOON + timedelta(minutes=9), "bad again"))

    assert [each.key for each in state.rejections()] == ["0", "2", "1"]
    assert [each.key for each in state.rejections(1)] == ["0"]


def test_nobody_else_on_the_machine_can_read_it(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "deep/state.db")
    state.create(build(), TOKEN)

    held = [path for path in (tmp_path / "deep").rglob("*") if path.is_file()]
    assert held
    for path in held:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / "deep/state.db.tokens").stat().st_mode) == 0o700


def test_the_token_is_in_no_database(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.db")
    state.create(build(), TOKEN)

    with sqlite3.connect(tmp_path / "state.db") as db:
        assert "radioactive" not in "".join(db.iterdump())


def test_a_file_that_is_something_else_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("a diary, not a database, and long enough to tell")

    with pytest.raises(Permanent, match="MLGATE_STATE"):
        SqliteState(tmp_path / "state.db")


def test_a_place_that_cannot_be_written_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Permanent, match="MLGATE_STATE"):
        SqliteState(tmp_path / "file/state.db")
