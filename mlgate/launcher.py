"""Runs inside a run, on both backends: executes the notebook or the command, and records it.

One file, and so a long one: it travels alone with every run and is executed by path, by the
interpreter of the run's environment. That is why it imports the standard library only, Jupyter
inside functions, and nothing of ours. Importing it does nothing, so that a warm process may
import it, fork, and call `main`.

    python launcher.py --task TASK --root DIR --output DIR [--events FILE] [--overlay DIR]

Into the output go `log.txt`, `executed.ipynb`, `executed.html`, `kept/` and, last, `outcome.json`;
when the run is told to end, an outcome is there at once, and replaced when it has ended. Exit
codes: 0 the run succeeded, 1 it did not (the outcome says why), any other: no outcome holds.
Environments of Azure ML have older interpreters than a host: Python 3.9 is enough.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # the launcher's own folder: what lies there, if the user's, is not for us

import argparse
import ast
import asyncio
import builtins
import codecs
import contextlib
import fnmatch
import functools
import importlib
import importlib.util
import json
import keyword
import math
import os
import queue
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

# An interpreter that cannot even read this file stops at this line, and prints it.
TOO_OLD = sys.version_info < (OLDEST := (3, 9))  # mlgate needs Python 3.9 or later here

if TYPE_CHECKING:  # older interpreters cannot evaluate these
    Known = Callable[[str], bool]

    # Starts `python -c CODE ...` of this interpreter in a folder, with an environment and a log, in
    # a process that has imported Jupyter before; None where it would not be as a new one.
    Fork = Callable[[Sequence[str], Path, Mapping[str, str], Path], "Child | None"]

Notebook = Any  # nbformat.NotebookNode; so are its cells
METRICS = "outputs/metrics.json"
EXECUTABLE = "executable.json"  # beside this file, where there is one: paths in the root
JUPYTER = ("nbclient", "nbformat", "nbconvert", "ipykernel")

STARTUP_SECONDS = 120.0  # for a kernel to answer, on a busy machine
INTERRUPT_SECONDS = 3.0  # between asking a cell or a command to end, and killing it
SHUTDOWN_SECONDS = 2.0  # for the exit hooks of a finished kernel, which flush what they hold
SAVE_SECONDS = 5.0  # at most, between two saves of a running notebook
MLFLOW_SECONDS = 60.0  # for a tracking server to tell what the run has logged
STORE_SECONDS = 30.0  # between two uploads of the log, where the output is a mounted store
CELL_CHARACTERS = 10_000_000  # kept of what one cell prints; the log has all of it
TAIL_CHARACTERS = 65_536  # of a command's output, searched for a traceback

FIRST = asyncio.FIRST_COMPLETED

# ---- Values ------------------------------------------------------------------------------------


class Failed(Exception):
    """The run has failed: `kind` is a public failure kind, `cell` counts code cells from 1."""

    def __init__(self, kind: str, message: str, cell: int | None = None, trace: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.cell = kind, one_line(message), cell
        self.traceback = excerpt(plain(trace), 150) or None


class Canceled(Exception):
    """The run was told to end."""


@dataclass(frozen=True)
class Task:
    """What to run; `path` and `directory` are relative to the root."""

    kind: str
    path: str = ""
    command: str = ""
    directory: str = "."
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kernel: str | None = None
    cell_timeout_seconds: float = 1200
    outputs: Sequence[str] = ()

    @classmethod
    def read(cls, text: str) -> Task:
        """From JSON, or from a file of it. Fields that are null or unknown do not count."""
        inline = text.lstrip().startswith("{")
        given = json.loads(text if inline else Path(text).read_text("utf-8"))
        names = [field.name for field in fields(cls)]
        return cls(**{name: given[name] for name in names if given.get(name) is not None})


@dataclass(frozen=True)
class Place:
    """Where the run happens: absolute paths, and the environment of what it starts."""

    root: Path
    directory: Path
    output: Path
    overlay: Path | None
    environment: Mapping[str, str]
    fork: Fork | None


@dataclass(frozen=True)
class Raised:
    """An exception as its traceback tells it: `name` is the class's, without its module."""

    name: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name


@dataclass(frozen=True)
class Ended:
    """How a run ended; `logged` are the metrics that MLflow has of it."""

    status: str
    failed: Failed | None
    logged: Mapping[str, float]
    warnings: list[str]


def plain(text: str) -> str:
    """Without terminal sequences and other control characters."""
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07", "", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


