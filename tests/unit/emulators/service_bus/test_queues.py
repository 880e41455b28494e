"""How messages are handed out and settled, with the time told to the queue in milliseconds."""

from uuid import uuid4

import pytest

from mlgate.emulators.service_bus.records import LockLost, Message, NotFound, State
from tests.unit.emulators.service_bus.support import LOCK, contents, dead, queue_of, take, token_of


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
