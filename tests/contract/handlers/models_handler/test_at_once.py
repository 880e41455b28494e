"""Many that promote one model at once: no number twice, nothing weighed against the wrong one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.contract.handlers.models_handler.hosts import contend
from tests.contract.handlers.models_handler.places import Place
from tests.contract.handlers.models_handler.some import MODEL

ROOT = Path(__file__).parents[4]
WRITERS, ROUNDS = 20, 5


def test_threads_with_a_store_of_their_own(place: Place) -> None:
    numbers: list[int] = []
    errors: list[BaseException] = []
    ready = threading.Barrier(WRITERS)

    def run(writer: int) -> None:
        store = place.open()
        try:
            for each in range(ROUNDS):
                ready.wait()
                numbers.append(contend(store, f"{writer}.{each}"))
        except BaseException as error:  # noqa: BLE001 -- shown below
            errors.append(error)
            ready.abort()

    threads = [threading.Thread(target=run, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(numbers) == list(range(1, WRITERS * ROUNDS + 1))
    check(place, ROUNDS)


def test_threads_that_share_a_store(place: Place) -> None:
    store = place.open()
    threads = [
        threading.Thread(target=contend, args=(store, f"{writer}.0")) for writer in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(place, 1)


@pytest.mark.parametrize("place", ["disk", "smb", "container"], indirect=True)
def test_processes(place: Place) -> None:
    processes(place, 1)


@pytest.mark.slow
def test_processes_again_and_again(place: Place) -> None:
    processes(place, ROUNDS)


def processes(place: Place, rounds: int) -> None:
    program = [sys.executable, "-m", "tests.contract.handlers.models_handler.hosts", "contend"]
    subprocess.run([*program, place.where, f"{WRITERS}", f"{rounds}"], check=True, cwd=ROOT)
    check(place, rounds)


def check(place: Place, rounds: int) -> None:
    store = place.open()
    entries = list(store.log(MODEL))[::-1]
    assert [entry.number for entry in entries] == list(range(1, WRITERS * rounds + 1))
    before = [None, *(entry.id for entry in entries[:-1])]
    assert [entry.replaces for entry in entries] == before
    told = Counter((entry.person or "").partition(".")[0] for entry in entries)
    assert set(told.values()) == {rounds}
    assert store.head(MODEL).entry == entries[-1]
    assert len([name for name in place.names() if "/log/" in name]) == len(entries)
