"""An attempt's folder: the only thing that the worker and the attempt's supervisor share.

    task.json         what to execute; exists as long as the folder does
    expected.json     the time from which a supervisor may claim the attempt
    claim.json        who executes it; created once, before anything is executed, never removed
    state.json        what the supervisor is doing
    cancel            a request to cancel the attempt
    ended.json        how it ended; the last file that a supervisor writes
    launch.json, tree/, output/, events.jsonl, mlflow.db      the launcher's
    changes/, venv/, user/                                    what it installs or changes elsewhere
    model/            its own copy of the current version's files, if it has no view of them
    supervisor.log, environment.log                           for debugging

Files are written atomically. The claim, and the record of an attempt whose supervisor vanished, are
created with a hard link, which fails if the name exists: however many processes try, exactly one
succeeds.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handlers.local_handler import processes
from handlers.local_handler.processes import Identity

RECORD_LIMIT = 16 << 20  # bytes of a JSON file that the run's own code may have written


@dataclass(frozen=True, slots=True)
class Claim:
    """`supervisor` is None if a worker claimed the attempt so that it is never executed."""

    supervisor: Identity | None

    @property
    def alive(self) -> bool:
        return self.supervisor is not None and processes.alive(self.supervisor)


@dataclass(frozen=True, slots=True)
class State:
    """`activity` is what happens before the run starts; `started_at` (ISO 8601) is when it did."""

    activity: str | None = None
    started_at: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended.

    `reason` is None if the launcher ended by itself, "canceled", or a kind of failure ("timeout",
    "environment", "network", "infrastructure") with its `message`. `exit_code` is the launcher's:
    negative for a signal, None if it never started. `memory_kills` is how many processes of the
    machine the kernel killed meanwhile because memory ran out. Times are ISO 8601, UTC.
    """

    reason: str | None
    message: str = ""
    exit_code: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    memory_kills: int = 0
    warnings: tuple[str, ...] = ()


class AttemptFolder:
    """Reads and writes one attempt's records. Raises OSError if the disk fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.task_file = path / "task.json"
        self.launch_file = path / "launch.json"
        self.tree = path / "tree"
        self.output = path / "output"
        self.kept = path / "output" / "kept"
        self.events = path / "events.jsonl"
        self.tracking = path / "mlflow.db"
        self.changes = path / "changes"
        self.user = path / "user"
        self.model = path / "model"
        self.log = path / "supervisor.log"
        self.environment_log = path / "environment.log"
        self._expected = path / "expected.json"
        self._claim = path / "claim.json"
        self._state = path / "state.json"
        self._ended = path / "ended.json"
        self._cancel = path / "cancel"

    @property
    def id(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return self.task_file.exists()

    def describe(self, task: Mapping[str, Any]) -> None:
        replace_file(self.task_file, json.dumps(task).encode())

    def task(self) -> Mapping[str, Any]:
        """The task as the worker wrote it; empty if there is none."""
        task = read_json(self.task_file)
        return task if isinstance(task, dict) else {}

    @property
    def build(self) -> str | None:
        attempt = self.task().get("attempt")
        return _text(attempt.get("build")) if isinstance(attempt, dict) else None

    @property
    def snapshot(self) -> str:
        """The name of the snapshot that is copied for the attempt."""
        return Path(_text(self.task().get("snapshot")) or "").name

    @property
    def current_model(self) -> str | None:
        """The name of the current version whose files the attempt gets, if any."""
        model = _text(self.task().get("model"))
        return None if model is None else Path(model).name

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about the task from before anything was executed."""
        return _texts(self.task().get("warnings"))

    def expect(self, now: float) -> None:
        """Give a supervisor time to begin, from `now` on; `now` is by this machine's steady clock.

        A file's modification time would not do: on a remote disk it comes from another clock, and
        a machine's clock may be set at any moment.
        """
        record = {"since": now, "boot": processes.boot_id()}
        replace_file(self._expected, json.dumps(record).encode())

    def is_expected(self, now: float, seconds: float) -> bool:
        """Whether a supervisor may still begin, within `seconds`; false after a reboot."""
        if not self.exists():
            raise FileNotFoundError(self.task_file)
        record = read_json(self._expected)
        try:
            since, boot = float(record["since"]), record["boot"]
        except (KeyError, TypeError, ValueError):
            return False
        return bool(0 <= now - since <= seconds and boot == processes.boot_id())

    def take(self, supervisor: Identity | None) -> bool:
        """Claim the attempt for `supervisor`; false if it is claimed already."""
        record = supervisor._asdict() if supervisor else {"pid": None}
        return create_file(self._claim, json.dumps(record).encode())

    def claim(self) -> Claim | None:
        if not self._claim.exists():
            return None
        claim = read_json(self._claim)
        try:
            return Claim(Identity(int(claim["pid"]), str(claim["started"]), str(claim["boot"])))
        except (KeyError, TypeError, ValueError, OverflowError):
            return Claim(None)

    def ask_to_cancel(self) -> None:
        self._cancel.touch()

    @property
    def cancel_asked(self) -> bool:
        return self._cancel.exists()

    def say(self, state: State) -> None:
        replace_file(self._state, json.dumps(asdict(state)).encode())

    def state(self) -> State:
        record = read_json(self._state)
        if not isinstance(record, dict):
            return State()
        return State(_text(record.get("activity")), _text(record.get("started_at")))

    def end(self, ended: Ended) -> None:
        """Record how it ended; for the supervisor."""
        replace_file(self._ended, json.dumps(asdict(ended)).encode())

    def end_instead(self, ended: Ended) -> None:
        """Record how it ended in place of a supervisor that never will; the first record counts."""
        create_file(self._ended, json.dumps(asdict(ended)).encode())

    @property
    def has_ended(self) -> bool:
        return self._ended.exists()

    def ended(self) -> Ended | None:
        """How the attempt ended; None while it goes on."""
        if not self.has_ended:
            return None
        record = read_json(self._ended)
        if not isinstance(record, dict):
            return Ended("infrastructure", "The record of how the run ended is damaged.")
        return Ended(
            reason=_text(record.get("reason")),
            message=_text(record.get("message")) or "",
            exit_code=_number(record.get("exit_code")),
            started_at=_text(record.get("started_at")),
            finished_at=_text(record.get("finished_at")),
            memory_kills=_number(record.get("memory_kills")) or 0,
            warnings=_texts(record.get("warnings")),
        )


def timestamp() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def read_file(path: Path, limit: int, *, end: bool = False) -> bytes | None:
    """The first `limit` bytes, or the last ones; None if it is not a regular file.

    A run may have put a link there, which could lead anywhere, or a pipe, which could block.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        offset = max(0, status.st_size - limit) if end else 0
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)


def read_of_run(path: Path, limit: int) -> bytes | None:
    """Like `read_file`; also None if the run made the file unreadable."""
    try:
        return read_file(path, limit)
    except PermissionError:
        return None


def read_json(path: Path) -> Any:
    """The file's content; None if it is missing, too big, or not JSON."""
    content = read_file(path, RECORD_LIMIT)
    try:
        return json.loads(content or b"")
    except (ValueError, RecursionError):
        return None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    _beside(path, content).replace(path)


def create_file(path: Path, content: bytes) -> bool:
    """Create a file atomically; false if it exists, which leaves it unchanged."""
    made = _beside(path, content)
    try:
        os.link(made, path)
    except FileExistsError:
        return False
    finally:
        made.unlink()
    return True


def _beside(path: Path, content: bytes) -> Path:
    made = path.with_name(f".{path.name}-{os.urandom(6).hex()}")
    made.write_bytes(content)
    return made


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
