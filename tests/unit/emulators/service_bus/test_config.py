"""Queues as the command line names them."""

import pytest

from mlgate.emulators.service_bus import QueueConfig, parse_queue


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("jobs", QueueConfig("jobs")),
        (
            "jobs,lock=PT30S,max-delivery=3,dedup=PT10M",
            QueueConfig("jobs", lock_seconds=30, max_delivery=3, dedup_seconds=600),
        ),
        (
            "jobs,ttl=P1DT2H,dead-letter-on-expiry=true,dedup=PT0S",
            QueueConfig("jobs", ttl_seconds=93_600, dead_letter_on_expiry=True, dedup_seconds=0),
        ),
        ("jobs,lock=pt0.5s", QueueConfig("jobs", lock_seconds=0.5)),
    ],
)
def test_a_queue_is_its_name_and_settings(text: str, config: QueueConfig) -> None:
    assert parse_queue(text) == config


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a valid name"),
        ("a b", "not a valid name"),
        ("jobs,lock=30", "duration"),
        ("jobs,lock=P", "duration"),
        ("jobs,lock=PT0S", "above 0"),
        ("jobs,max-delivery=0", "at least once"),
        ("jobs,max-delivery=many", "whole number"),
        ("jobs,size=1", "not a setting"),
        ("jobs,lock", "not a setting"),
        ("jobs,dead-letter-on-expiry=yes", "true or false"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_queue(text)
