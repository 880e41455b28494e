"""The page of all builds in the container of their files: kept up to date by whoever sweeps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from collections.abc import Container as Names
from dataclasses import dataclass
from datetime import timedelta

import pytest

from handlers.blobs.container import Container
from mlgate.hosts.history_page import AT_ONCE, EVERY, KNOWN, LONGEST, NAME, HistoryPage
from mlgate.orchestration.builds import Build, Phase, Verdict
from mlgate.orchestration.verdict.history.records import unpacked
from tests.contract.handlers.state_handler.conftest import Storage
from tests.support.memory import MemoryState
from tests.unit.orchestration.engine.builders import NOON, build


class History(MemoryState):
    """Counts what is read of it; `meanwhile` is called once, at the first build that is read."""

    foreign = False  # no build can be read
    reads = 0
    meanwhile: Callable[[], object] | None = None

    def history(self, limit: int, without: Names[str] = ()) -> Iterator[tuple[str, Build | None]]:
        for key, found in super().history(limit, without):
            self.reads += 1
            if (act := self.meanwhile) is not None:
                self.meanwhile = None
                act()
            yield key, None if self.foreign else found


@dataclass
class Site:
    """A state with builds that end, and the container of their files."""

    state: History
    storage: Storage
    ended: int = 0

    def host(self) -> HistoryPage:
        return HistoryPage(self.state, self.container, self.storage.clock)

    @property
    def container(self) -> Container:
        return self.storage.container()

    def end(self, builds: int = 1) -> None:
        for _ in range(builds):
            self.ended += 1
            at = NOON + timedelta(minutes=self.ended)
            ended = build(
                key=f"{self.ended:032x}",
                build_id=f"number-{self.ended}-",
                received_at=at,
                phase=Phase.COMPLETED,
                verdict=Verdict.SUCCEEDED,
            )
            assert self.state.create(ended, None)

    def later(self) -> None:
        self.storage.later(EVERY.total_seconds() + 1)

    def known(self) -> int:
        found = self.container.read(KNOWN)
        return 0 if found is None else len(unpacked(found.content))

    def page(self) -> str:
        found = self.container.read(NAME)
        return "" if found is None else found.content.decode()


@pytest.fixture
def site(storage: Storage) -> Site:
    return Site(History(storage.clock), storage)


def test_a_build_that_has_ended_is_on_the_page_with_its_report_beside_it(site: Site) -> None:
    host = site.host()
    site.end(2)
    host.refresh()
    assert site.known() == 2
    assert f'<a href="{2:032x}/report.html">number-2-</a>' in site.page()

    site.end()
    host.refresh()
    assert site.known() == 2  # it is too soon
    site.later()
    host.refresh()
    assert "number-3-" in site.page()


def test_where_nothing_has_ended_nothing_is_written(site: Site) -> None:
    host = site.host()
    host.refresh()
    assert site.page() == ""
    site.end()
    site.later()
    host.refresh()
    site.storage.relay.counted()
    site.later()
    host.refresh()
    assert sum(site.storage.relay.counted().values()) == 0


def test_a_long_history_is_taken_in_by_and_by(site: Site) -> None:
    host = site.host()
    site.end(AT_ONCE + 50)
    host.refresh()
    assert site.known() == AT_ONCE
    site.later()
    site.host().refresh()  # another process goes on
    assert site.known() == AT_ONCE + 50
    assert f"<dt>Builds</dt><dd>{AT_ONCE + 50}<" in site.page()


def test_hosts_that_take_turns_lose_nothing(site: Site) -> None:
    hosts = [site.host(), site.host()]
    for _ in range(3):
        for host in hosts:
            site.end()
            site.later()
            host.refresh()
    site.later()
    hosts[0].refresh()
    assert site.known() == 6


@pytest.mark.parametrize("name", [KNOWN, NAME])
def test_a_host_that_was_not_the_first_leaves_it_to_the_next_time(site: Site, name: str) -> None:
    site.end()
    site.host().refresh()
    host = site.host()
    site.end()
    site.storage.relay.fail(f"PUT {name}", (412, "ConditionNotMet"))
    host.refresh()
    assert "number-2-" not in site.page()
    site.later()
    host.refresh()
    assert "number-2-" in site.page()


def test_a_page_of_fewer_builds_does_not_stay(site: Site) -> None:
    """One host takes in another build while the other one reads."""
    one, other = site.host(), site.host()
    site.end()
    one.refresh()
    site.end()

    def meanwhile() -> None:
        site.end()
        other.refresh()

    site.later()
    site.state.meanwhile = meanwhile
    one.refresh()
    assert "number-3-" in site.page()
    site.later()
    one.refresh()
    assert site.known() == 3
    assert "number-3-" in site.page()


def test_a_page_that_a_host_did_not_come_to_draw_is_drawn_by_the_next_one(site: Site) -> None:
    site.end()
    site.storage.relay.fail(f"PUT {NAME}", (503, "ServerBusy"), times=99)
    site.host().refresh()
    site.storage.relay.revive()
    assert (site.known(), site.page()) == (1, "")
    site.host().refresh()
    assert "number-1-" in site.page()


def test_builds_that_cannot_be_read_are_read_once_and_not_all_in_one_go(site: Site) -> None:
    host = site.host()
    site.end(AT_ONCE + 50)
    site.state.foreign = True
    read = []
    for _ in range(4):
        host.refresh()
        read.append(site.state.reads)
        site.later()
    assert read == [AT_ONCE, AT_ONCE + 51, AT_ONCE + 51, AT_ONCE + 51]
    site.state.foreign = False
    site.end()
    host.refresh()
    assert site.known() == 1


def test_reading_ends_in_time_also_where_nothing_can_be_read(site: Site) -> None:
    site.end(3)
    site.state.foreign = True
    site.state.meanwhile = lambda: site.storage.later(LONGEST.total_seconds() + 1)
    site.host().refresh()
    assert site.state.reads == 1


def test_what_cannot_be_read_is_made_from_the_state_once_more(site: Site) -> None:
    site.end(3)
    site.container.put(KNOWN, b"torn")
    site.host().refresh()
    assert site.known() == 3


@pytest.mark.parametrize("call", [f"GET {KNOWN}", f"PUT {KNOWN}", f"PUT {NAME}"])
def test_a_storage_that_fails_is_logged_and_asked_again(
    site: Site, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = site.host()
    site.end()
    site.storage.relay.fail(call, (503, "ServerBusy"), times=99)
    with caplog.at_level(logging.WARNING, "mlgate"):
        host.refresh()
    assert "the history page index.html could not be updated" in caplog.text
    site.storage.relay.revive()
    site.later()
    site.end()
    host.refresh()
    assert "number-1-" in site.page()
    assert "number-2-" in site.page()
