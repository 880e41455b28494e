"""When a message becomes due, expires, or is a duplicate; times in milliseconds."""

import pytest

from mlgate.emulators.service_bus.records import NotFound
from tests.unit.emulators.service_bus.support import LOCK, contents, dead, queue_of, take, token_of


@pytest.mark.parametrize(("now", "is_there"), [(4_999, False), (5_000, True)])
def test_a_scheduled_message_is_enqueued_when_it_is_due(now: int, is_there: bool) -> None:
    queue = queue_of()
    scheduled = queue.send(b"later", now=0, scheduled_for=5_000)
    queue.send(b"now", now=0)
    queue.advance(now)
    received = [message for _ in range(2) if (message := queue.take(now))]
    assert [m.payload for m in received] == [b"now", b"later"][: 1 + is_there]
    if is_there:
        assert received[1].enqueued_at == 5_000
        assert received[1].sequence_number > scheduled


def test_a_message_scheduled_for_the_past_is_enqueued_at_once() -> None:
    queue = queue_of()
    queue.send(b"a", now=10, scheduled_for=5)
    assert take(queue, 10).enqueued_at == 10


def test_a_scheduled_message_can_be_canceled_until_it_is_due() -> None:
    queue = queue_of()
    first = queue.send(b"a", now=0, scheduled_for=5_000)
    second = queue.send(b"b", now=0, scheduled_for=9_000)
    queue.cancel([first])
    queue.advance(9_000)
    with pytest.raises(NotFound):
        queue.cancel([second])
    assert contents(queue) == [b"b"]


def test_canceling_takes_all_or_nothing() -> None:
    queue = queue_of()
    number = queue.send(b"a", now=0, scheduled_for=5_000)
    with pytest.raises(NotFound):
        queue.cancel([number, 99])
    assert contents(queue) == [b"a"]


@pytest.mark.parametrize(
    ("limit", "ttl", "alive_at", "gone_at"),
    [
        (None, 1_000, 999, 1_000),
        (2.0, None, 1_999, 2_000),
        (2.0, 5_000, 1_999, 2_000),
        (2.0, 1_000, 999, 1_000),
    ],
)
def test_a_message_expires(
    limit: float | None, ttl: int | None, alive_at: int, gone_at: int
) -> None:
    queue = queue_of(ttl_seconds=limit)
    queue.send(b"a", now=0, ttl=ttl)
    queue.advance(alive_at)
    assert contents(queue) == [b"a"]
    queue.advance(gone_at)
    assert contents(queue) == []
    assert contents(dead(queue)) == []


def test_an_expired_message_is_dead_lettered_when_the_queue_says_so() -> None:
    queue = queue_of(dead_letter_on_expiry=True)
    queue.send(b"a", now=0, ttl=1_000)
    queue.advance(1_000)
    assert take(dead(queue), 1_000).reason == "TTLExpiredException"


def test_a_locked_message_does_not_expire_before_its_lock_does() -> None:
    queue = queue_of()
    queue.send(b"a", now=0, ttl=1_000)
    token = token_of(take(queue))
    queue.advance(2_000)
    queue.abandon(token)
    assert queue.take(2_000) is None
    assert len(queue) == 0


def test_a_scheduled_message_lives_from_when_it_is_due() -> None:
    queue = queue_of()
    queue.send(b"a", now=0, ttl=1_000, scheduled_for=5_000)
    queue.advance(5_999)
    assert contents(queue) == [b"a"]
    queue.advance(6_000)
    assert contents(queue) == []


@pytest.mark.parametrize(
    ("window", "now", "kept"),
    [(60.0, 59_999, 1), (60.0, 60_000, 2), (0.0, 0, 2)],
)
def test_the_same_message_id_is_dropped_inside_the_window(
    window: float, now: int, kept: int
) -> None:
    queue = queue_of(dedup_seconds=window)
    queue.send(b"a", now=0, message_id=b"1")
    queue.complete(token_of(take(queue)))
    queue.send(b"other", now=0, message_id=b"2")
    queue.advance(now)
    queue.send(b"a again", now=now, message_id=b"1")
    assert len(queue) == kept


def test_a_duplicate_has_no_number_that_could_cancel_another_message() -> None:
    queue = queue_of()
    queue.send(b"a", now=0, message_id=b"1", scheduled_for=1_000)
    number = queue.send(b"a", now=0, message_id=b"1", scheduled_for=1_000)
    with pytest.raises(NotFound):
        queue.cancel([number])


def test_the_next_deadline_is_the_earliest_of_locks_schedules_and_expiries() -> None:
    queue = queue_of()
    assert queue.next_deadline() is None
    queue.send(b"a", now=0)
    take(queue)
    assert queue.next_deadline() == LOCK
    queue.send(b"b", now=0, scheduled_for=20_000)
    assert queue.next_deadline() == 20_000
    queue.send(b"c", now=0, ttl=10_000)
    assert queue.next_deadline() == 10_000
