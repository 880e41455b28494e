"""From one version to the next, and back from one that fails.

`Keeper.run` looks at the log again and again. Another version than the one that serves is copied,
checked, loaded and tried by a child process of its own while the old one serves on; then new
requests go to it, the old child answers what it was asked, and ends. A version that cannot be served
is held back, and is not tried again until the log names another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlgate.hosts.serving import child as children
from mlgate.hosts.serving import versions
from mlgate.hosts.serving.child import Answer, Child, Gone
from mlgate.hosts.serving.memory import available
from mlgate.hosts.serving.versions import Refused, Version
from mlgate.orchestration.durable import ModelsPort
from mlgate.orchestration.errors import OrchestrationError, Permanent
from mlgate.orchestration.models import Entry, Manifest

log = logging.getLogger("mlgate")

DRAIN = 30.0  # seconds that a child may take to answer what it was asked
_RESTARTS, _MINUTE = 3, 60.0  # of a child that dies
_ROOM = 1.2  # of the memory that the version before has had, for the next one beside it


class Unavailable(Exception):
    """No version serves now; `after` is in seconds."""

    def __init__(self, reason: str, after: float) -> None:
        super().__init__(reason)
        self.after = after


class Died(Exception):
    """The model's process ended while it answered."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    entry: Entry
    reason: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves: `files` is the version's copy, which goes with it."""

    child: Child
    files: Path
    python: str
    since: datetime


