"""Records an exception as JSON, in the kernel that raised it, to which this is sent as source.

So it imports nothing of ours. Reading an attribute of an exception may run foreign code that fails;
then the attribute is left out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import opcode
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

DEPTH = 8  # of causes, and of nested groups
MEMBERS = 20  # of a group
STATUSES = ("status_code", "status", "http_status", "code")


def record(error: BaseException, depth: int = DEPTH) -> dict[str, Any]:
    """The exception as a mapping with the fields of `Raised`."""
    kind = type(error)
    frames = _frames(error.__traceback__)
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = _wrapped(error.__context__, frames)
    return {
        "name": kind.__name__,
        "message": _words(error),
        "classes": [f"{c.__module__}.{c.__qualname__}" for c in kind.__mro__[:-1]],
        "frames": [frame[:3] for frame in frames],
        "facts": _facts(error),
        "causes": [record(cause, depth - 1)] if cause is not None and depth else [],
        "members": [record(e, depth - 1) for e in _members(error)[:MEMBERS]] if depth else [],
    }


def _frames(trace: TracebackType | None) -> list[tuple[str, str, bool, CodeType]]:
    """For each frame: file, function, whether a `raise` statement raised there, and the code."""
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        at = code.co_code[trace.tb_lasti] if trace.tb_lasti >= 0 else 0
        raises = opcode.opname[at] == "RAISE_VARARGS" and trace.tb_next is None
        frames.append((code.co_filename, code.co_name, raises, code))
        trace = trace.tb_next
    return frames


def _wrapped(
    context: BaseException | None, frames: list[tuple[str, str, bool, CodeType]]
) -> BaseException | None:
    """The context, if its handler raised the exception of these frames with a `raise` statement."""
    if context is None or context.__traceback__ is None or not frames or not frames[-1][2]:
        return None
    return context if context.__traceback__.tb_frame.f_code is frames[-1][3] else None


def _members(error: BaseException) -> list[BaseException]:
    members = getattr(error, "exceptions", ()) if "BaseExceptionGroup" in _names(error) else ()
    return [each for each in members if isinstance(each, BaseException)]


def _names(error: BaseException) -> list[str]:
    return [each.__name__ for each in type(error).__mro__]


def _words(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        return str(error)
    return ""


def _facts(error: BaseException) -> dict[str, Any]:
    readings: dict[str, Callable[[Any], Any]] = {
        "errno": _errno,
        "status": _status,
        "module": _module,
        "file": _file,
        "exit": exit_code,
    }
    facts = {}
    for name, read in readings.items():
        with contextlib.suppress(Exception):
            facts[name] = read(error)
    return {name: value for name, value in facts.items() if value is not None}


def _errno(error: Any) -> str | None:
    return errno.errorcode.get(error.errno) if isinstance(error, OSError) and error.errno else None


def _status(error: Any) -> int | str | None:
    """The HTTP status as requests, httpx, aiohttp, botocore, openai and azure-core store it; or
    gRPC's."""
    if type(error).__module__ in ("builtins", "__main__", "subprocess"):
        return None
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response["ResponseMetadata"]["HTTPStatusCode"])
    for holder in (error, response):
        for name in STATUSES:
            value = getattr(holder, name, None)
            if callable(value) and "RpcError" in _names(error):
                return str(value().name)
            if isinstance(value, int) and 400 <= value <= 599:
                return int(value)
    return None


def _module(error: Any) -> str | None:
    """The module that is missing, or lacks a name."""
    if isinstance(error, ImportError):
        return error.name
    target = getattr(error, "obj", None)
    return target.__name__ if isinstance(target, ModuleType) else None


def _file(error: Any) -> str | None:
    """The file of the module that lacks a name, or of the parent of a missing module.

    Empty for a namespace, which has no file; None if it is not known.
    """
    target = getattr(error, "obj", None)
    if isinstance(error, ImportError):
        name = error.name or ""
        if isinstance(error, ModuleNotFoundError):
            name = name.rpartition(".")[0]
        target = sys.modules.get(name)
    if isinstance(target, ModuleType):
        return getattr(target, "__file__", None) or ""
    return None


def exit_code(error: BaseException) -> int | None:
    """With what the interpreter exits because of it; None if it is not an exit."""
    if not isinstance(error, SystemExit):
        return None
    if error.code is None or isinstance(error.code, int):
        return int(error.code or 0)
    return 1


def write(path: str) -> None:
    """Write a record of the exception that the kernel showed last."""
    if (error := sys.last_value) is not None:
        Path(path).write_text(json.dumps(record(error)))
