"""The values that the modules of the launcher exchange."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Optional, Protocol

from mlgate.launcher.text import clipped, excerpt, one_line, plain

# Starts `python -c CODE ...` of this interpreter in a folder, with an environment and a log, in a
# process that has already imported Jupyter; None if it would differ from a new process.
Fork = Callable[[Sequence[str], Path, Mapping[str, str], Path], "Child | None"]

# Done when the run has to end early: because it was asked to (None), or because of a failure.
Stopped = asyncio.Future[Optional["Failed"]]

MESSAGE_CHARACTERS = 500  # the limit for a failure or a warning
TRACE_CHARACTERS = 60_000  # the limit for a traceback, and for a message before it is one line
Notebook = Any  # nbformat.NotebookNode; so are its cells


class Failed(Exception):
    """The run has failed: `kind` is a public failure kind, `cell` counts code cells from 1."""

    def __init__(self, kind: str, message: str, cell: int | None = None, trace: str = "") -> None:
        super().__init__(message)
        message = clipped(message, TRACE_CHARACTERS)
        self.kind, self.message, self.cell = kind, one_line(message, MESSAGE_CHARACTERS), cell
        self.traceback = excerpt(plain(clipped(trace, TRACE_CHARACTERS)), 150) or None


class Canceled(Exception):
    """The run was asked to end."""


@dataclass(frozen=True)
class Task:
    """What to run; `path` and `directory` are relative to the root.

    For a serving run, `path` and `example` are relative to the folder with the outputs of the run
    `model`, which the variable `model_variable` holds. `requests` is relative to the root.
    `variables` are the names of the run's own variables, which a model's process gets as well.
    `load` is {"users", "spawn_rate", "seconds", "locustfile", "may_fail"}; the file is relative to
    the root.
    """

    kind: str
    path: str = ""
    command: str = ""
    directory: str = "."
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kernel: str | None = None
    cell_timeout_seconds: float = 1200
    outputs: Sequence[str] = ()
    model: str = ""
    model_variable: str = ""
    example: str | None = None
    requests: str | None = None
    must_answer: bool = False
    variables: Sequence[str] = ()
    load: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, text: str) -> Task:
        """From JSON, or from a JSON file. Ignores fields that are null or unknown."""
        inline = text.lstrip().startswith("{")
        given = json.loads(text if inline else Path(text).read_text("utf-8"))
        names = [field.name for field in fields(cls)]
        return cls(**{name: given[name] for name in names if given.get(name) is not None})


@dataclass(frozen=True)
class Place:
    """Where the run happens: absolute paths, and the environment of what it starts.

    `locust` is an interpreter that has locust, if the host made one.
    """

    root: Path
    directory: Path
    output: Path
    overlay: Path | None
    environment: Mapping[str, str]
    fork: Fork | None
    locust: Path | None = None


class Child(Protocol):
    """A child process that leads a session of its own."""

    pid: int

    def wait(self) -> int:
        """Waits for its end; returns its exit code, negative for a signal."""
        ...


@dataclass(frozen=True)
class Frame:
    """A line of a traceback: `raises` is whether a `raise` statement there raised the exception."""

    file: str
    function: str
    raises: bool = False


@dataclass(frozen=True)
class Raised:
    """An exception, as its kernel recorded it or as a traceback shows it.

    `name` is the name of the class without its module. `classes` are the class and its bases with
    their modules, empty if the text does not say. `frames` begin with the outermost. `facts` are
    attributes of the exception: `status` (HTTP's number or gRPC's name), `errno` (its name),
    `module` (the one that is missing or lacks a name), `file` (of the module that lacks the name
    or the part; empty for a namespace) and `exit` (with what a `SystemExit` ends the interpreter).
    `causes` has what it was raised from, or what its handler raised it for. `members` are those of
    a group.
    """

    name: str
    message: str
    traceback: str = ""
    classes: Sequence[str] = ()
    frames: Sequence[Frame] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    causes: Sequence[Raised] = ()
    members: Sequence[Raised] = ()

    @classmethod
    def read(cls, record: Mapping[str, Any], traceback: str = "") -> Raised:
        """From the result of `recording.record`."""
        return cls(
            name=record["name"],
            message=plain(record["message"]),
            traceback=traceback,
            classes=tuple(record["classes"]),
            frames=tuple(Frame(*frame) for frame in record["frames"]),
            facts=record["facts"],
            causes=tuple(cls.read(cause) for cause in record["causes"]),
            members=tuple(cls.read(member) for member in record["members"]),
        )

    def __str__(self) -> str:
        said = f"{self.name}: {self.message}" if self.message else self.name
        return f"{said}: {self.members[0]}" if self.members else said


@dataclass(frozen=True)
class Ended:
    """How a run ended; `logged` are its metrics in MLflow."""

    status: str
    failed: Failed | None = None
    logged: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()
