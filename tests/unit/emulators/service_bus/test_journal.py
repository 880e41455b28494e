"""The journal: what was committed is read again, what is deleted leaves no trace."""

import stat
from pathlib import Path

import pytest

from mlgate.emulators.service_bus.config import QueueConfig
from mlgate.emulators.service_bus.journal import Entry, Journal, JournalError
from mlgate.emulators.service_bus.queues import Queue

SECRET = b"a token that must not stay"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "queues.db"


def commit(journal: Journal, queue: Queue) -> None:
    journal.commit([Entry("jobs", queue.last_sequence_number, queue.drain())])


def bytes_on_disk(file: Path) -> bytes:
    return b"".join(path.read_bytes() for path in file.parent.iterdir())


def test_messages_ids_and_numbers_are_read_again(file: Path) -> None:
    queue = Queue(QueueConfig("jobs"))
    queue.send(b"active", 1, message_id=b"1", ttl=500)
    queue.send(b"scheduled", 2, message_id=b"2", scheduled_for=9_000)
    journal = Journal(file)
    commit(journal, queue)
    queue.take(3)
    commit(journal, queue)
    journal.close()

    journal = Journal(file)
    (first, was_locked), (second, was_second_locked) = journal.messages("jobs")
    assert (first.payload, first.enqueued_at, first.ttl, was_locked) == (b"active", 1, 500, True)
    assert (second.payload, second.enqueued_at, was_second_locked) == (b"scheduled", 9_000, False)
    assert second.state == 2
    assert [message_id for message_id, _ in journal.seen("jobs")] == [b"1", b"2"]
    assert journal.last_sequence_number("jobs") == 2
    assert list(journal.messages("other")) == []
    journal.close()


def test_a_setting_keeps_its_first_value(file: Path) -> None:
    for default in ("first", "second"):
        journal = Journal(file)
        assert journal.setting("key", default) == "first"
        journal.close()


def test_a_deleted_message_can_be_read_nowhere_once_purged(file: Path) -> None:
    journal = Journal(file)
    queue = Queue(QueueConfig("jobs"))
    queue.send(SECRET, 0)
    commit(journal, queue)
    assert SECRET in bytes_on_disk(file)
    queue.pop(0)
    commit(journal, queue)
    journal.purge()
    assert SECRET not in bytes_on_disk(file)
    journal.close()


def test_every_file_is_its_owners_alone(file: Path) -> None:
    journal = Journal(file)
    queue = Queue(QueueConfig("jobs"))
    queue.send(b"a", 0)
    commit(journal, queue)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    journal.close()


def test_closing_leaves_the_one_file(file: Path) -> None:
    journal = Journal(file)
    queue = Queue(QueueConfig("jobs"))
    queue.send(b"a", 0)
    commit(journal, queue)
    journal.close()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_has_one_user(file: Path) -> None:
    journal = Journal(file)
    with pytest.raises(JournalError, match="in use by another emulator"):
        Journal(file)
    journal.close()
    Journal(file).close()


@pytest.mark.parametrize("what", ["folder", "text", "newer"])
def test_a_file_of_something_else_is_refused(file: Path, what: str) -> None:
    match what:
        case "folder":
            file.mkdir(parents=True)
        case "text":
            file.parent.mkdir()
            file.write_text("not a database, " * 100)
        case "newer":
            journal = Journal(file)
            journal._database.execute("PRAGMA user_version=99")
            journal.close()
    with pytest.raises(JournalError, match=str(file)):
        Journal(file)


def test_a_write_that_fails_is_an_error(file: Path) -> None:
    journal = Journal(file)
    queue = Queue(QueueConfig("jobs"))
    queue.send(b"a", 0)
    journal.close()
    with pytest.raises(JournalError, match="can no longer be used"):
        commit(journal, queue)
