"""An ssh server in Python that runs `git upload-pack`, with the client's side of the trust."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import asyncssh

from tests.servers.git_http import NEUTRAL, filtering


@dataclass
class GitSshServer:
    """`command` is an ssh that knows the server's key and has the one that opens it.

    `protocol_2` off makes it a server that refuses commits which no ref names, `filters` off one
    that sends all files with a commit.
    """

    known_hosts: Path
    url: str = ""
    command: str = ""
    protocol_2: bool = True
    filters: bool = True


class Reader(Protocol):
    async def read(self, n: int) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


async def pump(source: Reader, sink: Writer) -> None:
    with suppress(OSError):  # whoever reads may have heard enough
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()


def hang_up(sink: asyncio.StreamWriter, _: object) -> None:
    sink.close()


@contextmanager
def git_ssh_server(root: Path, secrets: Path) -> Iterator[GitSshServer]:
    """Serves the repositories below `root`; `secrets` is an empty folder for the keys."""
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key.write_private_key(str(secrets / "id"))
    (secrets / "id").chmod(0o600)
    client_key.write_public_key(str(secrets / "id.pub"))

    server = GitSshServer(known_hosts=secrets / "known_hosts")

    async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        program, path = shlex.split(process.command or "")
        if program != "git-upload-pack":
            process.exit(1)
            return
        asked_for = process.env.get("GIT_PROTOCOL", "") if server.protocol_2 else ""
        environment = {**NEUTRAL, "GIT_PROTOCOL": asked_for, **filtering(server.filters)}
        git = await asyncio.create_subprocess_exec(
            "git",
            "upload-pack",
            str(root / path.lstrip("/")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert git.stdin is not None
        assert git.stdout is not None
        assert git.stderr is not None
        asked = asyncio.create_task(pump(process.stdin, git.stdin))
        asked.add_done_callback(partial(hang_up, git.stdin))
        await asyncio.gather(pump(git.stdout, process.stdout), pump(git.stderr, process.stderr))
        process.exit(await git.wait())
        asked.cancel()  # which closes git's stdin, if the client did not

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=str(secrets / "id.pub"),
            process_factory=serve,
            encoding=None,
        )

    async def stop(acceptor: asyncssh.SSHAcceptor) -> None:
        acceptor.close()
        await acceptor.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)

    acceptor = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    port = acceptor.get_port()
    public = host_key.export_public_key().decode().strip()
    server.known_hosts.write_text(f"[127.0.0.1]:{port} {public}\n")
    server.url = f"ssh://git@127.0.0.1:{port}"
    server.command = f"ssh -F none -i {secrets / 'id'} -o UserKnownHostsFile={server.known_hosts}"
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(acceptor), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
