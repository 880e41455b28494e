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

    def work() -> None:
        with suppress(ValueError), shift.work():
            begun.set()
            assert go_on.wait(WAIT)
            raise ValueError

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(WAIT)
    shift.end()
    finished = threading.Thread(target=shift.finish)
    finished.start()
    assert finished.is_alive()
    go_on.set()
    finished.join(WAIT)
    worker.join(WAIT)

    assert not finished.is_alive()


def test_finishing_does_not_wait_for_what_did_not_begin() -> None:
    shift = Shift()
    shift.end()
    with shift.work():
        shift.finish()


def test_a_pause_ends_with_the_shift() -> None:
    shift = Shift()
    assert not shift.pause(0.0)
    shift.end()
    assert shift.pause(WAIT)
