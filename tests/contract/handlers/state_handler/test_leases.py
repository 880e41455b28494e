"""One handler at a time has a build, whatever the hosts' clocks show."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlgate.orchestration.durable import StatePort
from tests.contract.handlers.state_handler.conftest import Store

LASTS = 10.0
# Storage tells its time in seconds, of more than one of its machines.
AT_MOST = LASTS + 3

WRONG = [timedelta(minutes=minutes) for minutes in (-5, 0, 5)]


@pytest.fixture(params=WRONG, ids=[f"{wrong.total_seconds():+.0f}s" for wrong in WRONG])
def holder(request: pytest.FixtureRequest, store: Store) -> StatePort:
    """Of the host that has the build at first; its clock is wrong."""
    return store.state(request.param)


@pytest.fixture(params=WRONG, ids=[f"{wrong.total_seconds():+.0f}s" for wrong in WRONG])
def other(request: pytest.FixtureRequest, store: Store) -> StatePort:
    return store.state(request.param)


def test_nobody_takes_what_is_renewed(holder: StatePort, other: StatePort, store: Store) -> None:
    assert holder.lease("k", "holder", LASTS)
    for _ in range(20):
        store.later(LASTS * 0.9)
        assert not other.lease("k", "other", LASTS)
        assert holder.lease("k", "holder", LASTS), "its holder renews it"


def test_what_a_dead_host_had_is_free_soon(
    holder: StatePort, other: StatePort, store: Store
) -> None:
    assert holder.lease("k", "holder", LASTS)
    assert not other.lease("k", "other", LASTS)
    store.later(LASTS - 1)
    assert not other.lease("k", "other", LASTS)
    store.later(AT_MOST - LASTS + 1)
    assert other.lease("k", "other", LASTS)
    assert not holder.lease("k", "holder", LASTS), "it is not dead after all"


def test_only_the_holder_gives_a_lease_back(
    holder: StatePort, other: StatePort, store: Store
) -> None:
    assert holder.lease("k", "holder", LASTS)
    other.release("k", "other")
    assert not other.lease("k", "other", LASTS)
    holder.release("k", "holder")
    assert other.lease("k", "other", LASTS)
    holder.release("k", "holder")
    assert not holder.lease("k", "holder", LASTS)


def test_a_lease_lasts_as_long_as_its_holder_asked_for(store: Store) -> None:
    holder, other = store.state(), store.state()
    assert holder.lease("k", "holder", 60)
    assert not other.lease("k", "other", 1)
    store.later(30)
    assert not other.lease("k", "other", 1)
    store.later(33)
    assert other.lease("k", "other", 1)


def test_a_process_that_comes_back_has_what_it_had(store: Store) -> None:
    assert store.state().lease("k", "same", LASTS)
    assert store.state(timedelta(hours=1)).lease("k", "same", LASTS)
    store.state().release("k", "same")
    assert store.state().lease("k", "other", LASTS)
