"""Wherever a host is killed, the blobs that it leaves are a build, or none, and are tidied up."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from handlers.state_handler.blobs import ABANDONED, BlobState
from mlgate.orchestration.builds import Phase
from mlgate.orchestration.errors import OrchestrationError
from tests.contract.handlers.state_handler.a_build import (
    ENDED,
    KEY,
    REJECTION,
    TOKEN,
    keys,
    save,
    stored,
)
from tests.contract.handlers.state_handler.conftest import Storage
from tests.unit.orchestration.engine.builders import NOON, build, run


def never_came(storage: Storage) -> None:
    """A host that is killed between a token and its build."""
    storage.container().check()
    storage.container(storage.address.secrets()).check()
    assert after_death(storage, 2, lambda host: host.create(build(), TOKEN))


def after_death(storage: Storage, requests: int, act: Callable[[BlobState], object]) -> bool:
    """Whether a host was killed that had sent so many requests; else it had done what it wanted."""
    host = storage.state()
    storage.relay.die_after(requests)
    try:
        act(host)
    except OrchestrationError:
        return True
    else:
        return (storage.relay.left or 0) < 0
    finally:
        storage.relay.revive()


def test_wherever_a_host_is_killed_that_opens_a_build_it_is_never_lost(storage: Storage) -> None:
    for requests in itertools.count():
        fresh = build(key=f"{requests:020x}")
        create = partial(BlobState.create, build=fresh, token=TOKEN)
        killed = after_death(storage, requests, create)
        state = storage.state()
        swept = keys(state)
        is_there = state.load(fresh.key) is not None
        assert fresh.key in swept or not is_there, "a build that is there is looked after"
        assert state.token(fresh.key) == TOKEN or not is_there

        assert state.create(fresh, TOKEN) == (not is_there), "its message comes again"
        assert fresh.key in keys(state)
        assert fresh.key in [each.key for each in state.builds()]
        assert state.token(fresh.key) == TOKEN
        if not killed:
            assert requests == 3
            return


LONG: dict[str, Any] = {"warnings": ("long",) * 1000}


def test_wherever_a_host_is_killed_that_saves_a_build_no_part_is_missing(storage: Storage) -> None:
    storage.state().create(build(), None)
    save(storage.state(), replace(build(), **LONG))
    for requests in itertools.count():
        before = stored(storage.state())
        words, runs = ("other",) * 1000, (run("a", activity="much " * 4000),)
        changed = replace(before.build, look=requests, warnings=words, runs=runs)
        save_it = partial(BlobState.save, build=changed, version=before.version)
        killed = after_death(storage, requests, save_it)
        assert stored(storage.state()).build in (before.build, changed)
        if not killed:
            assert requests == 5, "the head and a part are read; two parts and the head are written"
            assert stored(storage.state()).build == changed
            return
        save(storage.state(), replace(build(), **LONG))


def test_wherever_a_host_is_killed_that_ends_a_build_the_next_sweep_tidies_up(
    storage: Storage,
) -> None:
    for requests in itertools.count():
        key = f"{requests:020x}"
        made = build(key=key, phase=Phase.COMPLETING, **LONG)
        state = storage.state()
        state.create(made, TOKEN)
        for words in ("one", "two"):
            found = state.load(key)
            assert found is not None
            made = replace(made, warnings=(words,) * 1000)
            assert state.save(made, found.version)
        found = storage.state().load(key)
        assert found is not None
        ended = replace(made, phase=Phase.COMPLETED)
        save_it = partial(BlobState.save, build=ended, version=found.version)
        killed = after_death(storage, requests, save_it)
        storage.later(3600)

        state = storage.state()
        open_ones = keys(state)
        now = state.load(key)
        assert now is not None
        assert now.build in (made, ended)
        assert open_ones == ([key] if now.build.open else [])
        assert [each.key for each in state.builds()].count(key) == 1
        if now.build.open:
            assert state.save(ended, now.version)
        container = storage.container()
        assert container.names("open/") == []
        assert len(container.names(f"parts/{key}/")) == 1
        assert stored(storage.state(), key).build == ended
        if not killed:
            assert requests == 7
            return


@pytest.mark.parametrize("requests", range(8))
def test_no_part_is_missing_however_a_late_save_and_the_end_mix(
    requests: int, storage: Storage
) -> None:
    """Whoever tidies up after a build removes no part that a later head names."""
    state, late = storage.state(), storage.state()
    state.create(build(), None)
    for words in ("one", "two"):
        save(state, replace(build(), warnings=(words,) * 1000))

    def save_once_more() -> None:
        # What the next saves leave aside is what an earlier one had.
        save(late, replace(stored(late).build, warnings=("one",) * 1000))

    storage.relay.hold(requests, save_once_more)
    save(state, replace(ENDED, warnings=("two",) * 1000))
    storage.relay.let_go()
    assert storage.state().load(KEY) == late.load(KEY)


def test_a_late_copy_of_a_start_leaves_nothing_behind_wherever_its_host_is_killed(
    storage: Storage,
) -> None:
    state = storage.state()
    state.create(build(), TOKEN)
    save(state, ENDED)
    state.forget_token(KEY)
    for requests in itertools.count():
        killed = after_death(storage, requests, lambda host: host.create(build(), TOKEN))
        storage.later(3600)
        assert keys(storage.state()) == []
        assert storage.container().names("open/") == []
        assert state.token(KEY) is None
        assert state.builds() == [ENDED]
        if not killed:
            return


def test_a_rejection_is_listed_once_wherever_its_host_is_killed(storage: Storage) -> None:
    worse = replace(REJECTION, received_at=NOON + timedelta(minutes=1), reason="worse")
    for requests in itertools.count():
        state = storage.state()
        state.reject(REJECTION)
        killed = after_death(storage, requests, lambda host: host.reject(worse))
        assert state.rejections() in ([REJECTION], [worse])
        state.reject(worse)
        assert state.rejections() == [worse]
        if not killed:
            return


def test_a_mark_whose_build_never_came_goes_after_a_day_with_its_token(storage: Storage) -> None:
    never_came(storage)
    state = storage.state()
    assert keys(state) == [KEY], "its build may come any moment"
    storage.later(3600)
    assert keys(state) == [], "it is no build"
    storage.later(ABANDONED.total_seconds() - 3660)
    assert keys(state) == []
    assert storage.container().names("open/") == [f"open/{KEY}"]
    assert state.token(KEY) == TOKEN

    storage.later(120)
    storage.clock.sleep(3600)
    assert keys(state) == []
    assert storage.container().names("open/") == []
    assert state.token(KEY) is None


@pytest.mark.parametrize("requests", range(12))
def test_a_start_that_comes_again_after_a_day_keeps_its_mark_and_its_token(
    requests: int, storage: Storage
) -> None:
    """However far a sweep is that takes both for abandoned."""
    never_came(storage)
    storage.later(ABANDONED.total_seconds() + 60)
    sweeper = storage.state()
    storage.relay.hold(requests, lambda: storage.state().create(build(), TOKEN))
    sweeper.due()
    storage.relay.let_go()

    assert stored(storage.state()).build == build()
    assert storage.state().token(KEY) == TOKEN
    assert keys(storage.state()) == [KEY]
