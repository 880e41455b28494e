"""Switches a model's server to new versions, and keeps the old one if a new one fails.

`Keeper.run` does two things at the same time.

It follows the model's log. When the log names another version, its files are copied and checked,
and a new child process loads it and answers its example, while the old child goes on serving. Then
new requests go to the new child; the old one answers the requests it has, and ends. That may take
as long as one answer may take, and delays nothing except the start of a third child. A version that
cannot be served is held back: until the log names another one or, for an error that may pass, for a
while.

It also restarts a child that has died, even while a version is being loaded. A child that hangs in
a request is killed first, because it would delay the requests behind it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mlgate.hosts.serving import child as children
from mlgate.hosts.serving import versions
from mlgate.hosts.serving.child import Answer, Child, Gone, NotAsked
from mlgate.hosts.serving.faults import HeldBack, held_back, is_foreseen
from mlgate.hosts.serving.leaving import Leaving, remove
from mlgate.hosts.serving.memory import available
from mlgate.hosts.serving.versions import Version
from mlgate.orchestration.durable import ModelsPort
from mlgate.orchestration.models import Entry, Manifest

log = logging.getLogger("mlgate")

# Seconds for a child to answer its remaining requests when the server or another child waits.
DRAIN = 30.0
# Seconds for one answer: Azure's front ends give up by then (Functions after 230 s, Container Apps
# after 240 s).
ANSWER_LIMIT = 240.0
_WATCH = 0.1  # seconds between checks of the child
_RESTARTS, _MINUTE = 3, 60.0  # restarts of a dead child, within so many seconds
_ROOM = 1.2  # free memory for a second child, as a multiple of the first one's peak

# Called with a version, its interpreter, its files, and a folder for the process.
Start = Callable[[Version, str, Path, Path], Awaitable[Child]]


class Unavailable(Exception):
    """No version serves now; try again `after` so many seconds."""

    def __init__(self, reason: str, after: float) -> None:
        super().__init__(reason)
        self.after = after


class Died(Exception):
    """The version's process ended during a request; `restarts`: it is being restarted."""

    def __init__(self, version: Version, *, restarts: bool) -> None:
        super().__init__(version.name)
        self.version = version
        self.restarts = restarts


@dataclass(frozen=True, slots=True)
class Serving:
    """The version that serves; `files` is its copy, which is removed with it."""

    child: Child
    files: Path
    python: str
    since: datetime


