"""Leaving with nothing half-done."""

from __future__ import annotations

import threading
from contextlib import suppress

from mlgate.orchestration.shift import Shift

WAIT = 20.0


def test_work_begins_until_the_shift_is_over() -> None:
    shift = Shift()
    with shift.work() as first:
        shift.end()
        with shift.work() as second:
            assert (first, second, shift.over) == (True, False, True)


def test_finishing_waits_for_work_that_has_begun_even_when_it_fails() -> None:
    shift, begun, go_on = Shift(), threading.Event(), threading.Event()
    order: list[str] = []

    def work() -> None:
        with suppress(ValueError), shift.work():
            begun.set()
            assert go_on.wait(WAIT)
            order.append("worked")
            raise ValueError

    def finish() -> None:
        shift.finish()
        order.append("finished")

    threads = [threading.Thread(target=work), threading.Thread(target=finish)]
    threads[0].start()
    assert begun.wait(WAIT)
    threads[1].start()
    threads[1].join(0.2)  # long enough for a finish that does not wait to show itself
    go_on.set()
    for thread in threads:
        thread.join(WAIT)

    assert order == ["worked", "finished"]
    with shift.work() as begins:
        assert not begins


def test_finishing_does_not_wait_for_what_did_not_begin() -> None:
    shift = Shift()
    shift.finish()
    with shift.work():
        shift.finish()


def test_a_pause_ends_with_the_shift() -> None:
    shift = Shift()
    assert not shift.pause(0.0)
    shift.end()
    assert shift.pause(WAIT)
