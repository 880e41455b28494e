"""From one version to the next, and back from one that fails.

`Keeper.run` does two things side by side. It looks at the log: another version than the one that
serves is copied, checked, loaded and tried by a child process of its own while the old one serves
on; then new requests go to it, and the old child answers what it was asked, and ends. That may take
as long as an answer may, and nothing waits for it, unless a third child is to start. A version
that cannot be served is held back: until the log names another one, or for a while where the fault
may pass. And it restarts a child that has died, also while a version is being loaded; one that
hangs in a request is ended first, as it would hold up those behind it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mlgate.hosts.serving import child as children
from mlgate.hosts.serving import versions
from mlgate.hosts.serving.child import Answer, Child, Gone, NotAsked
from mlgate.hosts.serving.faults import HeldBack, held_back, is_foreseen
from mlgate.hosts.serving.memory import available
from mlgate.hosts.serving.versions import Version
from mlgate.orchestration.durable import ModelsPort
from mlgate.orchestration.models import Entry, Manifest

log = logging.getLogger("mlgate")

# Seconds that a child may take to answer what it was asked, when the server or another child waits
# for its end.
DRAIN = 30.0
# Seconds that one answer may take: Azure's front ends have given up by then (Functions after 230 s,
# Container Apps after 240 s).
ANSWER_LIMIT = 240.0
_WATCH = 0.1  # seconds from one look at the child to the next
_RESTARTS, _MINUTE = 3, 60.0  # of a child that dies
_ROOM = 1.2  # of the memory that the version before has had, for the next one beside it

# Of a version, its interpreter, its files, and a folder for what the process needs.
Start = Callable[[Version, str, Path, Path], Awaitable[Child]]


class Unavailable(Exception):
    """No version serves now; `after` is in seconds."""

    def __init__(self, reason: str, after: float) -> None:
        super().__init__(reason)
        self.after = after


class Died(Exception):
    """The version's process ended while it answered; `restarts`: it is started again."""

    def __init__(self, version: Version, *, restarts: bool) -> None:
        super().__init__(version.name)
        self.version = version
        self.restarts = restarts


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves: `files` is the version's copy, which goes with it."""

    child: Child
    files: Path
    python: str
    since: datetime


