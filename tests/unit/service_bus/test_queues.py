"""What a queue does with its messages, with the time told to it in milliseconds."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.records import LockLost, Message, NotFound, State

LOCK = 30_000


def queue_of(**settings: Any) -> Queue:
    defaults: dict[str, Any] = {"lock_seconds": 30.0, "max_delivery": 3, "dedup_seconds": 60.0}
    return Queue(QueueConfig("jobs", **{**defaults, **settings}))


def take(queue: Queue, now: int = 0) -> Message:
    queue.advance(now)
    message = queue.take(now)
    assert message is not None
    return message


def token_of(message: Message) -> UUID:
    assert message.lock_token is not None
    return message.lock_token


def contents(queue: Queue) -> list[bytes]:
    return [message.payload for message in queue.peek(0, 100)]


def dead(queue: Queue) -> Queue:
    assert queue.dead_letters is not None
    return queue.dead_letters


def test_messages_leave_in_the_order_they_came() -> None:
    queue = queue_of()
    for payload in (b"a", b"b", b"c"):
        queue.send(payload, now=0)
    assert [take(queue).payload for _ in range(3)] == [b"a", b"b", b"c"]
    assert queue.take(0) is None


def test_a_locked_message_is_handed_out_once() -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    take(queue)
    assert queue.take(0) is None


def test_a_completed_message_is_gone() -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    queue.complete(token_of(take(queue)))
    queue.advance(LOCK)
    assert queue.take(LOCK) is None
    assert len(queue) == 0


def test_an_abandoned_message_comes_back_to_its_place_with_one_failed_delivery() -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    queue.send(b"b", now=0)
    queue.abandon(token_of(take(queue)))
    again = take(queue)
    assert (again.payload, again.delivery_count) == (b"a", 1)


def test_a_released_message_comes_back_without_a_failed_delivery() -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    queue.release(token_of(take(queue)))
    assert take(queue).delivery_count == 0


@pytest.mark.parametrize(("now", "is_back"), [(LOCK - 1, False), (LOCK, True)])
def test_a_lock_ends_when_its_time_is_over(now: int, is_back: bool) -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    take(queue)
    queue.advance(now)
    message = queue.take(now)
    assert (message is not None) == is_back
    assert message is None or message.delivery_count == 1


def test_a_renewed_lock_ends_later() -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    token = token_of(take(queue))
    assert queue.renew([token], now=20_000) == [20_000 + LOCK]
    queue.advance(LOCK)
    queue.complete(token)
    assert len(queue) == 0


@pytest.mark.parametrize("operation", ["complete", "abandon", "defer", "release"])
@pytest.mark.parametrize("why", ["expired", "settled", "never"])
def test_settling_without_a_lock_is_refused(operation: str, why: str) -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    token = token_of(take(queue))
    match why:
        case "expired":
            queue.advance(LOCK)
        case "settled":
            queue.complete(token)
        case "never":
            token = uuid4()
    with pytest.raises(LockLost):
        getattr(queue, operation)(token)
    with pytest.raises(LockLost):
        queue.renew([token], LOCK)


@pytest.mark.parametrize("how", ["abandon", "expiry"])
def test_the_last_failed_delivery_moves_a_message_to_the_dead_letters(how: str) -> None:
    queue = queue_of(max_delivery=2)
    queue.send(b"a", now=0)
    now = 0
    for _ in range(2):
        token = token_of(take(queue, now))
        if how == "abandon":
            queue.abandon(token)
        else:
            now += LOCK
            queue.advance(now)
    assert len(queue) == 0
    buried = take(dead(queue), now)
    assert buried.payload == b"a"
    assert buried.reason == "MaxDeliveryCountExceeded"
    assert buried.delivery_count == 2


def test_a_dead_lettered_message_keeps_its_number_and_tells_why() -> None:
    queue = queue_of()
    number = queue.send(b"a", now=0)
    queue.dead_letter(token_of(take(queue)), "Bad", "It is bad.")
    buried = take(dead(queue))
    assert (buried.sequence_number, buried.reason, buried.description) == (
        number,
        "Bad",
        "It is bad.",
    )


def test_dead_letters_are_delivered_for_ever() -> None:
    queue = queue_of(max_delivery=1, ttl_seconds=60.0)
    queue.send(b"a", now=0)
    queue.abandon(token_of(take(queue)))
    for round_ in range(5):
        dead(queue).abandon(token_of(take(dead(queue), round_ * 100_000)))
    assert contents(dead(queue)) == [b"a"]


def test_a_deferred_message_is_had_by_its_number_alone() -> None:
    queue = queue_of()
    number = queue.send(b"a", now=0)
    queue.defer(token_of(take(queue)))
    assert queue.take(0) is None
    (message,) = queue.take_deferred([number], now=0)
    queue.complete(token_of(message))
    assert len(queue) == 0


@pytest.mark.parametrize("how", ["abandon", "release", "expiry"])
def test_a_deferred_message_stays_deferred_until_it_is_settled(how: str) -> None:
    queue = queue_of()
    number = queue.send(b"a", now=0)
    queue.defer(token_of(take(queue)))
    (message,) = queue.take_deferred([number], now=0)
    if how == "expiry":
        queue.advance(LOCK)
    else:
        getattr(queue, how)(token_of(message))
    assert queue.take(LOCK) is None
    assert queue.peek(0, 1)[0].state is State.DEFERRED


def test_a_deferred_message_can_be_taken_out_at_once() -> None:
    queue = queue_of()
    number = queue.send(b"a", now=0)
    queue.defer(token_of(take(queue)))
    assert [m.payload for m in queue.take_deferred([number], 0, remove=True)] == [b"a"]
    assert len(queue) == 0


def test_receiving_by_number_takes_all_or_nothing() -> None:
    queue = queue_of()
    deferred = queue.send(b"a", now=0)
    queue.defer(token_of(take(queue)))
    active = queue.send(b"b", now=0)
    with pytest.raises(NotFound):
        queue.take_deferred([deferred, active], now=0)
    assert queue.peek(0, 1)[0].lock_token is None


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


def test_peeking_sees_every_state_and_changes_none() -> None:
    queue = queue_of()
    queue.send(b"locked", now=0)
    queue.send(b"deferred", now=0)
    queue.send(b"active", now=0)
    queue.send(b"scheduled", now=0, scheduled_for=1_000)
    take(queue)
    queue.defer(token_of(take(queue)))
    assert contents(queue) == [b"locked", b"deferred", b"active", b"scheduled"]
    assert [m.payload for m in queue.peek(2, 2)] == [b"deferred", b"active"]
    assert take(queue).payload == b"active"


def test_receive_and_delete_leaves_nothing() -> None:
    queue = queue_of()
    queue.send(b"a", now=0)
    message = queue.pop(0)
    assert message is not None
    assert message.payload == b"a"
    assert len(queue) == 0


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


def test_a_message_that_was_locked_when_the_broker_died_has_failed_once() -> None:
    queue = queue_of(max_delivery=2)
    queue.restore(Message(1, b"a", 0), was_locked=True)
    queue.restore(Message(2, b"b", 0, delivery_count=1), was_locked=True)
    queue.restore(Message(3, b"c", 0), was_locked=False)
    assert [m.delivery_count for m in queue.peek(0, 9)] == [1, 0]
    assert contents(dead(queue)) == [b"b"]


def test_changes_are_told_once() -> None:
    queue = queue_of()
    number = queue.send(b"a", now=0, message_id=b"1")
    changes = queue.drain()
    assert list(changes.messages) == [number]
    assert list(changes.seen) == [b"1"]
    assert not queue.drain()
    token = token_of(take(queue))
    assert list(queue.drain().messages) == [number]
    queue.complete(token)
    assert queue.drain().removed == {number}