class Keeper:
    """`python_for` gives the interpreter for a version, and raises `Refused`; `refresh` and
    `swap_wait` are in seconds."""

    def __init__(
        self,
        models: ModelsPort,
        model: str,
        pinned: str | None,
        python_for: Callable[[Manifest], str],
        formats: Collection[str],
        *,
        refresh: float,
        swap_wait: float,
        free: Callable[[], int | None] = available,
    ) -> None:
        self.model = model
        self.serving: Serving | None = None
        self.held_back: HeldBack | None = None
        self.looked = False  # whether the log was read at all
        self._models = models
        self._pinned = pinned
        self._python_for = python_for
        self._formats = formats
        self._refresh = refresh
        self._swap_wait = swap_wait
        self._free = free
        self._changed = asyncio.Condition()
        self._deaths = list[float]()
        self._swapping = False
        self._home = Path(tempfile.mkdtemp(prefix="mlgate-serve-"))

    @property
    def status(self) -> str:
        """As `GET /health` tells it."""
        if self._swapping and self.serving is None:
            return "loading"
        if self.held_back is not None:
            return "held_back"
        if self.serving is not None:
            return "ok"
        return "no_model" if self.looked else "loading"

    async def run(self) -> None:
        """Until it is canceled."""
        try:
            while True:
                await self._turn()
                await self._rest()
        finally:
            await self._leave()

    async def ask(self, path: str, content_type: str, body: bytes) -> tuple[Version, Answer]:
        """The answer of the version that serves, and which that is.

        Raises `Unavailable` where none does, and none will within the wait; `Died`.
        """
        child = await self._ready()
        version = child.version
        try:
            return version, await child.ask(path, content_type, body)
        except Gone:
            raise Died(version.name) from None

    async def _ready(self) -> Child:
        if (now := self._alive()) is not None:
            return now.child
        if self.status in ("no_model", "held_back") and not self._swapping:
            raise Unavailable(self._why(), self._refresh)
        try:
            async with asyncio.timeout(self._swap_wait), self._changed:
                while (now := self._alive()) is None:
                    await self._changed.wait()
                return now.child
        except TimeoutError:
            raise Unavailable(self._why(), self._refresh) from None

    def _alive(self) -> Serving | None:
        return self.serving if self.serving is not None and self.serving.child.alive else None

    def _why(self) -> str:
        if self.held_back is not None:
            return self.held_back.reason
        if self.status == "no_model":
            return f"{self.model} has no version yet."
        return f"{self.model} is being loaded."

    async def _turn(self) -> None:
        try:
            entry = await asyncio.to_thread(
                versions.entry_to_serve, self._models, self.model, self._pinned
            )
        except OrchestrationError as error:
            log.warning(
                "the log of %s cannot be read, so what serves serves on: %s", self.model, error
            )
            entry = None
        else:
            self.looked = True
        if entry is not None and self._is_news(entry):
            await self._take(entry)
        elif self.serving is not None and not self.serving.child.alive:
            await self._restart(self.serving)

    def _is_news(self, entry: Entry) -> bool:
        held = self.held_back
        if held is not None and held.entry.number == entry.number and held.lasting:
            return False
        return self.serving is None or self.serving.child.version.number != entry.number

    async def _take(self, entry: Entry) -> None:
        now = self.serving
        try:
            version = await asyncio.to_thread(
                versions.version_of, self._models, entry, self._formats
            )
            if now is not None and now.child.version.entry.id == entry.id and now.child.alive:
                now.child.version = version  # the same one, current again
            else:
                await self._swap(version)
            self.held_back = None
            log.info("%s serves, by entry %s", version.name, version.number)
        except (Refused, OrchestrationError) as error:
            lasting = error.lasting if isinstance(error, Refused) else isinstance(error, Permanent)
            self.held_back = HeldBack(entry, str(error), lasting)
            log.error("%s@%s is held back: %s", entry.model, entry.id, error)  # noqa: TRY400 -- a sentence says it
        async with self._changed:
            self._changed.notify_all()

    async def _swap(self, version: Version) -> None:
        """Raises `Refused`, and what the store raises: what served before then serves on."""
        files = self._home / f"{version.entry.id}-{version.number}"
        self._swapping = True
        try:
            await asyncio.to_thread(shutil.rmtree, files, True)
            python = await asyncio.to_thread(self._python_for, version.manifest)
            await asyncio.to_thread(versions.copy, self._models, version, files)
            before = self._alive()
            if before is not None and not self._has_room(before):
                await self._swap_alone(before, version, python, files)
                return
            child = await children.start(version, python, files)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, files, True)
            raise
        finally:
            self._swapping = False
        await self._put(Serving(child, files, python, datetime.now(UTC)))

    async def _swap_alone(
        self, before: Serving, version: Version, python: str, files: Path
    ) -> None:
        """Where memory does not allow two: requests wait meanwhile."""
        self.serving = None
        await before.child.close(DRAIN)
        try:
            child = await children.start(version, python, files)
        except BaseException:
            again = await children.start(before.child.version, before.python, before.files)
            await self._put(Serving(again, before.files, before.python, before.since))
            raise
        await asyncio.to_thread(shutil.rmtree, before.files, True)
        await self._put(Serving(child, files, python, datetime.now(UTC)))

    def _has_room(self, before: Serving) -> bool:
        free = self._free()
        return free is None or free >= before.child.memory * _ROOM

    async def _put(self, after: Serving) -> None:
        before, self.serving = self.serving, after
        async with self._changed:
            self._changed.notify_all()
        if before is not None:
            await before.child.close(DRAIN)
            await asyncio.to_thread(shutil.rmtree, before.files, True)

    async def _restart(self, dead: Serving) -> None:
        now = time.monotonic()
        self._deaths = [each for each in self._deaths if now - each < _MINUTE]
        if len(self._deaths) >= _RESTARTS:
            return  # until a minute has passed
        self._deaths.append(now)
        log.error("the process of %s ended: it is started again", dead.child.version.name)
        await dead.child.kill()
        self._swapping = True
        try:
            again = await children.start(dead.child.version, dead.python, dead.files)
        except Refused as error:
            log.error("%s", error)  # noqa: TRY400 -- a sentence says it
            return
        finally:
            self._swapping = False
        self.serving = Serving(again, dead.files, dead.python, dead.since)
        async with self._changed:
            self._changed.notify_all()

    async def _rest(self) -> None:
        """For a refresh, or until the child dies."""
        now = self._alive()
        if now is None:
            await asyncio.sleep(min(self._refresh, 1.0))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._refresh):
                await now.child.ended()

    async def _leave(self) -> None:
        if self.serving is not None:
            await self.serving.child.close(DRAIN)
        await asyncio.to_thread(shutil.rmtree, self._home, True)