class Keeper:
    """Keeps one model served.

    `python_for` returns the interpreter for a version, or raises `Refused`. `home` is a folder for
    this keeper alone, which the caller removes. `refresh`, `swap_wait`, `answer_limit` and `drain`
    are in seconds.
    """

    def __init__(
        self,
        models: ModelsPort,
        model: str,
        pinned: str | None,
        python_for: Callable[[Manifest], str],
        formats: Collection[str],
        home: Path,
        *,
        refresh: float,
        swap_wait: float,
        answer_limit: float = ANSWER_LIMIT,
        drain: float = DRAIN,
        free: Callable[[], int | None] = available,
        start: Start = children.start,
    ) -> None:
        self.model = model
        self.serving: Serving | None = None
        self.held_back: HeldBack | None = None
        self._models = models
        self._pinned = pinned
        self._python_for = python_for
        self._formats = formats
        self._home = home
        self._refresh = refresh
        self._swap_wait = swap_wait
        self._answer_limit = answer_limit
        self._drain_limit = drain
        self._leaving = Leaving(answer_limit)
        self._free = free
        self._start = start
        self._looked = False  # whether the log has been read
        self._trouble = ""  # why it could not be read the last time
        self._taking = False
        self._changed = asyncio.Condition()
        self._deaths = list[float]()

    @property
    def alive(self) -> Serving | None:
        """The version that serves, unless its process has just died."""
        return self.serving if self.serving is not None and self.serving.child.alive else None

    @property
    def status(self) -> str:
        """The status for `GET /health`; a version that will be tried again counts as loading."""
        if self.held_back is not None:
            return "held_back" if self.held_back.lasting else "loading"
        if self.alive is not None:
            return "ok"
        return "loading" if self._expected else "no_model"

    @property
    def _expected(self) -> bool:
        """Whether a version is about to serve."""
        return self.serving is not None or self._taking or not self._looked

    async def run(self) -> None:
        """Serve until canceled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._watch())
        finally:
            await self._leaving.finish(0.0)
            if self.serving is not None:
                await self.serving.child.close(self._drain_limit)

    async def ask(self, path: str, content_type: str, body: bytes) -> tuple[Version, Answer]:
        """The version that serves, and its answer.

        Raises `Unavailable` if no version serves and none does within `swap_wait`, and `Died`.
        """
        while True:
            child = await self._ready()
            version = child.version
            try:
                return version, await child.ask(path, content_type, body)
            except NotAsked:
                continue
            except Gone:
                now = self.serving
                restarts = now is not None and now.child is child and self._may_restart()
                raise Died(version, restarts=restarts) from None

    async def _ready(self) -> Child:
        if (now := self.alive) is not None:
            return now.child
        try:
            async with asyncio.timeout(self._swap_wait), self._changed:
                while (now := self.alive) is None:
                    if not self._expected:
                        raise Unavailable(self._why(), self._refresh)
                    await self._changed.wait()
                return now.child
        except TimeoutError:
            raise Unavailable(self._why(), self._refresh) from None

    def _why(self) -> str:
        if self._trouble and not self._looked:
            return f"The log of {self.model} cannot be read: {self._trouble}"
        if self._expected:
            return f"{self.model} is being loaded."
        if self.held_back is not None:
            return self.held_back.reason
        if self._pinned:
            return f"The log of {self.model} has no entry for version {self._pinned}."
        return f"{self.model} has no version yet."

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _follow(self) -> None:
        while True:
            entry = await self._entry()
            if entry is not None and self._is_news(entry):
                await self._take(entry)
            await asyncio.sleep(self._refresh)

    async def _entry(self) -> Entry | None:
        """The entry to serve; None if it is unknown or cannot change."""
        if self._pinned and self.serving is not None:
            return None
        look = versions.entry_to_serve
        try:
            entry = await asyncio.to_thread(look, self._models, self.model, self._pinned)
        except Exception as error:  # noqa: BLE001 -- the current version goes on serving
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning(
                    "the log of %s cannot be read; the current version goes on serving: %s",
                    self.model,
                    error,
                )
            return None
        self._trouble = ""
        if not self._looked:
            self._looked = True
            self._taking = entry is not None
            if entry is None:
                log.warning("%s; requests get 503 until it has one", self._why().rstrip("."))
            await self._notify()
        return entry

    def _is_news(self, entry: Entry) -> bool:
        held = self.held_back
        if held is not None and held.entry.number == entry.number:
            return not held.lasting and time.monotonic() >= held.again
        return self.serving is None or self.serving.child.version.number != entry.number

    async def _take(self, entry: Entry) -> None:
        self._taking = True
        try:
            find = versions.version_of
            version = await asyncio.to_thread(find, self._models, entry, self._formats)
            now = self.serving
            if now is not None and now.child.version.entry.id == entry.id:
                now.child.version = version  # the same version by a newer entry
                await self._put(now)
            else:
                await self._swap(version)
        except Exception as error:
            self.held_back = held_back(
                self.held_back, entry, error, time.monotonic(), self._refresh
            )
            log.error(  # noqa: TRY400 -- our own errors need no traceback
                "%s@%s is held back: %s",
                entry.model,
                entry.id,
                error,
                exc_info=not is_foreseen(error),
            )
        finally:
            self._taking = False
            await self._notify()

    async def _swap(self, version: Version) -> None:
        """Load the version and switch to it.

        Raises `Refused` and what the store raises; the old version then goes on serving.
        """
        files = self._home / f"{version.entry.id}-{version.number}"
        try:
            python = await asyncio.to_thread(self._python_for, version.manifest)
            await asyncio.to_thread(versions.copy, self._models, version, files)
            await self._leaving.finish(self._drain_limit)  # two children at most
            before = self.alive
            if before is None or self._has_room(version, before):
                child = await self._start(version, python, files, self._home)
            else:
                child = await self._start_alone(before, version, python, files)
        except BaseException:
            await remove(files)
            raise
        before = self.serving
        await self._put(Serving(child, files, python, datetime.now(UTC)))
        if before is not None:
            self._leaving.begin(before.child, before.files)

    async def _start_alone(
        self, before: Serving, version: Version, python: str, files: Path
    ) -> Child:
        """End the old child, then start the new one, as memory is short; requests wait."""
        self.serving = None
        try:
            await before.child.close(self._answer_limit)
            child = await self._start(version, python, files, self._home)
        except BaseException:
            self.serving = before  # `_watch` restarts its process
            raise
        await remove(before.files)
        return child

    async def _put(self, serving: Serving) -> None:
        self.serving, self.held_back = serving, None
        version = serving.child.version
        log.info("now serving %s, entry %s of its log", version.name, version.number)
        await self._notify()

    def _has_room(self, version: Version, before: Serving) -> bool:
        held = self.held_back
        if held is not None and held.entry.number == version.number and held.alone:
            return False
        free = self._free()
        return free is None or free >= before.child.memory * _ROOM

    async def _watch(self) -> None:
        while True:
            now = self.serving
            if now is not None and now.child.busy_seconds > self._answer_limit:
                log.error(
                    "%s did not answer a request within %g seconds; killing its process",
                    now.child.version.name,
                    self._answer_limit,
                )
                await now.child.kill()
            if now is not None and not now.child.alive:
                await self._restart(now)
            await asyncio.sleep(_WATCH)

    def _may_restart(self) -> bool:
        now = time.monotonic()
        self._deaths = [each for each in self._deaths if now - each < _MINUTE]
        return len(self._deaths) < _RESTARTS

    async def _restart(self, dead: Serving) -> None:
        if not self._may_restart():
            return
        self._deaths.append(time.monotonic())
        name = dead.child.version.name
        log.error("the process of %s ended; restarting it", name)
        try:
            await dead.child.kill()
            child = await self._start(dead.child.version, dead.python, dead.files, self._home)
        except Exception as error:  # noqa: BLE001 -- `_watch` tries again
            log.error("%s could not be restarted: %s", name, error)  # noqa: TRY400
            return
        if self.serving is not dead:  # another version serves by now
            await child.kill()
            return
        child.version = dead.child.version  # may have got a newer entry in the meantime
        self.serving = replace(dead, child=child)
        await self._notify()
