"""The broker's turns: nothing leaves before the journal has it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlgate.emulators.service_bus.broker import Broker
from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.journal import Journal, JournalError
from mlgate.emulators.service_bus.tokens import SharedKey


class Output:
    """Notes what the journal held when it was told to send."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.saw: list[int] = []

    def flush(self) -> None:
        self.saw.append(len(list(self.journal.messages("jobs"))))


async def turn(file: Path, *, broken: bool) -> tuple[list[int], list[JournalError]]:
    """Sends two messages in one turn; tells what was flushed, and the failures."""
    journal, failures = Journal(file), list[JournalError]()
    broker = Broker(
        [QueueConfig("jobs")], SharedKey("name", "key"), lambda: 1.0, journal, failures.append
    )
    output = Output(journal)
    queue = broker.queue("jobs")
    assert queue is not None
    for payload in (b"a", b"b"):
        queue.send(payload, broker.now())
        broker.wake(output)
    if broken:
        journal.close()
    await asyncio.sleep(0.05)
    broker.close()
    journal.close()
    return output.saw, failures


def test_what_comes_together_is_committed_once_before_it_is_answered(tmp_path: Path) -> None:
    saw, failures = asyncio.run(turn(tmp_path / "queues.db", broken=False))
    assert (saw, failures) == ([2], [])


def test_a_journal_that_fails_lets_nothing_out(tmp_path: Path) -> None:
    saw, failures = asyncio.run(turn(tmp_path / "queues.db", broken=True))
    assert saw == []
    assert len(failures) == 1
