"""What `StatePort` promises, shown for every implementation."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from handlers.state_handler import SqliteState
from mlgate.orchestration.builds import Gate, Phase, RunState
from mlgate.orchestration.durable import Due, Rejection, StatePort, Stored
from mlgate.orchestration.errors import Finding, Permanent, Temporary
from mlgate.orchestration.runs import RunKind
from tests.contract.handlers.state_handler.conftest import Store
from tests.unit.orchestration.engine.builders import NOON, build, failed, run, spec

TOKEN = SecretStr("radioactive")
KEY = build().key


@pytest.fixture
def state(store: Store) -> StatePort:
    return store.state()


def stored(state: StatePort, key: str = KEY) -> Stored:
    found = state.load(key)
    assert found is not None
    return found


def complete(state: StatePort, key: str = KEY) -> None:
    found = stored(state, key)
    assert state.save(replace(found.build, phase=Phase.COMPLETED), found.version)


def test_a_build_comes_back_as_it_was_stored(state: StatePort, store: Store) -> None:
    made = build(run("a", needs=("b",)), failed("b", cell=3), cancel_requested="so")
    assert state.create(made, TOKEN)

    assert stored(store.state(), made.key).build == made
    assert store.state().token(made.key) == TOKEN
    assert state.load("unknown") is None


def test_a_build_without_a_repository_comes_back_as_well(state: StatePort, store: Store) -> None:
    gate = Gate("any_pass", added=("check-churn",))
    tried = spec(
        "check-churn",
        kind=RunKind.SERVING,
        model="train",
        example="x.json",
        requests="r.json",
        must_answer=True,
    )
    request = {"kind": "rollback", "model": "churn"}
    made = build(RunState(tried), repository=None, request=request, gate=gate)
    assert state.create(made, None)

    assert stored(store.state(), made.key).build == made


def test_create_changes_nothing_when_the_key_exists(state: StatePort) -> None:
    state.create(build(), TOKEN)

    assert not state.create(build(run("other")), SecretStr("another"))
    found = state.load(build().key)
    assert found is not None
    assert found.build == build()
    assert state.token(build().key) == TOKEN


def test_a_token_does_not_come_back_with_a_late_copy_of_its_message(state: StatePort) -> None:
    state.create(build(), TOKEN)
    complete(state)
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


def test_a_process_saves_what_another_one_read(state: StatePort, store: Store) -> None:
    state.create(build(run("a")), None)
    first = stored(state)
    second = store.state().save(replace(first.build, warnings=("long",) * 1000), first.version)
    assert second is not None
    assert store.state().save(first.build, first.version) is None
    assert store.state().save(replace(second.build, look=3), second.version)
    assert stored(state).build == replace(second.build, look=3)
    assert store.state().save(replace(first.build, key="unknown"), first.version) is None


def test_of_many_writers_one_wins_each_round(store: Store) -> None:
    store.state().create(build(), None)

    def increment(_: int) -> None:
        mine = store.state()
        while True:
            found = stored(mine)
            if mine.save(replace(found.build, look=found.build.look + 1), found.version):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))

    assert stored(store.state()).build.look == 40


def test_due_lists_the_builds_that_are_not_completed_by_when_they_are_due(
    state: StatePort, store: Store
) -> None:
    for number in range(4):
        at = NOON - timedelta(minutes=number)
        state.create(build(key=f"{number}", received_at=at), None)
    complete(state, "3")
    state.set_due(Due("2", NOON + timedelta(minutes=7), wakes=2))

    assert store.state().due() == [
        Due("1", NOON - timedelta(minutes=1)),
        Due("0", NOON),
        Due("2", NOON + timedelta(minutes=7), 2),
    ]


def test_what_is_due_is_apart_from_the_build_and_its_version(state: StatePort) -> None:
    state.create(build(), None)
    before = stored(state)
    state.set_due(Due(KEY, NOON + timedelta(minutes=1)))
    assert stored(state) == before
    after = state.save(replace(before.build, look=1), before.version)

    assert after is not None
    assert state.due() == [Due(KEY, NOON + timedelta(minutes=1))]


def test_a_build_that_has_ended_is_not_due_whatever_is_said_of_it_later(
    state: StatePort, store: Store
) -> None:
    state.create(build(), None)
    complete(state)
    store.state().set_due(Due(KEY, NOON))
    store.state().set_due(Due("unknown", NOON))

    assert state.due() == []
    assert not state.create(build(), None), "a late copy of its message"
    assert state.due() == []


def test_a_late_copy_of_a_start_leaves_an_open_build_in_the_list(state: StatePort) -> None:
    state.create(build(), TOKEN)
    assert not state.create(build(), TOKEN)
    assert [due.key for due in state.due()] == [KEY]


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
    assert {each.key for each in state.due()} == {"0", "3"}


def test_the_history_is_of_builds_that_have_ended_and_reads_none_that_is_known(
    state: StatePort, store: Store
) -> None:
    for number in range(45):
        at = NOON + timedelta(minutes=number)
        state.create(build(run("a"), key=f"{number:02}", received_at=at), None)
        found = state.load(f"{number:02}")
        assert found is not None
        if number != 44:
            ended = replace(found.build, phase=Phase.COMPLETED, warnings=("long",) * 1000)
            state.save(ended, found.version)
    store.put_head("40", b"no record")
    asked = store.state()

    newest = dict(asked.history(43))
    assert list(newest) == [f"{number:02}" for number in range(43, 0, -1)]
    assert [key for key, found in newest.items() if found is None] == ["40"]
    known = set(newest) - {"07", "42"}
    assert [key for key, _ in asked.history(43, known)] == ["42", "07"]
    assert list(asked.history(1)) == [("43", stored(state, "43").build)]


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


def create_elsewhere(path: Path, key: str) -> list[str]:
    """Another process stores a build, lists all, and ends."""
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from handlers.state_handler import SqliteState\n"
        "from tests.unit.orchestration.engine.builders import build\n"
        "state = SqliteState(Path(sys.argv[1]))\n"
        "state.create(replace(build(), key=sys.argv[2]), None)\n"
        "print(*sorted(each.key for each in state.builds()))"
    )
    shown = subprocess.check_output([sys.executable, "-c", program, str(path), key], text=True)
    return shown.split()


def test_a_host_that_saves_often_and_others_find_each_others_builds(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = SqliteState(path)
    keys = []
    with state.in_use():
        for number in range(4):
            assert state.create(replace(build(), key=f"here-{number}"), None)
            SqliteState(path)  # the history's, in the same process
            keys += [f"here-{number}", f"there-{number}"]
            assert create_elsewhere(path, f"there-{number}") == sorted(keys)
            assert sorted(each.key for each in state.builds()) == sorted(keys)
            assert (tmp_path / "state.db-wal").exists()  # kept, so saves are cheap
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["state.db"]


def test_links_in_a_circle_are_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state.db").symlink_to("state.db")

    with pytest.raises(Permanent, match="MLGATE_STATE"):
        SqliteState(tmp_path / "state.db")


def test_a_folder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()

    with pytest.raises(Permanent, match="MLGATE_STATE"):
        SqliteState(tmp_path / "state.db")


def test_a_token_whose_build_could_not_be_written_does_not_stay(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.db")
    full = "CREATE TRIGGER full BEFORE INSERT ON builds BEGIN SELECT raise(ABORT, 'disk full'); END"
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.execute(full)
    with pytest.raises((Temporary, Permanent), match="disk full"):
        state.create(build(), TOKEN)
    assert list((tmp_path / "state.db.tokens").iterdir()) == []

    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.execute("DROP TRIGGER full")
    assert state.create(build(), TOKEN)
    assert state.token(KEY) == TOKEN


def test_tokens_of_builds_that_never_came_to_be_go_after_a_day(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.db")
    state.create(build(), TOKEN)
    tokens = tmp_path / "state.db.tokens"
    for name, hours in (("old", 25), ("new", 23), (KEY, 25)):
        (tokens / name).write_text("radioactive")
        os.utime(tokens / name, (0, time.time() - hours * 3600))

    SqliteState(tmp_path / "state.db")
    assert sorted(file.name for file in tokens.iterdir()) == sorted(["new", KEY])
