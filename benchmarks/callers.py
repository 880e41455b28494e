"""Callers of a served model: as fast as possible, or at a steady rate."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    at: float
    took: float
    status: int
    number: str | None
    content: bytes


@dataclass
class Client:
    """A client that keeps its connection open."""

    port: int
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes) -> Answer:
        began = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in said[1:] if line)
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        now = time.perf_counter()
        number = headers.get("mlgate-model-number")
        return Answer(now, now - began, int(said[0].split()[1]), number, content)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def asked_once(port: int, method: str, path: str) -> Answer:
    client = Client(port)
    try:
        return await client.ask(method, path, b"")
    finally:
        await client.close()


async def hammered(port: int, body: bytes, callers: int, seconds: float) -> list[Answer]:
    """The answers to callers that send the next request as soon as they are answered."""
    until, found = time.perf_counter() + seconds, list[Answer]()

    async def call() -> None:
        client = Client(port)
        while time.perf_counter() < until:
            answer = await client.ask("POST", "/invocations", body)
            if answer.status != 200:
                sys.exit(f"{answer.status}: {answer.content!r}")
            found.append(answer)
        await client.close()

    await asyncio.gather(*(call() for _ in range(callers)))
    return found


async def _at_a_rate(port: int, rate: int, body: bytes, stop: threading.Event) -> list[Answer]:
    """The answers to `rate` requests per second, each begun when it is due."""
    clients, found = asyncio.Queue[Client](), list[Answer]()
    for _ in range(64):
        clients.put_nowait(Client(port))

    async def one() -> None:
        client = await clients.get()
        try:
            found.append(await client.ask("POST", "/invocations", body))
        except (OSError, asyncio.IncompleteReadError):
            found.append(Answer(time.perf_counter(), 0.0, 0, None, b""))
            client = Client(port)
        clients.put_nowait(client)

    tasks, began = set[asyncio.Task[None]](), time.perf_counter()
    for number in range(10**9):
        if stop.is_set():
            break
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        task = asyncio.create_task(one())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return found


class Callers:
    """Sends `example` at a steady rate from its own thread, while the context lasts."""

    def __init__(self, port: int, rate: int, example: Any) -> None:
        self.answers = list[Answer]()
        self._stop = threading.Event()
        body = json.dumps(example).encode()

        def call() -> None:
            self.answers = asyncio.run(_at_a_rate(port, rate, body, self._stop))

        self._thread = threading.Thread(target=call)

    def __enter__(self) -> Callers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def failures(self) -> int:
        """How many were not answered with 200 by the version that the header names."""
        return sum(not _is_right(answer) for answer in self.answers)


def _is_right(answer: Answer) -> bool:
    if answer.status != 200 or answer.number is None:
        return False
    return bool(json.loads(answer.content) == {"predictions": [int(answer.number)]})
