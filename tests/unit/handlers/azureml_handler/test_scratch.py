"""What a host keeps of its disk for what runs left."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from handlers.azureml_handler.scratch import PATIENCE, Scratch
from mlgate.orchestration.errors import Temporary
from tests.contract.twins import MovableClock

FREE = 1600  # of which a run may have a half, and each of eight a share of a hundred
HALF = FREE // 2


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def scratch(clock: MovableClock) -> Scratch:
    return Scratch(8, clock, lambda: FREE)


def test_a_folder_has_half_of_what_is_free_until_its_end(scratch: Scratch) -> None:
    with scratch.folder("a", "1", HALF) as (place, room):
        assert room == HALF
        (place / "file").touch()
    assert not place.exists()


@pytest.mark.parametrize(("wanted", "together"), [(100, True), (101, False)])
def test_those_that_want_more_than_their_share_have_it_one_after_another(
    wanted: int, together: bool, scratch: Scratch
) -> None:
    both = threading.Barrier(2)

    def meets(run: str) -> bool:
        with scratch.folder(run, run, wanted):
            try:
                both.wait(30 if together else 0.2)
            except threading.BrokenBarrierError:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(meets, "ab")) == [together] * 2


def test_one_that_wants_little_does_not_wait_for_one_that_wants_much(scratch: Scratch) -> None:
    with scratch.folder("a", "1", HALF), scratch.folder("b", "2", 1) as (place, _):
        assert place.is_dir()


def test_a_disk_that_is_filled_meanwhile_keeps_nobody_from_trying_again(scratch: Scratch) -> None:
    for _ in range(2):
        with (
            pytest.raises(Temporary, match="the files of the run a: No space left on device"),
            scratch.folder("a", "1", HALF),
        ):
            raise OSError(28, "No space left on device")


def test_a_shortage_may_pass_before_anything_is_left_out(
    scratch: Scratch, clock: MovableClock
) -> None:
    for _ in range(2):
        with pytest.raises(Temporary, match="the files of the run a: too little is free"):
            scratch.folder("a", "1", HALF + 1).__enter__()
        clock.ahead += PATIENCE / 2
    clock.ahead += timedelta(seconds=1)
    with scratch.folder("a", "1", HALF + 1) as (_, room):
        assert room == HALF
    with pytest.raises(Temporary):
        scratch.folder("b", "2", HALF + 1).__enter__()
