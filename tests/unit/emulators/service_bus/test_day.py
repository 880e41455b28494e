"""A day of a queue in which everything happens, minute by minute, with three restarts."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.journal import Entry, Journal
from mlgate.emulators.service_bus.queues import Queue
from mlgate.emulators.service_bus.records import Message, State
from tests.unit.emulators.service_bus.support import dead, token_of

MINUTE = 60_000
DAY = 24 * 60  # minutes
OPEN = range(8 * 60, 20 * 60)  # when the shop's consumer is there
RESTARTS = {6 * 60, 12 * 60 + 30, 18 * 60}
CONFIGS = {
    "jobs": QueueConfig("jobs", lock_seconds=60, max_delivery=3, dedup_seconds=600),
    "shop": QueueConfig("shop", ttl_seconds=3600, dead_letter_on_expiry=True),
}


class Day:
    """Names say what becomes of a message: `KIND-MINUTE`, by the minute in which it is sent."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.journal = Journal(file)
        self.queues = {name: Queue(config) for name, config in CONFIGS.items()}
        self.done: dict[str, list[int]] = defaultdict(list)  # the minutes of its completions
        self.deliveries: dict[str, int] = defaultdict(int)
        self.numbers: dict[str, int] = {}

    def live(self) -> None:
        for minute in range(DAY):
            if minute in RESTARTS:
                self.restart()
            for queue in self.all().values():
                queue.advance(minute * MINUTE)
            self.send(minute)
            self.look_after(minute)
            while message := self.queues["jobs"].take(minute * MINUTE):
                self.handle(message, minute)
            while minute in OPEN and (message := self.queues["shop"].take(minute * MINUTE)):
                self.complete("shop", message, minute)
            self.journal.commit(
                Entry(path, queue.last_sequence_number, queue.drain())
                for path, queue in self.all().items()
            )
        self.journal.close()

    def all(self) -> dict[str, Queue]:
        return self.queues | {f"{name}/dead": dead(queue) for name, queue in self.queues.items()}

    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal(self.file)
        self.queues = {name: Queue(config) for name, config in CONFIGS.items()}
        for path, queue in self.all().items():
            queue.last_sequence_number = self.journal.last_sequence_number(path)
            for seen in self.journal.seen(path):
                queue.restore_seen(*seen)
            for message, was_locked in self.journal.messages(path):
                queue.restore(message, was_locked=was_locked)

    def send(self, minute: int) -> None:
        jobs, now = self.queues["jobs"], minute * MINUTE
        for kind, every in (("plain", 1), ("poison", 11), ("crash", 13), ("deferred", 17)):
            if minute % every == 0:
                jobs.send(f"{kind}-{minute}".encode(), now)
        for kind, every, delay in (("later", 5, 90), ("canceled", 6, 30)):
            if minute % every == 0:
                name = f"{kind}-{minute}"
                due = now + delay * MINUTE
                self.numbers[name] = jobs.send(name.encode(), now, scheduled_for=due)
        for after in (0, 5, 15):  # the window is ten minutes
            first = minute - after
            if first >= 0 and first % 30 == 0:
                jobs.send(f"again-{minute}".encode(), now, message_id=str(first).encode())
        self.queues["shop"].send(f"sold-{minute}".encode(), now)

    def look_after(self, minute: int) -> None:
        """What is done to messages by their numbers, some time after they were sent."""
        jobs = self.queues["jobs"]
        if number := self.numbers.get(f"canceled-{minute - 10}"):
            jobs.cancel([number])
        if number := self.numbers.get(f"deferred-{minute - 120}"):
            (message,) = jobs.take_deferred([number], minute * MINUTE)
            self.complete("jobs", message, minute)

    def handle(self, message: Message, minute: int) -> None:
        name = message.payload.decode()
        kind = name.split("-")[0]
        self.deliveries[name] += 1
        if kind == "poison":
            self.queues["jobs"].abandon(token_of(message))
        elif kind == "deferred":
            self.numbers[name] = message.sequence_number
            self.queues["jobs"].defer(token_of(message))
        elif kind != "crash" or self.deliveries[name] > 1:
            self.complete("jobs", message, minute)

    def complete(self, queue: str, message: Message, minute: int) -> None:
        self.queues[queue].complete(token_of(message))
        self.done[message.payload.decode()].append(minute)


def test_at_the_end_of_a_day_every_message_is_where_it_belongs(tmp_path: Path) -> None:
    day = Day(tmp_path / "queues.db")
    day.live()
    minutes = range(DAY)
    sold = {m: [at for at in range(m, m + 60) if at in OPEN][:1] for m in minutes}
    assert day.done == {
        **{f"plain-{m}": [m] for m in minutes},
        **{f"crash-{m}": [m + 1] for m in minutes[::13] if m + 1 < DAY},
        **{f"later-{m}": [m + 90] for m in minutes[::5] if m + 90 < DAY},
        **{f"deferred-{m}": [m + 120] for m in minutes[::17] if m + 120 < DAY},
        **{f"again-{m}": [m] for m in minutes if m % 30 in {0, 15}},
        **{f"sold-{m}": at for m, at in sold.items() if at},
    }
    jobs, shop = day.queues["jobs"], day.queues["shop"]
    assert {name: state for name, state, _ in contents(jobs)} == {
        **{f"later-{m}": State.SCHEDULED for m in minutes[::5] if m + 90 >= DAY},
        **{f"canceled-{m}": State.SCHEDULED for m in minutes[::6] if m + 10 >= DAY},
        **{f"deferred-{m}": State.DEFERRED for m in minutes[::17] if m + 120 >= DAY},
        **{f"crash-{m}": State.ACTIVE for m in minutes[::13] if m + 1 >= DAY},
    }
    assert {(name, reason) for name, _, reason in contents(dead(jobs))} == {
        (f"poison-{m}", "MaxDeliveryCountExceeded") for m in minutes[::11]
    }
    assert {name for name, _, _ in contents(shop)} == {
        f"sold-{m}" for m in minutes if not sold[m] and m + 60 >= DAY
    }
    assert {(name, reason) for name, _, reason in contents(dead(shop))} == {
        (f"sold-{m}", "TTLExpiredException") for m in minutes if not sold[m] and m + 60 < DAY
    }
    assert {message.delivery_count for message in dead(jobs).peek(0, DAY)} == {3}


def contents(queue: Queue) -> list[tuple[str, State, str | None]]:
    return [(m.payload.decode(), m.state, m.reason) for m in queue.peek(0, 10 * DAY)]
