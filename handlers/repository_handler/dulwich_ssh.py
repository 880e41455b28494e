"""dulwich over ssh: runs the host's ssh program, and ends it when it is done or its time is up."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading

from dulwich.client import SSHVendor, SubprocessWrapper

from handlers.repository_handler.dulwich_http import heeded
from handlers.repository_handler.process import ssh_command as ssh_program


class Ssh(SSHVendor):
    """Starts ssh for one exchange of at most `seconds`; `end` cleans up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started: list[tuple[subprocess.Popen[bytes], threading.Timer]] = []

    def run_command(
        self,
        host: str,
        command: bytes,
        username: str | None = None,
        port: int | None = None,
        password: str | None = None,  # noqa: ARG002 -- dulwich's signature
        key_filename: str | None = None,  # noqa: ARG002 -- dulwich's signature
        ssh_command: str | None = None,  # noqa: ARG002 -- dulwich's signature
        protocol_version: int | None = None,
    ) -> SubprocessWrapper:
        arguments = shlex.split(ssh_program())
        if port:
            arguments += ["-p", str(port)]
        arguments += ["-o", f"SetEnv GIT_PROTOCOL=version={protocol_version or 2}"]
        target = f"{username}@{host}" if username else host
        process = subprocess.Popen(
            [*arguments, "--", target, os.fsdecode(command)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        watchdog = threading.Timer(self._seconds, _kill, [process])
        watchdog.daemon = True
        self._started.append((process, watchdog))
        watchdog.start()
        return _Heeding(process)

    def end(self) -> None:
        for process, watchdog in self._started:
            watchdog.cancel()
            _kill(process)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe is not None
                pipe.close()


class _Heeding(SubprocessWrapper):
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process)
        unheeded = self.read
        self.read = lambda size=-1: heeded(unheeded(size))


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
