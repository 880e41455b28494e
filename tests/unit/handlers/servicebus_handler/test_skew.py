"""A clock that is wrong by more than ten seconds is reported, by whoever can prove it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handlers.servicebus_handler.skew import HOST, REPORT_SECONDS, Skews, ahead, stamp
from mlgate.orchestration.admission.identity import PIPELINE_PROPERTIES, pipeline_address
from tests.unit.handlers.servicebus_handler.clocks import Clocks


def heard_of(sender: Clocks, receiver: Clocks, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is reported when a message passes from one to the other without any delay."""
    caplog.clear()
    Skews(receiver.steady).heard(stamp(sender.now()), receiver.broker, receiver.now())
    return [record.getMessage() for record in caplog.records]


def test_a_slow_clock_is_reported_by_its_own_host(caplog: pytest.LogCaptureFixture) -> None:
    [said] = heard_of(Clocks(0), Clocks(-42), caplog)
    assert said.startswith(f"The clock of {HOST} is at least 42 s behind the queue's. Set it right")


def test_a_fast_clock_is_reported_by_the_receiver(caplog: pytest.LogCaptureFixture) -> None:
    [said] = heard_of(Clocks(42), Clocks(0), caplog)
    assert said.startswith(f"The clock of {HOST} is at least 42 s ahead of the queue's. Set it")


@pytest.mark.parametrize("off", [-9.0, 0.0, 9.0])
def test_some_seconds_are_not_reported(off: float, caplog: pytest.LogCaptureFixture) -> None:
    assert heard_of(Clocks(off), Clocks(off), caplog) == []


def test_what_waited_is_no_proof_of_a_wrong_clock(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks(0)
    Skews(clocks.steady).heard(stamp(clocks.ago(900)), clocks.ago(900), clocks.now())
    assert caplog.records == []


def test_a_host_is_reported_once_in_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks(-60)
    skews = Skews(clocks.steady)
    for _ in range(100):
        skews.heard({}, clocks.broker, clocks.now())
        clocks.sleep(REPORT_SECONDS / 50)
    assert len(caplog.records) == 2


def test_many_hosts_are_not_remembered_for_ever() -> None:
    clocks = Clocks()
    skews = Skews(clocks.steady)
    late = (clocks.broker + timedelta(hours=1)).isoformat()
    for number in range(500):
        sender = f"host-{number}/0123abcd"
        properties = {"mlgate-sent-by": sender, "mlgate-sent-at": late}
        skews.heard(properties, clocks.broker, clocks.now())
    assert len(skews._reported) <= 100


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"mlgate-sent-by": f"{HOST}/0123abcd"},
        {"mlgate-sent-by": f"{HOST}/0123abcd", "mlgate-sent-at": "yesterday"},
        {"mlgate-sent-by": f"{HOST}/0123abcd", "mlgate-sent-at": "2030-01-01T00:00:00"},
        {"mlgate-sent-by": "a\nb/0123abcd", "mlgate-sent-at": "2030-01-01T00:00:00+00:00"},
        {"mlgate-sent-by": "\x1b[31m/0123abcd", "mlgate-sent-at": "2030-01-01T00:00:00+00:00"},
        {"mlgate-sent-by": "", "mlgate-sent-at": "9" * 100_000},
    ],
)
def test_what_is_not_our_stamp_says_nothing(properties: dict[str, str]) -> None:
    assert ahead(properties, datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_a_stamp_does_not_disturb_a_pipelines_properties() -> None:
    ours = stamp(datetime(2026, 1, 1, tzinfo=UTC))
    assert not set(ours) & set(PIPELINE_PROPERTIES)
    assert pipeline_address(ours) is None
