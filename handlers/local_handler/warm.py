"""The worker's side of warm starts: keeps templates and asks them to fork runs.

A run must be the same, warm or not. So if that is in doubt, there is no template, or it does not
answer, the run is started as programs instead. `template` is the other side.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from handlers.local_handler import environments, processes, variables
from handlers.local_handler.attempts import AttemptFolder
from handlers.local_handler.imports import SharedImports
from handlers.local_handler.tasks import Host
from mlgate.orchestration.runs import RunKind, RunSpec

_logger = logging.getLogger(__name__)

# What a kernel has imported when its first cell runs; versions of ipykernel differ.
_OF_KERNELS = (
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "sqlite3",
    "tornado.platform.asyncio",
)
# The kernel's modules are imported first, and before anything of mlgate: the kernels forked from
# the template will have exactly these.
_BOOT = f"""
import copyreg, sys, warnings
sys.path.pop(0)
import ipykernel.kernelapp
for name in {_OF_KERNELS}:
    try:
        __import__(name)
    except ImportError:
        pass
of_kernels = sys.modules, sys.meta_path, warnings.filters, copyreg.dispatch_table
of_kernels = [each.copy() for each in of_kernels]
sys.path.insert(0, sys.argv[1])
from handlers.local_handler import template
template.main(*of_kernels)
"""
_BOOT_FOR_COMMANDS = """
import sys
sys.path[0] = sys.argv[1]
from handlers.local_handler import template
template.commands()
"""
_BOOTS = {RunKind.NOTEBOOK: _BOOT, RunKind.TRAINING: _BOOT_FOR_COMMANDS}
_SOURCES = Path(__file__).resolve().parents[2]
LOG = "templates.log"  # in the home
_KEPT = 3  # templates, of some 70 MB each
# To import. Waiting costs a run nothing: without a template it would import the same itself.
_READY_SECONDS = 10.0
# To fork, which takes a few hundredths of a second, and once to import what renders pages.
_ANSWER_SECONDS = 10.0
_IMPORT_SECONDS = 10.0  # to import libraries that several runs need; the run would do it itself
_FAILURES = 3  # after which a template is not tried again


def begin(home: Path, kind: RunKind) -> Begun | None:
    """Start a template for runs on this Python before there is a handler for `home`.

    Nothing is written there before it is asked for the first run.
    """
    if sys.platform != "linux":
        return None
    processes.leave_no_core()  # as the handler does before it starts anything
    try:
        return Begun(_Key(kind, sys.executable, ()), home.absolute() / LOG, Path(os.devnull))
    except OSError:
        return None


class _Key(NamedTuple):
    """Which runs a template can fork: those with this kind, interpreter, and set of the variables
    that differ between runs."""

    kind: RunKind
    python: str
    variables: tuple[tuple[str, str], ...]


class Templates:
    """The templates of one worker. Only Linux has them: elsewhere processes can't be tracked."""

    def __init__(self, host: Host, log: Path, begun: Begun | None = None) -> None:
        """`begun` is used if it is for runs on the host's own Python."""
        self._host = host
        self._log = log
        self._lock = threading.Lock()
        self._templates: dict[_Key, Begun] = {}  # used longest ago first
        self._asked: set[_Key] = set()
        self._failures: Counter[_Key] = Counter()
        self._imports = SharedImports()
        if begun is not None and begun.key.python == str(host.python):
            self._templates[begun.key] = begun
            self._asked.add(begun.key)

    def _usual(self) -> _Key:
        return _Key(RunKind.NOTEBOOK, str(self._host.python), ())

    def expect(self, snapshot: Path, runs: Sequence[RunSpec]) -> None:
        """Note what the runs of a staged build import."""
        if sys.platform == "linux":
            self._imports.add(snapshot, runs)

    def prewarm(self) -> None:
        """Start a template for runs on the host's own Python."""
        with self._lock:
            self._template(self._usual(), first=True)

    def start(self, spec: RunSpec, folder: AttemptFolder, own: Mapping[str, str]) -> bool:
        """Fork a supervisor for the run; false if the caller must start it as a program.

        `own` are the run's own variables.
        """
        kind = spec.kind
        environment, python = None, self._host.python
        task = folder.task()
        if kind not in _BOOTS or not task or task["failure"]:
            return False
        if any(map(variables.leads_to_code, own)):
            return False
        if plan := task["plan"]:
            root, snapshot = self._host.environments, Path(task["snapshot"])
            asked = environments.Asked(plan, task["python"], snapshot)
            environment = environments.find(root, asked, task["attempt"]["build"])
            if environment is None:
                return False
            python = environments.interpreter(environment)
        if kind is RunKind.TRAINING:
            # Only the launcher runs in the template's Python, and no other variables matter to it.
            # The command is started as a program, with all of them.
            if any(map(variables.shapes_text, own)):
                return False
            own = {}
        key = _Key(kind, str(python), tuple(sorted(own.items())))
        # A package of the run's own tree is its code, too.
        own_code = bool(plan and plan["local"])
        imports = [] if own_code else self._imports.of(Path(task["snapshot"]), spec)
        seconds = _IMPORT_SECONDS if imports else 0.0
        request = {
            "folder": str(folder.path),
            "environment": str(environment) if environment else None,
            "imports": imports,
            "until": time.monotonic() + seconds,
        }
        with self._lock:
            found = self._template(key)
            if found is None or not found.ready():
                return False
            answer = found.ask(json.dumps(request), seconds + _ANSWER_SECONDS)
            if answer is None:
                _logger.info("The template of %s did not answer and was ended.", python)
                self._failures[key] += 1
                self._templates.pop(key).end()
            return answer is True

    def close(self) -> None:
        with self._lock:
            while self._templates:
                self._templates.popitem()[1].end()

    def _template(self, key: _Key, *, first: bool = False) -> Begun | None:
        """The template for `key`; one is started when it is asked for a second time."""
        if sys.platform != "linux":
            return None
        found = self._templates.pop(key, None)
        if found is not None and found.ended():
            self._failures[key] += found.failed
            found.end()
            found = None
        if found is None and self._failures[key] < _FAILURES and (first or key in self._asked):
            try:
                found = Begun(key, self._log)
            except OSError:
                self._failures[key] += 1
        self._asked.add(key)
        if found is not None:
            self._templates[key] = found
            if len(self._templates) > _KEPT:
                self._templates.pop(next(iter(self._templates))).end()
        return found


