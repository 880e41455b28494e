"""A local handler on a host that fails it in one way after the other, as a process of its own.

    python -m tests.contract.handlers.local_handler.faulty FOLDER FAULT

For each degree of FAULT and each method of the port it prints what came out, and at last "well"
if all of it works once the fault is gone. FOLDER may be a file system of its own, which is full or
read-only then.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from handlers.local_handler.handler import LocalHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, Task
from tests.contract.twins import FolderCheckout
from tests.support.memory import MemoryFiles

NOBODY = 65534
BUILD = "b" * 32
STUB = Path(__file__).with_name("stub_launcher.py")
SCRIPT = "(OUTPUT / 'kept' / 'a').write_text('a' * 5000)"

Fault = Callable[["Host"], Iterator[str]]  # yields while it is there, with a word for its degree


class Host:
    """A home with a run that has ended, and all that can be asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.checkout = FolderCheckout("c" * 40, folder / "checkout")
        self.checkout.folder.mkdir()
        (self.checkout.folder / "script.py").write_text(SCRIPT)
        self.numbers = count(1)
        self.handler = self.new()
        self.task = replace(self.next(), snapshot=self.stage("c" * 40))
        self.end(self.task)

    def new(self) -> LocalHandler:
        return LocalHandler(home=self.home, parallel=50, launcher=STUB)

    def stage(self, commit: str) -> str:
        checkout = replace(self.checkout, commit=commit)
        return self.handler.stage(checkout, RepositoryRequest("https://example.org/r.git"), [])

    def next(self) -> Task:
        spec = RunSpec(f"run-{next(self.numbers)}", RunKind.TRAINING, command="script.py")
        snapshot = self.task.snapshot if hasattr(self, "task") else ""
        return Task(Attempt(BUILD, spec.name, 1), spec, snapshot, "4711")

    def end(self, task: Task) -> None:
        assert self.handler.submit(task)
        until = time.monotonic() + 60
        while not self.handler.look([task.attempt])[task.attempt].status.ended:
            assert time.monotonic() < until
            time.sleep(0.01)

    def calls(self) -> dict[str, Callable[[], object]]:
        task = self.task
        other = replace(task.attempt, build="f" * 32)
        return {
            "new": lambda: self.new().close(),
            "stage": lambda: self.stage(os.urandom(20).hex()),
            "stage again": lambda: self.stage("c" * 40),
            "submit": lambda: self.handler.submit(self.next()),
            "submit again": lambda: self.handler.submit(task),
            "look": lambda: self.handler.look([task.attempt]),
            "look at none": lambda: self.handler.look([other]),
            "cancel": lambda: self.handler.cancel([task.attempt]),
            "cancel what never was": lambda: self.handler.cancel([self.next().attempt]),
            "collect": lambda: self.handler.collect(task, MemoryFiles()),
            "collect alone": lambda: self.handler.collect(task, None),
            "release": lambda: self.handler.release("e" * 32),
        }


def open_files(_: Host) -> Iterator[str]:
    """So many more may be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len([*Path("/proc/self/fd").iterdir()]) - 1
    for more in range(8):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, hard))
        try:
            yield f"{more} more"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def file_sizes(_: Host) -> Iterator[str]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 1, 20, 200, 2000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            yield f"{most} bytes"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full(host: Host) -> Iterator[str]:
    """So many more files, and pages of them, have room."""
    for more in range(8):
        fillers = host.folder / "fillers"
        fillers.mkdir()
        made = []
        with suppress(OSError):
            for number in count():
                made.append(fillers / str(number))
                made[-1].touch()
        for path in made[: more + 1]:
            path.unlink(missing_ok=True)
        try:
            yield f"{more} more"
        finally:
            subprocess.run(["rm", "-rf", fillers], check=True)


def read_only(host: Host) -> Iterator[str]:
    subprocess.run(["mount", "-o", "remount,ro", host.folder], check=True)
    try:
        yield "read-only"
    finally:
        subprocess.run(["mount", "-o", "remount,rw", host.folder], check=True)


def everything(host: Host) -> list[Path]:
    attempt = host.home / "attempts" / host.task.attempt.id
    snapshot = host.home / "snapshots" / host.task.snapshot
    below = [path for folder in (host.home, attempt) for path in folder.iterdir()]
    return [host.home, attempt, snapshot, *below, *snapshot.iterdir()]


def without_rights(host: Host) -> Iterator[str]:
    """On each file and folder in turn."""
    for path in everything(host):
        mode = path.stat().st_mode
        path.chmod(0)
        try:
            yield path.name
        finally:
            path.chmod(mode)


def gone(host: Host) -> Iterator[str]:
    """Each in turn, and a file where a folder was, or the other way round."""
    for path in everything(host):
        kept = host.folder / "kept-from-it"
        for instead in ("nothing", "another kind", "a circle"):
            path.rename(kept)
            if instead == "a circle":
                path.symlink_to(path)
            elif instead == "another kind":
                path.touch() if kept.is_dir() else path.mkdir()
            try:
                yield f"{path.name}: {instead}"
            finally:
                subprocess.run(["rm", "-rf", path], check=True)
                kept.rename(path)


def damaged(host: Host) -> Iterator[str]:
    """The content of each record in turn."""
    for path in [path for path in everything(host) if path.is_file()]:
        content = path.read_bytes()
        for instead in (b"", b"{", b"null", b"[]", b"{}", b'{"pid": 1e999}', b"\xff\xfe"):
            path.write_bytes(instead)
            try:
                yield f"{path.name}: {instead!r}"
            finally:
                path.write_bytes(content)


def processes(_: Host) -> Iterator[str]:
    """No process or thread can be started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
    try:
        yield "none"
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        open_files, file_sizes, full, read_only, without_rights, gone, damaged, processes,
    )
}  # a row a line # fmt: skip


@contextmanager
def told(name: str, degree: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- which one it is is what is tested
        word = f"{type(error).__name__}\t{error}"
    else:
        word = "nothing\t"
    sys.stdout.write(f"{name}\t{degree}\t{word}\n".replace("\n ", " "))


def main(folder: str, name: str) -> None:
    Path(folder).mkdir(exist_ok=True)
    if os.getuid() == 0 and name == "processes":  # root may start any number
        os.chown(folder, NOBODY, NOBODY)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    host = Host(Path(folder))
    for call in host.calls():
        for degree in FAULTS[name](host):
            with told(call, degree):
                host.calls()[call]()
    for act in host.calls().values():
        act()
    host.end(host.next())
    host.handler.close()
    sys.stdout.write("well\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