def one_line(text: str, limit: int = 500) -> str:
    text = " ".join(plain(text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def excerpt(text: str, lines: int) -> str:
    """The beginning and the end of a long text."""
    every = text.splitlines()
    if len(every) > 2 * lines:
        every[lines:-lines] = ["..."]
    return "\n".join(every)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_atomic(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, "utf-8", errors="replace")
    try:
        part.replace(path)
    except OSError:  # some mounted stores cannot rename
        path.write_text(text, "utf-8", errors="replace")
        part.unlink()


def make_executable(root: Path, listed: Path) -> None:
    """Gives files of the tree, which went through a store, the mode that stores do not keep."""
    try:
        names = json.loads(listed.read_text("utf-8"))
    except OSError:
        return  # none was lost
    for name in names:
        # What cannot be set is told by whoever needs it.
        with contextlib.suppress(OSError, ValueError):
            (root / name).chmod(0o755)


def jupyter(module: str) -> Any:
    """A module that the run's environment has, which need not be the one this is checked in."""
    return importlib.import_module(module)


# ---- Why an exception was raised ---------------------------------------------------------------

# An installed library's version does not fit, unless the name is one of the user's own.
FITS = tuple(
    (name, re.compile(message))
    for name, message in (
        ("TypeError", r"([\w.<>]+)\(\) (?:got an unexpected keyword|takes .* positional argument)"),
        ("AttributeError", r"module '([\w.]+)' has no attribute"),
        ("ImportError", r"cannot import name .* from (?:partially initialized module )?'([\w.]+)'"),
    )
)

# The first row whose class names (as a whole) or messages (anywhere) match decides.
REASONS = tuple(
    (kind, re.compile(names), re.compile(messages, re.IGNORECASE | re.DOTALL))
    for kind, names, messages in (
        ("code", "", r"attempted relative import"),
        (
            "out_of_memory",
            r"\w*MemoryError",
            r"(CUDA|MPS backend) out of memory|CUDA_ERROR_OUT_OF_MEMORY|can(no|')t allocate memory"
            r"|Unable to allocate .* array",
        ),
        (
            "environment",
            r"\w*VersionConflict",
            r"\b(was|were|been|is) removed\b|no longer (supported|available)|undefined symbol"
            r"|dtype size changed|binary incompatib|compiled (using|with|against) NumPy|_ARRAY_API"
            r"|needs NumPy|Descriptors cannot.? be created|__sklearn_tags__|in maintenance mode"
            r"|unsupported pickle protocol|is not a valid package style"
            r"|parameter of \w+ must be .* Got '(mse|mae|ls|lad|deviance|log|auto|none)'"
            r"|'(DataFrame|Series|\w*Index)' object has no attribute "
            r"'(append|iteritems|ix|as_matrix|get_value|lookup|mad|is_monotonic)'"
            r"|object has no attribute 'get_feature_names'",
        ),
        (
            "dependency",
            r"DistributionNotFound|PackageNotFoundError|\w*(ExecutableNotFound|NotInstalled)\w*",
            r"Missing optional dependency|\bnot installed|(pip|conda) install|to be installed"
            r"|cannot open shared object|Library not loaded|command not found|exit status 127\b"
            r"|Can't find model '|Java gateway process exited|JAVA_HOME is not"
            r"|is not an IPython extension|No module named|MovieWriter \(\w+\) not available",
        ),
        ("environment", r"ImportError", r"\Z."),
        (
            "data",
            r"FileNotFoundError|NotADirectoryError",
            r"No such file or directory|unable to open database file|(file|path)\b.* does not exist"
            r"|Resource \S+ not found.*NLTK",
        ),
        (
            "network",
            r"Connect\w*|Read(Timeout|Error)\w*|\w*ProtocolError|NetworkError|URLError|gaierror"
            r"|SSL\w*|ProxyError|MaxRetryError|NameResolutionError|RemoteDisconnected|IncompleteRead"
            r"|ChunkedEncodingError|NewConnectionError|LocalEntryNotFoundError"
            r"|Client\w*(Connector|OS)Error|Server\w*(Timeout|Disconnected)\w*|ServiceRequestError"
            r"|EndpointConnectionError",
            r"Name or service not known|name resolution|getaddrinfo failed|Network is unreachable"
            r"|Connection (refused|reset|aborted|timed out)|Max retries exceeded|couldn't connect"
            r"|Failed to establish a new connection|Remote end closed connection|urlopen error"
            r"|certificate verify failed|^(The read operation )?timed out$",
        ),
    )
)

# Says so little that what caused it decides; so does every class that is not built in.
GENERIC = {"BaseException", "Exception", "RuntimeError", "OSError", "ValueError"}

TRACEBACK = re.compile(r"^(?:(\w+) +)?Traceback \(most recent call last\)", re.MULTILINE)
CHAINED = re.compile(
    r"\n\s*(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):?\s*\n"
)


def classify(error: Raised, installed: Known, own: Known) -> str:
    """The failure kind of an exception.

    `installed` tells whether a top-level module can be imported, `own` whether the user's code
    defines a module, class or function of that name.
    """
    kind = _classify_alone(error, installed, own)
    if kind == "code" and (error.name in GENERIC or not hasattr(builtins, error.name)):
        for block in reversed(CHAINED.split(error.traceback)[:-1]):
            cause = parse_traceback(block)
            if cause and (kind := _classify_alone(cause, installed, own)) != "code":
                break
    return kind


def _classify_alone(error: Raised, installed: Known, own: Known) -> str:
    name, message = error.name, error.message
    if name == "ModuleNotFoundError":
        found = re.search(r"No module named '?([\w.]+)", message)
        top, _, submodule = (found[1] if found else "").partition(".")
        return "environment" if submodule and installed(top) else "dependency"
    for fit_name, fit in FITS:
        if name == fit_name and (found := fit.search(message)):
            first = found[1].split(".")[0]
            return "code" if first.startswith("<") or own(first) else "environment"
    if name == "FileNotFoundError" and "_execute_child" in error.traceback:
        return "dependency" if re.search(r"directory: '[^/']+'", message) else "data"
    if status := http_status(message):
        if status in (408, 429) or status >= 500:
            return "network"
        return "data" if status in (401, 403, 404, 410) else "code"
    for kind, names, messages in REASONS:
        if names.fullmatch(name) or messages.search(message):
            return kind
    return "code"


def http_status(message: str) -> int | None:
    """An HTTP error, as urllib, requests, httpx and their users word it."""
    found = re.search(
        r"HTTP Error ([45]\d\d)\b|\b([45]\d\d) (?:Client|Server) Error"
        r"|(?:Client|Server) error '([45]\d\d)|\bstatus(?:[ _]code)?[ :=]+([45]\d\d)\b",
        message,
        re.IGNORECASE,
    )
    return int(next(filter(None, found.groups()))) if found else None


def parse_traceback(text: str) -> Raised | None:
    """The exception that ends the last traceback in a text, be it Python's own or IPython's."""
    starts = list(TRACEBACK.finditer(text))
    if not starts:  # a syntax error in the script itself has no such line
        error = re.search(r"(?:^|\n)(\w+(?:Error|Interrupt)): (.*)\s*$", text)
        return Raised(error[1], error[2], text.strip()[-2000:]) if error else None
    begin = starts[-1].start()
    for earlier in reversed(starts[:-1]):
        if not CHAINED.search(text, earlier.start(), begin):
            break
        begin = earlier.start()
    name = starts[-1][1] or r"[A-Za-z_]\w*"
    ends = re.compile(rf"^(?:\w+\.)*({name})(?:: ?(.*))?$", re.MULTILINE)
    error = ends.search(text, starts[-1].end())
    if not error:
        return None
    return Raised(error[1], error[2] or "", text[begin : error.end() + 2000].strip())


def installed_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def own_names(place: Place, cells: Sequence[str] = ()) -> Known:
    """Tells whether the user's modules, the sources of cells, or files define a name."""

    def texts() -> Iterator[str]:
        yield from cells
        for path in sorted(place.root.rglob("*.py"))[:500]:
            with contextlib.suppress(OSError):
                yield path.read_text("utf-8", "replace")

    def own(name: str) -> bool:
        for folder in (place.directory, place.root):
            if (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file():
                return True
        name = re.escape(name)
        defines = re.compile(
            rf"^\s*(?:(async\s+)?def|class)\s+{name}\b|^\s*{name}\s*=", re.MULTILINE
        )
        return any(defines.search(text) for text in texts())

    return own


# ---- Parameters, as papermill injects them -----------------------------------------------------


def literal(value: Any) -> str:
    """A JSON value as Python source."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def assigned_names(source: str) -> set[str]:
    """The variables that a cell sets at its top level, read leniently when it holds magics."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return set(re.findall(r"^(\w+)\s*(?::[^=\n]*)?=(?!=)", source, re.MULTILINE))
    targets: list[ast.expr] = []
    for statement in body:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}


def tags(cell: Mapping[str, Any]) -> Sequence[str]:
    return cell["metadata"].get("tags") or ()


def inject(cells: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """The cells with one more, or the one of an earlier run replaced; and what is odd about it."""
    if not parameters:
        return list(cells), []
    if wrong := [name for name in parameters if not name.isidentifier() or keyword.iskeyword(name)]:
        raise Failed("invalid", f"not a Python name, so no parameter: {', '.join(wrong)}")
    code = [(i, c) for i, c in enumerate(cells) if c["cell_type"] == "code"]
    tagged = next((i for i, c in code if "parameters" in tags(c)), None)
    earlier = next((i for i, c in code if "injected-parameters" in tags(c)), None)
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "injected-parameters",
        "metadata": {"tags": ["injected-parameters"]},
        "execution_count": None,
        "outputs": [],
        "source": "\n".join(
            ["# Parameters", *(f"{name} = {literal(value)}" for name, value in parameters.items())]
        ),
    }
    if earlier is not None:
        injected = [*cells[:earlier], cell, *cells[earlier + 1 :]]
    else:
        at = 0 if tagged is None else tagged + 1
        injected = [*cells[:at], cell, *cells[at:]]
    if tagged is None:
        return injected, ["no cell is tagged `parameters`: the parameters may have no effect"]
    unknown = sorted(set(parameters) - assigned_names(cells[tagged]["source"]))
    text = "parameter `{}` is not defined in the cell tagged `parameters`"
    return injected, [text.format(name) for name in unknown]


# ---- Processes ---------------------------------------------------------------------------------


class Child(Protocol):
    """A child process that leads a session of its own."""

    pid: int

    def wait(self) -> int:
        """Its exit code, negative for a signal."""
        ...


def start_program(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], output: int
) -> Child:
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class Process:
    """A child that leads a session of its own, and does not outlive the launcher.

    `ended` is done, with the exit code (negative: the signal), once the child has ended. A guard
    beside it kills the whole group, and removes the scratch folder, when its own input ends: as
    it does if the launcher is killed.
    """

    def __init__(self, child: Child, scratch: str = "") -> None:
        self.pid = child.pid
        guard = 'read _; kill -KILL "-$0"; rm -rf "$1"'
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", guard, str(self.pid), scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.ended = asyncio.ensure_future(asyncio.to_thread(child.wait))

    def signal(self, number: int) -> None:
        """To the whole group, which may hold more than the child, or nothing any more."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def kill(self) -> int:
        """Ends the group, and returns the child's exit code."""
        self.signal(signal.SIGKILL)
        self._guard.kill()
        self._guard.communicate()
        return await self.ended


def adopt_orphans() -> None:
    """Makes what a run leaves in the background a child of the launcher, so that it is found."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, prctl(2)


def kill_children() -> None:
    """Kills what is left, down to the last adopted grandchild. Nothing of ours runs any more."""
    for _ in range(100):
        children = ""
        for path in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):  # the thread has ended
                children += path.read_text()
        if not children:
            return
        for pid in map(int, children.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def oom_kills() -> int:
    """How many processes were killed for memory here so far, as far as can be known."""
    groups = "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"
    total = 0
    for path in ("/proc/vmstat", *groups):
        with contextlib.suppress(OSError):
            found = re.search(r"^oom_kill (\d+)", Path(path).read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total


def exit_text(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "a signal"
    return f"killed by {name} (signal {-code})"


def peak_memory() -> str:
    """Of the children that have ended."""
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024  # see getrusage(2)
    return f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit:.0f} MiB"


# ---- Kernels -----------------------------------------------------------------------------------

OTHER_LANGUAGES = re.compile(
    r"(i?r|irkernel|sparkr?|ijulia|julia|i?java|scala|almond|kotlin|i?javascript|jslab|typescript|"
    r"tslab|deno|bash|zsh|i?powershell|pwsh|gophernotes|go|rust|evcxr|x?c(pp)?|cling|\.net|csharp|"
    r"fsharp|clojure|i?ruby|i?perl|i?php|i?lua|octave|matlab|stata|sas|i?haskell|ocaml|x?sql|"
    r"wolframlanguage|maxima|swift)([-_.\d].*)?",
    re.IGNORECASE,
)


# Else a kernel may not end: ipykernel's thread that publishes goes first, and the one that answers
# the request to shut down waits for it.
KERNEL = """
from ipykernel.kernelapp import IPKernelApp

class App(IPKernelApp):
    def start(self):
        super().start()
        if self.control_thread:
            self.control_thread.stop()
            self.control_thread.join()

App.launch_instance()
"""


def choose_kernel(
    asked: str | None, metadata: Mapping[str, Any], language_of: Callable[[str], str | None]
) -> tuple[str, str | None]:
    """The kernel's name, and a warning when it is not the one that was named.

    `language_of` gives the language of an installed kernel, None for one that is not installed.
    Raises `Failed` (`invalid`) for a language other than Python.
    """
    spec, info = metadata.get("kernelspec") or {}, metadata.get("language_info") or {}
    name = asked or spec.get("name") or ""
    known = "python" if name == "python3" else language_of(name) if name else None
    other = name if OTHER_LANGUAGES.fullmatch(name) else None
    for language in (info.get("name"), spec.get("language"), known or other):
        if language and "python" not in language.lower():
            text = f"only Python notebooks can be run, and this one is in {language}"
            raise Failed("invalid", text)
    if known:
        return name, None
    found = f"the kernel `{name}` is not known here" if name else "the notebook names no kernel"
    return "python3", f"{found}: `python3` was used"


def installed_kernel(name: str) -> Any | None:
    specs = jupyter("jupyter_client.kernelspec")
    try:
        return specs.KernelSpecManager(ensure_native_kernel=False).get_kernel_spec(name)
    except specs.NoSuchKernel:
        return None


def kernel_command(name: str, overlay: Path | None) -> tuple[list[str], dict[str, str]]:
    """Arguments and variables that start a kernel, `{connection_file}` left to fill in.

    `python3` is this very interpreter, whatever a kernelspec of that name may say.
    """
    if name != "python3" and (spec := installed_kernel(name)):
        arguments = [a.replace("{resource_dir}", spec.resource_dir) for a in spec.argv]
        return arguments, dict(spec.env)
    start = KERNEL
    if overlay:  # last on the path: what the environment has of its own comes first
        start = f"import sys; sys.path.append({str(overlay)!r})\n{start}"
    history = "--HistoryManager.hist_file=:memory:"
    parent = f"--IPKernelApp.parent_handle={os.getpid()}"
    return [sys.executable, "-c", start, "-f", "{connection_file}", history, parent], {}


class Kernel:
    """A kernel process, and the client that talks to it.

    Not Jupyter's manager starts it but we: while most of Jupyter is still to be imported; and on
    sockets in a private folder, as a TCP port that was found free may be taken by the time the
    kernel binds it.
    """

    def __init__(self, name: str, place: Place, log: Log) -> None:
        # The path of a socket has 107 characters at most, which TMPDIR alone may have.
        short = "/tmp" if os.access("/tmp", os.W_OK) else None  # noqa: S108 -- mkdtemp is safe there
        arguments, variables = kernel_command(name, place.overlay)
        self.folder = Path(tempfile.mkdtemp(prefix="mlgate-", dir=short))
        self.connection: dict[str, Any] = {
            "transport": "ipc",
            "ip": str(self.folder / "k"),
            "key": uuid.uuid4().hex,
            "signature_scheme": "hmac-sha256",
            "kernel_name": name,
        }
        for number, channel in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1):
            self.connection[f"{channel}_port"] = number
        file = self.folder / "connection.json"
        file.write_text(json.dumps(self.connection))
        self.oom_kills = oom_kills()
        arguments = [a.replace("{connection_file}", str(file)) for a in arguments]
        variables = {**place.environment, **variables, "JPY_PARENT_PID": str(os.getpid())}
        child = None
        if place.fork and name == "python3":
            child = place.fork(arguments, place.directory, variables, Path(log.file.name))
        if child is None:
            child = start_program(arguments, place.directory, variables, log.file.fileno())
        self.process = Process(child, str(self.folder))

    async def answer(self) -> dict[str, Any]:
        """Connects, and returns the kernel's info once it answers on both channels."""
        context = jupyter("zmq.asyncio").Context()
        context.rcvhwm = 0  # no limit, else a cell that displays a lot loses some of it
        context.reconnect_ivl = 10  # milliseconds, for the kernel is not there yet
        self.client = jupyter("jupyter_client.asynchronous").AsyncKernelClient(context=context)
        self.client.load_connection_info(self.connection)
        self.client.start_channels(stdin=False, hb=False)
        while True:
            self.client.kernel_info()
            with contextlib.suppress(queue.Empty):
                reply = await self.client.get_shell_msg(timeout=1)
                await self.client.get_iopub_msg(timeout=0.2)
                return dict(reply["content"])

    async def end(self, grace: float) -> None:
        """Asks the kernel to shut down and, if there is no grace or it has passed, kills it."""
        if grace:
            self.client.shutdown()
            await asyncio.wait({self.process.ended}, timeout=grace)
        await self.process.kill()
        if hasattr(self, "client"):
            self.client.stop_channels()
        shutil.rmtree(self.folder, ignore_errors=True)

    def death(self, label: str) -> Failed:
        how = f"{exit_text(self.process.ended.result())}, peak memory {peak_memory()}"
        if "SIGKILL" in how and oom_kills() > self.oom_kills:
            return Failed("out_of_memory", f"memory ran out in {label}: the kernel was {how}")
        return Failed("kernel_died", f"the kernel died in {label}: {how}")


# ---- What is told while it runs ----------------------------------------------------------------


class Log:
    """The log, the live events and the warnings of the run."""

    def __init__(self, output: Path, events: str) -> None:
        (output / "log.txt").write_bytes(b"")
        # Appended to, as the kernel writes to the same file what it cannot send.
        self.file = (output / "log.txt").open("a", encoding="utf-8", errors="replace")
        self.events = Path(events).open("a", encoding="utf-8")  # noqa: SIM115 -- to the very end
        self.warnings: list[str] = []
        self._line_open = False

    def write(self, text: str) -> None:
        self.file.write(text)
        self.file.flush()
        if text:
            self._line_open = not text.endswith("\n")

    def line(self, text: str) -> None:
        self.write(("\n" if self._line_open else "") + text + "\n")

    def warn(self, text: str) -> None:
        self.warnings.append(one_line(text))
        self.line(f"warning: {self.warnings[-1]}")

    def store(self) -> None:
        """Has a mounted store upload what was written, which it may do on closing only.

        Closing a copy of the descriptor is enough: see `flush` of libfuse's `fuse_operations`.
        """
        with contextlib.suppress(OSError):  # there will be another time, the last being the exit
            os.close(os.dup(self.file.fileno()))

    async def store_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(STORE_SECONDS)
            await asyncio.to_thread(self.store)

    def event(self, name: str, **fields: Any) -> None:
        self.events.write(json.dumps({"event": name, **fields}) + "\n")
        self.events.flush()


# ---- Notebooks ---------------------------------------------------------------------------------


def read_notebook(path: Path, log: Log) -> Notebook:
    """The notebook in format 4, without any output; `Failed` (`invalid`) when it is none."""
    try:
        content = path.read_bytes()
    except OSError:
        raise Failed("invalid", f"there is no notebook {path.name} here") from None
    if content.startswith(b"version https://git-lfs"):
        raise Failed("invalid", f"{path.name} is a Git LFS pointer: set `repository.lfs`")
    nbformat = jupyter("nbformat")
    try:
        notebook: Notebook = nbformat.reader.reads(content.decode("utf-8-sig"))
        if notebook.nbformat < 4:
            log.warn(f"the notebook was upgraded from format {notebook.nbformat} to 4")
        notebook = nbformat.convert(notebook, 4)
        for part in (notebook, *notebook.cells):
            part.metadata = part.get("metadata") or nbformat.NotebookNode()
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            cell.setdefault("source", "")
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
    except Exception as error:  # noqa: BLE001 -- what is no notebook fails in any way it likes
        raise Failed("invalid", f"{path.name} is not a readable notebook: {error}") from None
    return notebook


def cell_error(reply: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> Raised | None:
    """What a cell raised, be it while it ran or while one of its values was displayed.

    IPython shows an error of the latter kind and goes on: the reply then says "ok", or "error"
    without a name, and only the output tells. `exit()` and `quit()` raise nothing in a kernel,
    they ask it to shut down; that is taken for the `SystemExit` it is everywhere else.
    """
    shown = [output for output in outputs if output["output_type"] == "error"]
    if reply["status"] == "ok" and not shown:
        for payload in reply.get("payload") or ():
            if payload.get("source") == "ask_exit":
                code = payload.get("keepkernel")  # the first argument, whatever it is meant for
                silent = isinstance(code, (bool, type(None)))
                return Raised("SystemExit", "" if silent else str(code))
        return None
    unnamed = reply.get("ename") in (None, "", "NoneType")
    error = shown[0] if shown and unnamed else reply
    trace = plain("\n".join(error.get("traceback") or ()))
    name, message = error.get("ename"), plain(error.get("evalue") or "")
    if not name:
        name, _, message = trace.strip().rpartition("\n")[2].partition(": ")
    return Raised(name or "Error", message, trace)


def make_client(notebook: Notebook, log: Log, channels: Any) -> Any:
    """nbclient's client, made to log as it reads and to leave the judging to us, by its `reply`."""
    base = jupyter("nbclient").NotebookClient

    def keep_reply(*, execute_reply: Any, **_: Any) -> None:
        client.reply, client.printed = execute_reply["content"], 0

    def output(self: Any, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "stream":
            name, text = msg["content"]["name"], msg["content"]["text"]
            log.write(text)
            before, self.printed = self.printed, self.printed + len(text)
            if self.printed > CELL_CHARACTERS:
                if before <= CELL_CHARACTERS:
                    log.warn("a cell prints so much that only the log has all of it")
                return None
            hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
            same = outs and outs[-1].get("name") == name and not hooked
            if same and not self.clear_before_next_output:
                outs[-1]["text"] += text  # one output, not one for each message
                return None
        return base.output(self, outs, msg, display_id, cell_index)

    own = type("Client", (base,), {"output": output, "printed": 0})
    client: Any = own(notebook, allow_errors=True, iopub_timeout=60, on_cell_executed=keep_reply)
    client.kc = channels
    return client


class NotebookRun:
    """One notebook from the first cell to the last, its evidence saved as it goes."""

    def __init__(self, task: Task, place: Place, log: Log, stopped: asyncio.Future[None]) -> None:
        self.task, self.place, self.log, self.stopped = task, place, log, stopped
        self.path = place.root / task.path
        self.warming = threading.Thread(target=prepare_rendering, daemon=True)
        self.saved, self.saved_at = "", 0.0
        self.grace = 0.0  # for the kernel, once it has answered and while it does as it is told

    async def run(self) -> None:
        """Raises `Failed` or `Canceled`; either way the notebook is saved and rendered."""
        name = self._prepare()
        self.log.event("started", cells_total=self.total, at=now())
        self._save()
        try:
            self.kernel = Kernel(name, self.place, self.log)
        except OSError as error:
            raise Failed("environment", f"the kernel `{name}` did not start: {error}") from None
        try:
            await self._start(name)
            await self._run_cells()
        finally:
            self._save()
            ending = asyncio.ensure_future(self.kernel.end(self.grace))
            await asyncio.sleep(0)  # the request is sent, so the kernel ends while we render
            self._render()
            await ending

    def _prepare(self) -> str:
        """Reads the notebook and makes it ready; the name of the kernel to run it with."""
        self.notebook = read_notebook(self.path, self.log)
        code = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        for number, cell in enumerate(code, 1):
            cell.metadata["mlgate"] = {"number": number, "status": "not_run", "seconds": None}
        self.total = len(code)
        name, warning = choose_kernel(
            self.task.kernel,
            self.notebook.metadata,
            lambda name: getattr(installed_kernel(name), "language", None),
        )
        cells, warnings = inject(self.notebook.cells, self.task.parameters)
        for text in [warning, *warnings] if warning else warnings:
            self.log.warn(text)
        self.notebook.cells = [jupyter("nbformat").from_dict(cell) for cell in cells]
        if self.notebook.nbformat_minor < 5:  # cells have ids from 4.5 on
            for cell in self.notebook.cells:
                cell.pop("id", None)
        return name

    async def _start(self, name: str) -> None:
        """Waits for the kernel; imports meanwhile what is needed once it is there."""
        jupyter("nbclient")
        self.warming.start()
        answer = asyncio.ensure_future(self.kernel.answer())
        how = await self._wait(answer, STARTUP_SECONDS)
        if how != "done":
            answer.cancel()
        if how == "canceled":
            raise Canceled
        if how != "done":
            why = exit_text(self.kernel.process.ended.result()) if how == "died" else "no answer"
            raise Failed("environment", f"the kernel `{name}` did not start: {why}")
        self.notebook.metadata["language_info"] = answer.result().get("language_info", {})
        self.client = make_client(self.notebook, self.log, self.kernel.client)
        self.grace = SHUTDOWN_SECONDS

    async def _run_cells(self) -> None:
        executed = 0
        for index, cell in enumerate(self.notebook.cells):
            if cell.cell_type != "code":
                continue
            if "skip-execution" in tags(cell):
                self._finish(cell, "skipped", 0.0)
                continue
            executed += bool(cell.source.strip())
            if await self._run_cell(index, cell):
                last = self._number(cell) or 0
                if rest := [str(number) for number in range(last + 1, self.total + 1)]:
                    cells = rest[0] if len(rest) == 1 else f"{rest[0]} to {rest[-1]}"
                    self.log.warn(f"cell {last} ended the notebook early; not run: {cells}")
                break
        if not executed:
            self.log.warn("nothing was executed: no code cell was there to run")

    async def _run_cell(self, index: int, cell: Notebook) -> bool:
        """Whether the cell ended the notebook, as it may; raises when it failed."""
        number = self._number(cell)
        label = f"cell {number}" if number else "the injected parameters"
        self.log.line(f"[{label}/{self.total}]" if number else f"[{label}]")
        started, status = time.monotonic(), "failed"
        try:
            ended = await self._execute(index, cell, label)
            status = "succeeded"
        except Failed as failed:
            trace = failed.traceback or failed.message
            self.log.line(trace)
            source = f"{label}:\n{excerpt(cell.source, 10)}\n\n"
            raise Failed(failed.kind, failed.message, number, source + trace) from None
        finally:
            self._finish(cell, status, time.monotonic() - started)
        return ended

    async def _execute(self, index: int, cell: Notebook, label: str) -> bool:
        work = asyncio.ensure_future(self.client.async_execute_cell(cell, index))
        how = await self._wait(work, self.task.cell_timeout_seconds)
        if how != "done":
            await self._give_up(work)
        if how == "canceled":
            raise Canceled
        if how == "died":
            raise self.kernel.death(label)
        if how == "timeout":
            limit = f"{self.task.cell_timeout_seconds:g} seconds"
            raise Failed("timeout", f"{label} was not done after {limit}")
        work.result()
        error = cell_error(self.client.reply, cell.outputs) if cell.source.strip() else None
        expected = "raises-exception" in tags(cell)
        if error is None and expected:
            self.log.warn(f"{label} is tagged raises-exception but raised nothing")
        if error is None or expected:
            return False
        if error.name == "SystemExit" and error.message in ("", "0", "None", "False"):
            return True
        sources = [c.source for c in self.notebook.cells if c.cell_type == "code"]
        kind = classify(error, installed_module, own_names(self.place, sources))
        raise Failed(kind, str(error), None, error.traceback)

    async def _wait(self, work: asyncio.Future[Any], seconds: float) -> str:
        """Until the work is "done", unless "timeout", "died" (the kernel) or "canceled"."""
        deadline = time.monotonic() + seconds
        ended = self.kernel.process.ended
        while True:
            pause = min(SAVE_SECONDS, max(0.0, deadline - time.monotonic()))
            await asyncio.wait({work, ended, self.stopped}, timeout=pause, return_when=FIRST)
            if ended.done() and not work.done():  # what the kernel sent last may be under way
                await asyncio.wait({work}, timeout=0.2)
            if work.done():
                return "done"
            if self.stopped.done() or ended.done():
                return "canceled" if self.stopped.done() else "died"
            if time.monotonic() >= deadline:
                return "timeout"
            self._save_now_and_then()

    async def _give_up(self, work: asyncio.Future[Any]) -> None:
        """Interrupts the cell, so that its output is complete, and kills it if that is no use."""
        self.grace = 0.0
        process = self.kernel.process
        process.signal(signal.SIGINT)
        await asyncio.wait({work, process.ended}, timeout=INTERRUPT_SECONDS, return_when=FIRST)
        if not work.done():
            await process.kill()
            work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    def _number(self, cell: Notebook) -> int | None:
        number: int | None = cell.metadata.get("mlgate", {}).get("number")
        return number

    def _finish(self, cell: Notebook, status: str, seconds: float) -> None:
        if number := self._number(cell):
            seconds = round(seconds, 3)
            cell.metadata["mlgate"].update(status=status, seconds=seconds)
            self.log.event("cell", number=number, status=status, seconds=seconds)
        self._save_now_and_then()

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self.saved_at >= SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        if hasattr(self, "client"):
            self.client.set_widgets_metadata()
        text: str = jupyter("nbformat.v4").writes(self.notebook)
        if text != self.saved:  # a mounted store uploads whatever is written
            write_atomic(self.place.output / "executed.ipynb", text)
            self.saved = text
        self.saved_at = time.monotonic()

    def _render(self) -> None:
        try:
            if self.warming.ident:
                self.warming.join()
            write_atomic(self.place.output / "executed.html", render(self.notebook, self.path))
        except Exception as error:  # noqa: BLE001 -- a template may fail in any way it likes
            self.log.warn(f"the notebook could not be rendered as HTML: {error}")


# ---- The notebook as a page --------------------------------------------------------------------

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


@functools.lru_cache
def exporter() -> Any:
    """One for all pages, as it compiles its templates when it is first used."""
    html = jupyter("nbconvert.exporters.html")
    return html.HTMLExporter(raw_template=TEMPLATE, embed_images=True)


def render(notebook: Notebook, path: Path) -> str:
    """One self-contained page in which nothing runs: scripts in outputs are inert by policy."""
    resources = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    page: str = exporter().from_notebook_node(notebook, resources)[0]
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return page.replace("<head>", f"<head>{policy}", 1)


@functools.lru_cache
def prepare_rendering() -> None:
    """Pays for imports and templates early: a second that would come after the last cell."""
    with contextlib.suppress(Exception):  # the real rendering will fail in the same way, and say so
        v4 = jupyter("nbformat.v4")
        cells = [v4.new_code_cell("pass"), v4.new_markdown_cell("*")]
        render(v4.new_notebook(cells=cells), Path("warm"))


# ---- Commands ----------------------------------------------------------------------------------


async def run_command(
    arguments: Sequence[str], place: Place, log: Log, stopped: asyncio.Future[None]
) -> tuple[int, str]:
    """The exit code and the last output of a command that is logged as it runs; or `Canceled`."""
    reading, writing = os.pipe()
    process = Process(start_program(arguments, place.directory, place.environment, writing))
    os.close(writing)
    tail = ""

    def read() -> None:
        nonlocal tail
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := os.read(reading, 65_536):
            text = decoder.decode(chunk)
            log.write(text)
            tail = (tail + text)[-TAIL_CHARACTERS:]

    # A daemon, as something that escaped us may hold the other end for ever.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    ends: set[asyncio.Future[Any]] = {process.ended, stopped}
    await asyncio.wait(ends, return_when=FIRST)
    if stopped.done() and not process.ended.done():
        process.signal(signal.SIGTERM)
        await asyncio.wait({process.ended}, timeout=INTERRUPT_SECONDS)
    code = await process.kill()
    kill_children()
    await asyncio.to_thread(reader.join, 2.0)
    if stopped.done():
        raise Canceled
    return code, plain(tail)


async def run_training(task: Task, place: Place, log: Log, stopped: asyncio.Future[None]) -> None:
    """Raises `Failed` or `Canceled`."""
    log.event("started", cells_total=None, at=now())
    kills = oom_kills()
    shell = shutil.which("bash") or "/bin/sh"
    code, tail = await run_command([shell, "-c", task.command], place, log, stopped)
    if code:
        raise command_failure(code, tail, oom_kills() > kills, installed_module, own_names(place))


def command_failure(
    code: int, tail: str, out_of_memory: bool, installed: Known, own: Known
) -> Failed:
    """Why a command failed, from its exit code (negative: a signal) and the end of its output."""
    last = (tail.strip().splitlines() or [""])[-1]
    error = parse_traceback(tail)
    if code > 128 and not error and code - 128 in set(signal.Signals):
        code = 128 - code  # as a shell reports the signal that ended its last command
    if code == -signal.SIGKILL and out_of_memory:
        how = f"{exit_text(code)}, peak memory {peak_memory()}"
        return Failed("out_of_memory", f"memory ran out: the command was {how}")
    if code < 0:
        return Failed("code", f"the command was {exit_text(code)}")
    missing = "No such file" in last or "Permission denied" in last
    if "can't open file" in last or (code in (126, 127) and missing):
        return Failed("invalid", f"the command could not start: {last}")
    if code == 127 or re.search(r"python[\d.]*: No module named", last):
        return Failed("dependency", last or exit_text(code))
    if error:
        return Failed(classify(error, installed, own), str(error), None, error.traceback)
    return Failed("code", f"the command {exit_text(code)}" + (f": {last}" if last else ""))


# ---- What a run leaves -------------------------------------------------------------------------


def metrics_of_file(path: Path) -> tuple[dict[str, float], list[str]]:
    """The numbers in a flat JSON object; truth values are none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as error:
        return {}, [f"{METRICS} cannot be read: {error}"]
    if not isinstance(content, dict):
        return {}, [f"{METRICS} is not a JSON object, so it has no metrics"]
    numbers = {k: v for k, v in content.items() if type(v) in (int, float)}
    others = [k for k, v in content.items() if k not in numbers and not isinstance(v, bool)]
    warnings = [f"not a number in {METRICS}: {', '.join(others)}"] if others else []
    return numbers, warnings


def metrics_of_database(path: Path) -> tuple[dict[str, float], list[str]]:
    """The latest value of each key, read from MLflow's own table in a SQLite store."""
    query = "SELECT key, value, is_nan FROM latest_metrics ORDER BY timestamp, step"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return {key: math.nan if nan else value for key, value, nan in db.execute(query)}, []
    except sqlite3.Error as error:
        return {}, [] if "no such table" in str(error) else [f"MLflow's metrics: {error}"]


# Tells, a JSON value a line, of each metric of the run and of the runs nested in it; and, as text,
# what went wrong: no message of MLflow's, which may hold the credentials of the store. An MLflow
# that is not there, or does not know the store, has logged nothing to it.
ASK_MLFLOW = """
import sys
sys.path[:] = filter(None, sys.path)  # nothing of the working directory
import json, os

answer, nowhere = os.fdopen(os.dup(1), "w"), os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)
try:
    from mlflow.tracking import MlflowClient
except ImportError:
    sys.exit()

def tell(value):
    print(json.dumps(value), file=answer, flush=True)

def tell_metrics(run):
    for metric in run.data.to_proto().metrics:
        tell([metric.key, metric.value, metric.timestamp, metric.step])

try:
    client, token = MlflowClient(), None
    run = client.get_run(os.environ["MLFLOW_RUN_ID"])
    tell_metrics(run)
    nested = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    while True:
        page = client.search_runs([run.info.experiment_id], nested, page_token=token)
        for child in page:
            tell_metrics(child)
        token = page.token
        if not token:
            break
except Exception as error:
    name = type(error).__name__
    if not name.startswith("Unsupported"):
        tell(f"{name} {getattr(error, 'error_code', '')}".strip())
"""


async def metrics_of_server(
    place: Place, stopped: asyncio.Future[None], seconds: float = MLFLOW_SECONDS
) -> tuple[dict[str, float], list[str]]:
    """The latest value of each key, as far as the environment's own MLflow can tell in time."""
    command = [sys.executable, "-c", ASK_MLFLOW]
    with tempfile.TemporaryFile() as answer:
        process = Process(
            start_program(command, place.directory, place.environment, answer.fileno())
        )
        ends: set[asyncio.Future[Any]] = {process.ended, stopped}
        await asyncio.wait(ends, timeout=seconds, return_when=FIRST)
        in_time = process.ended.done()
        code = await process.kill()
        answer.seek(0)
        lines = answer.read().decode("utf-8", "replace").splitlines()
    told = []
    for line in lines:
        with contextlib.suppress(ValueError):  # half a line
            told.append(json.loads(line))
    problems = [value for value in told if isinstance(value, str)]
    if not in_time:
        late = "the run was told to end" if stopped.done() else f"no answer in {seconds:g} seconds"
        problems.append(late)
    elif code:
        problems.append(f"the client {exit_text(code)}")
    rows = sorted((row for row in told if isinstance(row, list)), key=lambda row: (row[2], row[3]))
    warnings = [f"metrics of MLflow's tracking server may be missing: {p}" for p in problems]
    return {key: value for key, value, _, _ in rows}, warnings


async def metrics_of_mlflow(
    place: Place, stopped: asyncio.Future[None]
) -> tuple[dict[str, float], list[str]]:
    """What the run has logged: to a SQLite store of its own, or to the run that it was given."""
    uri = place.environment.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("sqlite:///"):
        path = place.directory / uri[len("sqlite:///") :].partition("?")[0]
        return metrics_of_database(path) if path.is_file() else ({}, [])
    if not uri or not place.environment.get("MLFLOW_RUN_ID") or stopped.done():
        return {}, []
    return await metrics_of_server(place, stopped)


def collect_metrics(
    place: Place, logged: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """Finite numbers only, as a metric that is none must fail its gate."""
    written, warnings = metrics_of_file(place.directory / METRICS)
    metrics = {}
    for key, value in sorted({**logged, **written}.items()):
        if abs(value) < sys.float_info.max:  # which MLflow stores for infinity; false for NaN
            metrics[key] = float(value)
        else:
            warnings.append(f"the metric `{key}` is left out: it is {value}, not a finite number")
    return metrics, warnings


def matching_files(
    folder: Path, parts: Sequence[str], place: Place, above: Sequence[Path] = ()
) -> Iterator[Path]:
    """Files below a folder by the parts of a pattern as `glob` has them, hidden files too.

    Links are followed, but neither out of the root nor back to a folder that they are in.
    """
    real = folder.resolve()
    inside = real.is_relative_to(place.root) and not real.is_relative_to(place.output)
    if not parts or not inside or real in above:
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from matching_files(folder, rest or ("*",), place, above)
        rest = parts  # to any depth
    try:
        paths = [path for path in folder.iterdir() if fnmatch.fnmatchcase(path.name, first)]
    except OSError:
        return
    for path in paths:
        if path.is_dir():
            yield from matching_files(path, rest, place, (*above, real))
        elif not rest and path.is_file() and path.resolve().is_relative_to(place.root):
            yield path


def keep_outputs(task: Task, place: Place) -> tuple[list[str], list[str]]:
    """Copies what is to be kept into `kept/`; the sorted paths, and warnings."""

    def matching(pattern: str) -> set[str]:
        parts = PurePosixPath(pattern).parts
        paths = matching_files(place.directory, parts, place)
        return {path.relative_to(place.directory).as_posix() for path in paths}

    kept, warnings = matching("outputs/**"), []
    for pattern in task.outputs:
        if pattern.startswith("/") or ".." in pattern.split("/"):
            warnings.append(f"outputs: `{pattern}` leads out of the working directory")
        elif found := matching(pattern):
            kept |= found
        else:
            warnings.append(f"outputs: no file matches `{pattern}`")
    for name in sorted(kept):
        target = place.output / "kept" / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place.directory / name, target)
        except OSError as error:
            kept.remove(name)
            warnings.append(f"outputs: {name} could not be kept: {error}")
    return sorted(kept), warnings


# ---- The whole run -----------------------------------------------------------------------------


async def add_jupyter(place: Place, log: Log, stopped: asyncio.Future[None]) -> None:
    """Makes sure that Jupyter is there, installing what is missing into the overlay if allowed."""
    if place.overlay:
        sys.path.append(str(place.overlay))
        paths = os.environ.get("JUPYTER_PATH"), str(place.overlay / "share" / "jupyter")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, paths))  # for its templates
    missing = [name for name in JUPYTER if not installed_module(name)]
    if missing and place.overlay:
        log.line(f"installing for this run: {', '.join(missing)}")
        target = ["--quiet", "--target", str(place.overlay), *missing]
        installer = [sys.executable, "-m", "pip", "install", "--no-input"]
        if not installed_module("pip") and (uv := shutil.which("uv")):
            installer = [uv, "pip", "install", "--python", sys.executable]
        elsewhere = replace(place, directory=place.output)  # where no file shadows pip's modules
        await run_command([*installer, *target], elsewhere, log, stopped)
        importlib.invalidate_caches()
        missing = [name for name in JUPYTER if not installed_module(name)]
    if missing:
        names = ", ".join(missing)
        raise Failed(
            "environment", f"running a notebook needs {names}: add them to the environment"
        )


async def start(task: Task, place: Place, log: Log, stopped: asyncio.Future[None]) -> None:
    """Raises `Failed` or `Canceled`."""
    if not place.directory.is_dir():
        raise Failed("invalid", f"there is no working directory {task.directory} here")
    if task.kind == "training":
        await run_training(task, place, log, stopped)
        return
    await add_jupyter(place, log, stopped)
    try:
        await NotebookRun(task, place, log, stopped).run()
    except ImportError as error:
        message = f"the environment's Jupyter cannot be imported: {error}"
        raise Failed("environment", message, None, traceback.format_exc()) from None


def write_outcome(
    output: Path,
    started: str,
    ended: Ended,
    metrics: Mapping[str, float],
    outputs: Sequence[str],
    warnings: Sequence[str],
) -> None:
    names = ("kind", "message", "cell", "traceback")
    failed = ended.failed
    outcome = {
        "version": 1,
        "status": ended.status,
        "started_at": started,
        "finished_at": now(),
        "metrics": metrics,
        "outputs": outputs,
        "warnings": warnings,
        "failure": {name: getattr(failed, name) for name in names} if failed else None,
    }
    write_atomic(output / "outcome.json", json.dumps(outcome, indent=2, allow_nan=False))


async def attempt(
    task: Task, place: Place, log: Log, stopped: asyncio.Future[None]
) -> tuple[str, Failed | None]:
    """Runs the task to its end: the status of the run, and why it failed."""
    try:
        await start(task, place, log, stopped)
    except Canceled:
        return "canceled", None
    except Failed as failed:
        log.line(f"failed: {failed.message}")
        return "failed", failed
    except Exception as error:  # noqa: BLE001 -- our own fault must not pass for the run's
        trace = traceback.format_exc()
        log.line(trace)
        message = f"the launcher failed: {type(error).__name__}: {error}"
        return "failed", Failed("infrastructure", message, None, trace)
    return "succeeded", None


async def execute(task: Task, place: Place, log: Log, started: str) -> Ended:
    """Runs the task to its end, and asks what it has logged."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)
            # At once, as the platform may not wait for the end: the real outcome replaces it.
            canceled = Ended("canceled", None, {}, [])
            write_outcome(place.output, started, canceled, {}, [], log.warnings)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    storing = asyncio.ensure_future(log.store_now_and_then())
    status, failed = await attempt(task, place, log, stopped)
    storing.cancel()
    try:
        logged, warnings = await metrics_of_mlflow(place, stopped)
    except Exception as error:  # noqa: BLE001 -- no metrics are no reason for a run to fail
        logged, warnings = {}, [f"MLflow's metrics cannot be had: {type(error).__name__}"]
    return Ended(status, failed, logged, warnings)


def run(task: Task, place: Place, log: Log) -> str:
    """Executes, keeps what is to be kept, and writes the outcome; the status of the run."""
    started = now()
    adopt_orphans()
    metrics_file = place.directory / METRICS
    before = metrics_file.stat().st_mtime_ns if metrics_file.is_file() else None
    ended = asyncio.run(execute(task, place, log, started))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the end is near already
    kill_children()
    metrics, warnings = collect_metrics(place, ended.logged)
    warnings = ended.warnings + warnings
    if before and metrics_file.is_file() and metrics_file.stat().st_mtime_ns == before:
        warnings.append(f"{METRICS} was there before the run, which did not write it")
    for text in warnings:
        log.warn(text)
    outputs, warnings = keep_outputs(task, place)
    for text in warnings:
        log.warn(text)
    log.store()
    write_outcome(place.output, started, ended, metrics, outputs, log.warnings)
    return ended.status


def refuse_python(output: Path) -> None:
    """Says which Python is needed, in words that an older one can still execute."""
    version, oldest = (".".join(map(str, numbers[:2])) for numbers in (sys.version_info, OLDEST))
    text = f"Python {version} is too old: the environment needs Python {oldest} or later"
    (output / "log.txt").write_text(f"failed: {text}\n", "utf-8")
    failed = Failed("environment", text)
    write_outcome(output, now(), Ended("failed", failed, {}, []), {}, [], [])


def main(arguments: Sequence[str], fork: Fork | None = None) -> int:
    """The exit code; raises `SystemExit` (2) for wrong arguments. `fork` may start the kernel."""
    parser = argparse.ArgumentParser(description="Runs one notebook or training.")
    parser.add_argument("--task", required=True, help="a JSON file, or JSON")
    parser.add_argument("--root", required=True, type=Path, help="the tree to run in")
    parser.add_argument("--output", required=True, type=Path, help="where to keep what it leaves")
    parser.add_argument("--events", default=os.devnull, help="a file for events, as JSON lines")
    parser.add_argument("--overlay", type=Path, help="a folder to install missing Jupyter into")
    options = parser.parse_args(arguments)
    try:
        task = Task.read(options.task)
        output, root = options.output.resolve(), options.root.resolve()
        output.mkdir(parents=True, exist_ok=True)
        if TOO_OLD:
            refuse_python(output)
            return 1
        make_executable(root, Path(__file__).with_name(EXECUTABLE))
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment = {"PYTHONUNBUFFERED": "1", **os.environ, "PATH": programs}
        overlay = options.overlay and options.overlay.resolve()
        place = Place(root, root / task.directory, output, overlay, environment, fork)
        return 0 if run(task, place, Log(output, options.events)) == "succeeded" else 1
    except Exception:  # noqa: BLE001 -- Python's own exit code for it would mean a failed run
        traceback.print_exc()
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