class Begun:
    """The process of one template: starting, ready, or ended."""

    def __init__(self, key: _Key, log: Path, until_asked: Path | None = None) -> None:
        """It writes to `log`, and until it is asked for a run to `until_asked`, if given."""
        found = variables.for_run(variables.passed_on(os.environ)) | dict(key.variables)
        # PYTHONUNBUFFERED as the launcher sets it for kernels; the mark is overwritten in a fork.
        found |= {"PYTHONUNBUFFERED": "1", processes.MARK: processes.UNMARKED}
        with (until_asked or log).open("ab") as output:
            self._process = subprocess.Popen(
                [key.python, "-c", _BOOTS[key.kind], str(_SOURCES), str(log)],
                bufsize=0,
                cwd="/",
                env=found,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        self.key = key
        self._ready = False
        self._until = time.monotonic() + _READY_SECONDS

    @property
    def failed(self) -> bool:
        """Whether it ended with an error, or before it was ready."""
        return bool(self._process.returncode) or not self._ready

    def ended(self) -> bool:
        return self._process.poll() is not None

    def ready(self) -> bool:
        """Whether it can be asked; waits while it imports."""
        if not self._ready:
            left = max(0.0, self._until - time.monotonic())
            self._ready = self._line(left) == b"ready\n"
        return self._ready

    def ask(self, request: str, seconds: float) -> bool | None:
        """Whether it forked a supervisor; None if it is no longer usable."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{request}\n".encode())
        except OSError:
            return None
        return {b"yes\n": True, b"no\n": False}.get(self._line(seconds))

    def end(self) -> None:
        """End it; the runs that it forked go on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _line(self, seconds: float) -> bytes:
        """The next line of output, or nothing after `seconds`; a line is written in one piece."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        waiting = select.poll()  # `select` would refuse high file descriptors
        waiting.register(output, select.POLLIN)
        return os.read(output, 64) if waiting.poll(seconds * 1000) else b""
