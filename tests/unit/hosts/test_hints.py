"""What ends on this machine brings its build's look forward, once for all that ended."""

from __future__ import annotations

import threading

import pytest

from mlgate.hosts.hints import FIRST_PAUSE, LONGEST_PAUSE, Hinted, Hints
from mlgate.orchestration.runs import Attempt
from mlgate.orchestration.shift import Shift

WAIT = 60.0  # seconds; never reached on a machine that is not stuck


def test_one_look_does_all_hints_that_were_there_before_it() -> None:
    hinted = Hinted()
    for _ in range(500):
        hinted.add("a", 0)
    assert hinted.take(0) == "a"
    hinted.done("a")
    assert hinted.take(1000) is None


def test_what_is_hinted_at_during_a_look_is_looked_at_again_at_once() -> None:
    hinted = Hinted()
    hinted.add("a", 0)
    assert hinted.take(0) == "a"
    hinted.add("a", 1)
    hinted.done("a")
    assert hinted.take(1) == "a"


def test_a_build_that_somebody_else_is_at_is_tried_ever_more_rarely() -> None:
    hinted = Hinted()
    now, tries = 0.0, 0
    hinted.add("a", now)
    pauses = []
    while now < 60:
        assert hinted.take(now) == "a"
        tries += 1
        hinted.put_off("a", now)
        hinted.add("a", now)  # another run of it ends: not a reason to hurry
        assert hinted.take(now) is None
        wait = hinted.wait(now)
        assert wait is not None
        pauses.append(wait)
        now += wait
    assert pauses[:3] == pytest.approx([FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE])
    assert max(pauses) == pytest.approx(LONGEST_PAUSE)
    assert tries < 40

    assert hinted.take(now) == "a"
    hinted.done("a")
    hinted.add("a", now)
    assert hinted.take(now) == "a"
    hinted.put_off("a", now)
    assert hinted.wait(now) == pytest.approx(FIRST_PAUSE), "a look that was done forgets it"


def test_one_build_that_waits_holds_up_no_other() -> None:
    hinted = Hinted()
    hinted.add("a", 0)
    assert hinted.take(0) == "a"
    hinted.put_off("a", 0)
    hinted.add("b", 0)
    assert hinted.take(0) == "b"
    assert hinted.take(0) is None
    assert hinted.take(FIRST_PAUSE) == "a"


def test_nothing_to_look_at_is_waited_for_without_end() -> None:
    assert Hinted().wait(0) is None


class Looks:
    """A conductor's `hint`, which the test lets go on look by look."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.keys: list[str] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self._answers = list(answers)

    def hint(self, key: str) -> bool:
        self.keys.append(key)
        self.begun.release()
        assert self.go_on.acquire(timeout=WAIT)
        answer = self._answers.pop(0) if self._answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_followed_hints_are_looked_at_until_closed(caplog: pytest.LogCaptureFixture) -> None:
    hints, shift = Hints(), Shift()
    looks = Looks(True, False, True, RuntimeError("a bug"))
    follower = threading.Thread(target=hints.follow, args=(looks.hint, shift))
    follower.start()
    hints.ended(Attempt("a", "train", 1))
    assert looks.begun.acquire(timeout=WAIT)
    for _ in range(100):
        hints.ended(Attempt("a", "train", 1))  # all of them during the first look
    for _ in range(2):  # the second says that somebody else is at it, so there is a third
        looks.go_on.release()
        assert looks.begun.acquire(timeout=WAIT)
    hints.look("b")
    looks.go_on.release()
    assert looks.begun.acquire(timeout=WAIT)
    looks.go_on.release()  # b's fails, which ends nothing
    hints.look("c")
    assert looks.begun.acquire(timeout=WAIT)
    hints.close()
    looks.go_on.release()
    follower.join(WAIT)

    assert not follower.is_alive()
    assert looks.keys == ["a", "a", "a", "b", "c"]
    assert "the early look at build b failed: a bug" in caplog.text
