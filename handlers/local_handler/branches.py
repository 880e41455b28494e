"""The forks of a template that have imported libraries for kernels.

Each is a template itself, with one import more than the process it was forked from, so notebooks
that begin with the same imports share the work. A request is passed on from branch to branch, and
the last one forks the run. An import that is refused (see `watching`) ends the branch that tried
it; it and what follows it are left to the kernels.

A branch answers its parent with lines: `refused NAME` and `grown`, any number of times, then
`ready`, `yes` or `no`, as a template answers the worker, or `again` when it ends because its import
made files.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from handlers.local_handler import processes, watching
from handlers.local_handler.kernels import KernelSeeds
from handlers.local_handler.recording import Impure

_MOST = 24  # branches of a template in all; of some 10 MB each, beside what they share
_MARGIN = 5.0  # seconds to pass a request on
_REFUSED = "refused "
_GROWN = "grown"
_AGAIN = b"again\n"
_ANSWERS = (b"ready\n", b"yes\n", b"no\n", _AGAIN)


class Branched(BaseException):
    """This process is a new branch, and should serve."""


class Branches:
    """The branches of this process."""

    def __init__(self, kernels: KernelSeeds) -> None:
        self._kernels = kernels
        self._known: dict[object, _Branch] = {}
        self._refused: set[str] = set()
        self._grown = 0  # in all, as far as this process knows
        self._is_branch = False

    def pass_on(self, request: Mapping[str, Any], variables: Mapping[str, str]) -> bytes | None:
        """The answer of a branch to a request; None if this process should answer itself.

        `variables` are the kernel's. Raises `Branched` in the fork of a new branch.
        """
        missing = [name for name in request["imports"] if not self._kernels.have(name)]
        if not missing or self._refused & set(missing[:1]):
            return None
        common = {name: each for name, each in variables.items() if not watching.differs(name)}
        key = missing[0], tuple(sorted(common.items()))
        if self._grown >= _MOST and not self._is_branch:
            self._end_all()
        branch = self._known.get(key) or self._grow(missing[0], common, request["until"])
        if branch is None:
            return None
        self._known[key] = branch
        line = json.dumps(request).encode() + b"\n"
        answer = branch.ask(line, request["until"] + _MARGIN, self._learn)
        if answer is None:  # it does not answer, or had no requests for long
            self._known.pop(key).end()
        return answer

    def leave(self) -> None:
        """Close the ends of the branches in this process, which was forked from their parent."""
        for branch in self._known.values():
            branch.close()
        self._known.clear()

    def _end_all(self) -> None:
        while self._known:
            self._known.popitem()[1].end()
        self._grown = 0

    def _grow(self, name: str, variables: Mapping[str, str], until: float) -> _Branch | None:
        """A new branch that has imported `name`; None if there is none.

        An import that made files is tried once more: some libraries make those of their user when
        they are imported for the first time, as matplotlib does.
        """
        for last in (False, True):
            if time.monotonic() > until:
                return None
            branch = self._fork(name, variables, last=last)
            answer = branch.answer(until, self._learn)
            if answer == b"ready\n":
                return branch
            branch.end()
            if answer != _AGAIN:
                break
        self._learn(f"{_REFUSED}{name}")
        return None

    def _fork(self, name: str, variables: Mapping[str, str], *, last: bool) -> _Branch:
        parent = os.getpid()
        (theirs, requests), (answers, back) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            grown = False
            try:
                processes.end_with_parent(parent)
                os.dup2(theirs, 0)
                os.dup2(back, 1)
                os.closerange(3, 1 << 16)
                self._become(name, variables, last=last)
                grown = True
            except BaseException:  # noqa: BLE001 -- nothing may escape the forked process
                traceback.print_exc()
            finally:
                if not grown:
                    os._exit(0)
            raise Branched
        os.close(theirs)
        os.close(back)
        return _Branch(pid, requests, answers)

    def _become(self, name: str, variables: Mapping[str, str], *, last: bool) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # as in a kernel
        self._known.clear()
        self._is_branch = True
        try:
            with self._kernels.as_imported():
                watching.add(self._kernels.library, name, variables)
        except Impure as why:
            if why.again and not last:
                os.write(1, _AGAIN)
            else:
                os.write(2, f"{name} is left to the notebooks that import it: it {why}\n".encode())
            os._exit(0)
        self._learn(_GROWN)

    def _learn(self, line: str) -> None:
        """Note what a branch found out, and let the parent know."""
        if line == _GROWN:
            self._grown += 1
        else:
            self._refused.add(line.removeprefix(_REFUSED))
        if self._is_branch:
            os.write(1, f"{line}\n".encode())


class _Branch:
    """The parent's side of a branch."""

    def __init__(self, pid: int, requests: int, answers: int) -> None:
        self._process: int | None = None
        with suppress(OSError):  # it has ended
            self._process = os.pidfd_open(pid)
        self._requests = requests
        self._answers = answers
        self._unread = b""

    def ask(self, line: bytes, until: float, learn: Callable[[str], None]) -> bytes | None:
        """The answer to a request; see `answer`."""
        try:
            os.write(self._requests, line)
        except OSError:
            return None
        return self.answer(until, learn)

    def answer(self, until: float, learn: Callable[[str], None]) -> bytes | None:
        """The next answer; None if it does not come in time. `learn` gets the lines before it."""
        waiting = select.poll()
        waiting.register(self._answers, select.POLLIN)
        while True:
            line, end, rest = self._unread.partition(b"\n")
            if end:
                self._unread = rest
                if (answer := line + end) in _ANSWERS:
                    return answer
                learn(line.decode())
                continue
            if not waiting.poll(max(0.0, until - time.monotonic()) * 1000):
                return None
            part = os.read(self._answers, 1 << 16)
            if not part:
                return None
            self._unread += part

    def close(self) -> None:
        for descriptor in (self._requests, self._answers, self._process):
            if descriptor is not None:
                os.close(descriptor)

    def end(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
        self.close()
