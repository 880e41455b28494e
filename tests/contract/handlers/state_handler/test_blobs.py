"""What only a store beyond a network meets: races, lost answers, outages, missing rights."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from handlers.blobs.address import ContainerAddress
from handlers.state_handler.blobs import BlobState
from mlgate.emulators.azure_ml import Azurite
from mlgate.emulators.azure_ml.signatures import service_sas
from mlgate.orchestration.builds import Build
from mlgate.orchestration.durable import Due
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary, UnfitHost
from tests.contract.handlers.state_handler.a_build import (
    KEY,
    LOOKED,
    REJECTION,
    TOKEN,
    keys,
    save,
    stored,
)
from tests.contract.handlers.state_handler.conftest import Storage
from tests.servers.blob_relay import Fault
from tests.unit.orchestration.engine.builders import NOON, build, run

Act = Callable[[BlobState], object]


def renew(state: BlobState) -> bool:
    return state.lease(KEY, "me", 10) and state.lease(KEY, "me", 20)


def release(state: BlobState) -> bool:
    state.lease(KEY, "me", 10)
    state.release(KEY, "me")
    return state.lease(KEY, "another", 10)


def put_off(state: BlobState) -> bool:
    late = Due(KEY, NOON + timedelta(minutes=1), 1)
    state.set_due(late)
    return state.due() == [late]


def forget(state: BlobState) -> bool:
    state.forget_token(KEY)
    return state.token(KEY) is None


def reject(state: BlobState) -> bool:
    state.reject(REJECTION)
    return state.rejections() == [REJECTION]


# Each returns whether it did what it should.
ACTS: dict[str, tuple[str, Act]] = {
    "a mark": ("PUT open", lambda state: state.create(build(key="new"), TOKEN)),
    "a token": ("PUT secrets", lambda state: state.create(build(key="new"), TOKEN)),
    "a build": ("PUT builds", lambda state: state.create(build(key="new"), TOKEN)),
    "a save": ("PUT builds", save),
    "a part": ("PUT parts", lambda state: save(state, replace(LOOKED, warnings=("long",) * 1000))),
    "a load": ("GET builds", lambda state: state.load(KEY) is not None),
    "a new lease": ("PUT leases", lambda state: state.lease(KEY, "me", 10)),
    "a renewed lease": ("PUT leases", renew),
    "a release": ("DELETE leases", release),
    "a sweep": ("LIST open", lambda state: keys(state) == [KEY]),
    "when it is due": ("PUT open", put_off),
    "what has ended": ("LIST ended", lambda state: list(state.history(9)) == []),
    "the history": ("LIST ended", lambda state: state.builds() == [build()]),
    "a token read": ("GET secrets", lambda state: state.token(KEY) == TOKEN),
    "a token forgotten": ("DELETE secrets", forget),
    "a rejection": ("PUT rejections", reject),
}


@pytest.mark.parametrize(("call", "act"), ACTS.values(), ids=ACTS.keys())
def test_an_answer_that_is_lost_changes_nothing(call: str, act: Act, storage: Storage) -> None:
    state = storage.state()
    state.create(build(), TOKEN)
    storage.relay.fail(call, "lost", times=2)

    assert act(state)
    assert storage.relay.script == []


@pytest.mark.parametrize(("call", "act"), ACTS.values(), ids=ACTS.keys())
@pytest.mark.parametrize("fault", [(503, "ServerBusy"), "reset"], ids=["busy", "away"])
def test_an_outage_is_temporary(fault: Fault, call: str, act: Act, storage: Storage) -> None:
    state = storage.state()
    state.create(build(), TOKEN)
    storage.relay.fail(call, fault, times=99)

    with pytest.raises(Temporary, match=storage.name):
        act(state)
    assert sum(storage.clock.slept) < 30
    storage.relay.revive()
    storage.clock.sleep(60)
    state.due()


@pytest.mark.parametrize(("call", "act"), ACTS.values(), ids=ACTS.keys())
def test_a_missing_right_is_told_at_once_without_the_signature(
    call: str, act: Act, storage: Storage
) -> None:
    state = storage.state()
    state.create(build(), TOKEN)
    storage.relay.fail(call, (403, "AuthorizationPermissionMismatch"))

    with pytest.raises(UnfitHost, match="signature in the URL does not give access") as told:
        act(state)
    assert storage.clock.slept == []
    assert "AuthorizationPermissionMismatch" in str(told.value)
    assert "sig=" not in str(told.value)


def test_of_two_that_save_the_same_version_one_wins(storage: Storage) -> None:
    storage.state().create(build(), None)
    hosts, both = [storage.state(), storage.state()], threading.Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        for number in range(1, 20):
            # What they write is the same: each must still be told apart from the other.
            changed = replace(build(), look=number)
            version = stored(hosts[0]).version

            def once(host: BlobState, changed: Build = changed, version: str = version) -> bool:
                both.wait()
                return host.save(changed, version) is not None

            assert sorted(threads.map(once, hosts)) == [False, True]


def test_of_two_that_create_the_same_build_one_does(storage: Storage) -> None:
    hosts, both = [storage.state(), storage.state()], threading.Barrier(2)

    def once(host: BlobState) -> bool:
        both.wait()
        return host.create(build(), TOKEN)

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(once, hosts)) == [False, True]


def test_a_lease_goes_to_one_of_many(storage: Storage) -> None:
    hosts, all_of_them = [storage.state() for _ in range(6)], threading.Barrier(6)

    def once(numbered: tuple[int, BlobState]) -> bool:
        number, host = numbered
        all_of_them.wait()
        return host.lease(KEY, f"{number}", 10)

    with ThreadPoolExecutor(6) as threads:
        for _ in range(5):
            assert sum(threads.map(once, enumerate(hosts))) == 1
            storage.later(13)  # its holder has died


def test_a_lost_save_that_somebody_built_upon_is_told_as_overtaken(storage: Storage) -> None:
    state, another = storage.state(), storage.state()
    state.create(build(), None)
    before = stored(state)
    storage.relay.fail("PUT builds", "lost")
    storage.relay.fail("PUT builds", "reset", times=3)
    with pytest.raises(Temporary):
        state.save(LOOKED, before.version)
    assert another.save(replace(LOOKED, look=2), stored(another).version)

    assert state.save(LOOKED, before.version) is None
    assert stored(state).build.look == 2


def test_a_build_that_somebody_locked_by_hand_is_not_taken_for_saved_by_another(
    storage: Storage,
) -> None:
    state = storage.state()
    state.create(build(), None)
    storage.relay.fail("PUT builds", (412, "LeaseIdMissing"))

    with pytest.raises(Temporary, match="LeaseIdMissing"):
        save(state)


def test_only_storage_itself_can_say_that_a_build_is_unknown(storage: Storage) -> None:
    state = storage.state()
    state.create(build(), None)
    storage.relay.fail("GET builds", (404, ""))

    with pytest.raises(Permanent):
        state.load(KEY)


def test_the_token_is_where_the_right_to_the_state_does_not_reach(
    storage: Storage, azurite: Azurite
) -> None:
    state = storage.state()
    state.create(build(run("a")), TOKEN)
    state.lease(KEY, "me", 10)
    state.reject(REJECTION)
    container = storage.container()
    for name in container.names(""):
        found = container.read(name)
        assert found is not None
        assert TOKEN.get_secret_value().encode() not in found.content

    ends = datetime.now(UTC) + timedelta(hours=1)
    signature = service_sas(azurite.account, azurite.key, storage.name, ends, permissions="racwdl")
    address = ContainerAddress.parse(f"{storage.address.url}?{signature}")
    limited = BlobState(storage.container(address), storage.container(address.secrets()))
    assert stored(limited).build == build(run("a"))
    for act in (lambda: limited.token(KEY), lambda: limited.create(build(key="b"), TOKEN)):
        with pytest.raises(UnfitHost, match=f"{storage.name}-secrets"):
            act()


def test_a_container_that_is_missing_and_cannot_be_made_is_told(
    storage: Storage, azurite: Azurite
) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    signature = service_sas(azurite.account, azurite.key, storage.name, ends, permissions="racwdl")
    container = storage.container(ContainerAddress.parse(f"{storage.address.url}?{signature}"))

    assert container.names("") == []
    with pytest.raises(UnfitHost, match=r"There is no container .*.*Create it"):
        container.check()


def test_no_signature_is_in_any_log_or_error(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    signature = storage.address.signature
    assert signature is not None
    secret = signature.get_secret_value().partition("sig=")[2].partition("&")[0]
    caplog.set_level(logging.DEBUG)
    state = storage.state()
    state.create(build(), TOKEN)
    told = [repr(storage.address), repr(state), state.due()]
    for fault in ("lost", "reset", (503, "ServerBusy"), (403, "AuthenticationFailed"), (400, "")):
        storage.relay.fail("GET builds", fault, times=4)
        try:
            state.load(KEY)
        except OrchestrationError as error:
            logging.getLogger("mlgate").exception("a fault")
            told.append(repr(error))
        storage.relay.revive()

    assert len(told) == 3 + 5
    assert secret not in caplog.text + str(told)
    assert TOKEN.get_secret_value() not in caplog.text


def test_what_is_long_overdue_is_looked_into_a_few_at_a_time(storage: Storage) -> None:
    state = storage.state()
    for number in range(30):
        state.create(build(key=f"{number:020x}"), None)
    storage.later(3600)
    for _ in range(3):
        storage.relay.counted()
        assert len(state.due()) == 30
        assert storage.relay.counted() == {"LIST open": 1, "GET builds": 10}
    storage.relay.counted()
    assert len(state.due()) == 30
    assert storage.relay.counted() == {"LIST open": 1}


def test_a_mark_of_another_version_is_due_at_once(storage: Storage) -> None:
    state = storage.state()
    state.create(build(), None)
    storage.container().put(f"open/{KEY}", b"")

    [due] = state.due()
    assert (due.key, due.wakes) == (KEY, 0)
    assert due.at < NOON
