"""The child that a newer version has replaced: it answers the requests it has, and ends."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

from mlgate.hosts.serving.child import Child


class Leaving:
    """At most one such child, with `limit` seconds to answer: its callers give up by then."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._ending: asyncio.Task[None] | None = None
        self._since = 0.0

    def begin(self, child: Child, files: Path) -> None:
        """Let it answer its requests, then end it and remove its files; returns at once."""
        self._since = time.monotonic()
        self._ending = asyncio.create_task(self._end(child, files))

    async def finish(self, patience: float) -> None:
        """Wait until it has ended; end it at once when it had `patience` seconds."""
        if self._ending is None:
            return
        left = self._since + patience - time.monotonic()
        await asyncio.wait([self._ending], timeout=max(0.0, left))
        self._ending.cancel()
        await asyncio.wait([self._ending])
        self._ending = None

    async def _end(self, child: Child, files: Path) -> None:
        """Canceling this ends the child at once."""
        try:
            await child.close(self._limit)
        finally:
            await remove(files)


async def remove(folder: Path) -> None:
    """Remove a version's copy, or what there is of it."""
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