class Keeper:
    """`python_for` gives the interpreter for a version, and raises `Refused`; `home` is a folder
    for this keeper alone, which its owner removes; `refresh`, `swap_wait`, `answer_limit` and
    `drain` are in seconds."""

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
        self._free = free
        self._start = start
        self._looked = False  # whether the log was read at all
        self._trouble = ""  # what kept it from being read the last time
        self._taking = False
        self._changed = asyncio.Condition()
        self._deaths = list[float]()
        self._draining: asyncio.Task[None] | None = None
        self._draining_since = 0.0

    @property
    def alive(self) -> Serving | None:
        """What serves, unless its process has just died."""
        return self.serving if self.serving is not None and self.serving.child.alive else None

    @property
    def status(self) -> str:
        """As `GET /health` shows it: what is tried again with the next look is being loaded."""
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
        """Until it is canceled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._watch())
        finally:
            await self._end_draining(0.0)
            if self.serving is not None:
                await self.serving.child.close(self._drain_limit)

    async def ask(self, path: str, content_type: str, body: bytes) -> tuple[Version, Answer]:
        """The answer of the version that serves, and which that is.

        Raises `Unavailable` where none does, and none will within the wait; `Died`.
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
                raise Died(version, restarts=now is not None and now.child is child) from None

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
            return f"No entry of the log of {self.model} names the version {self._pinned}."
        return f"{self.model} has no version yet."

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _follow(self) -> None:
        while True:
            entry = await self._entry()
            if entry is not None and self._is_news(entry):
                await self._take(entry)
            await asyncio.sleep(self._refresh)

    async def _entry(self) -> Entry | None:
        """The one to be served; None while nobody knows, and where nothing can change."""
        if self._pinned and self.serving is not None:
            return None
        look = versions.entry_to_serve
        try:
            entry = await asyncio.to_thread(look, self._models, self.model, self._pinned)
        except Exception as error:  # noqa: BLE001 -- what serves serves on
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning(
                    "the log of %s cannot be read, what serves goes on: %s", self.model, error
                )
            return None
        self._trouble = ""
        if not self._looked:
            self._looked = True
            self._taking = entry is not None
            await self._tell()
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
                now.child.version = version  # the same one, current again
                await self._put(now)
            else:
                await self._swap(version)
        except Exception as error:
            self.held_back = held_back(
                self.held_back, entry, error, time.monotonic(), self._refresh
            )
            log.error(  # noqa: TRY400 -- a sentence says it, where it is one of ours
                "%s@%s is held back: %s",
                entry.model,
                entry.id,
                error,
                exc_info=not is_foreseen(error),
            )
        finally:
            self._taking = False
            await self._tell()

    async def _swap(self, version: Version) -> None:
        """Raises `Refused`, and what the store raises: what served before then serves on."""
        files = self._home / f"{version.entry.id}-{version.number}"
        try:
            python = await asyncio.to_thread(self._python_for, version.manifest)
            await asyncio.to_thread(versions.copy, self._models, version, files)
            waited = time.monotonic() - self._draining_since
            await self._end_draining(self._drain_limit - waited)  # two children at most
            before = self.alive
            if before is None or self._has_room(version, before):
                child = await self._start(version, python, files, self._home)
            else:
                child = await self._start_alone(before, version, python, files)
        except BaseException:
            await _remove(files)
            raise
        before = self.serving
        await self._put(Serving(child, files, python, datetime.now(UTC)))
        if before is not None:
            self._draining_since = time.monotonic()
            self._draining = asyncio.create_task(self._drain(before))

    async def _drain(self, old: Serving) -> None:
        """Its callers have given up by the answer limit. Canceled, it ends the child at once."""
        try:
            await old.child.close(self._answer_limit)
        finally:
            await _remove(old.files)

    async def _end_draining(self, patience: float) -> None:
        if self._draining is not None:
            await asyncio.wait([self._draining], timeout=max(0.0, patience))
            self._draining.cancel()
            await asyncio.wait([self._draining])
            self._draining = None

    async def _start_alone(
        self, before: Serving, version: Version, python: str, files: Path
    ) -> Child:
        """Where memory does not allow two: requests wait meanwhile."""
        self.serving = None
        try:
            await before.child.close(self._answer_limit)
            child = await self._start(version, python, files, self._home)
        except BaseException:
            self.serving = before  # its process is started again
            raise
        await _remove(before.files)
        return child

    async def _put(self, serving: Serving) -> None:
        self.serving, self.held_back = serving, None
        version = serving.child.version
        log.info("%s serves, by entry %s", version.name, version.number)
        await self._tell()

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
                    "%s has not answered a request within %g seconds: its process is ended",
                    now.child.version.name,
                    self._answer_limit,
                )
                await now.child.kill()
            if now is not None and not now.child.alive:
                await self._restart(now)
            await asyncio.sleep(_WATCH)

    async def _restart(self, dead: Serving) -> None:
        now = time.monotonic()
        self._deaths = [each for each in self._deaths if now - each < _MINUTE]
        if len(self._deaths) >= _RESTARTS:
            return  # until a minute has passed
        self._deaths.append(now)
        name = dead.child.version.name
        log.error("the process of %s ended: it is started again", name)
        try:
            await dead.child.kill()
            child = await self._start(dead.child.version, dead.python, dead.files, self._home)
        except Exception as error:  # noqa: BLE001 -- it is tried again
            log.error("%s was not started again: %s", name, error)  # noqa: TRY400
            return
        if self.serving is not dead:  # another one serves by now
            await child.kill()
            return
        child.version = dead.child.version  # by another entry meanwhile, perhaps
        self.serving = replace(dead, child=child)
        await self._tell()


async def _remove(folder: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, True)
