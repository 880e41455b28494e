"""Finds the public failure kind of an exception.

Its class decides, together with the file that raised it. If the class says nothing, its message
does; for messages that the user's own code raised, only wording that no one but a library uses. If
that says nothing either, the exception that it was raised for decides.
"""

from __future__ import annotations

import builtins
import re
from dataclasses import replace

from mlgate.launcher.libraries import (
    is_callers,
    is_spokesman,
    kind_of_name,
    kind_of_status,
    kind_of_words,
    remedy_of,
    status_of,
    unanswered,
    unanswered_anywhere,
)
from mlgate.launcher.origins import (
    Origins,
    is_compiled,
    is_installed,
    is_namespace,
    library_of,
)
from mlgate.launcher.text import clipped
from mlgate.launcher.tracebacks import last_raised
from mlgate.launcher.values import Frame, Raised

# The most that is searched: some patterns take quadratic time.
NAME_CHARACTERS = 200
MESSAGE_CHARACTERS = 5_000
TRACE_CHARACTERS = 20_000

TRANSIENT = ("network", "preempted", "kernel_died", "infrastructure")

# Classes that say so little that messages and causes decide.
_GENERIC = {"BaseException", "Exception", "RuntimeError", "OSError", "IOError", "SystemError"}
# Classes that mean "code", unless a library's message is of one of these kinds.
_WORDED = {
    "ValueError": ("environment", "dependency"),
    "TypeError": ("environment",),
    "AttributeError": ("environment", "dependency"),
    "NotImplementedError": ("environment",),
    "LookupError": ("data",),
}
# Raised for sockets, but also for what the program itself waits for or writes to.
_AMBIGUOUS = {("builtins", "TimeoutError"), ("builtins", "BrokenPipeError")}
_OWN_KEYS = re.compile(r"\[SSL[^]]*\] PEM lib|NO_START_LINE|KEY_VALUES_MISMATCH")
# Libraries that raise exceptions of another process without their frames.
_CARRIERS = {"concurrent", "multiprocessing", "joblib", "loky", "distributed", "ray"}
# Messages of a refused call that another version of the function would accept.
_REFUSED = re.compile(
    r"([\w.<>]+)\(\) (?:got an unexpected keyword|takes .* positional argument|takes no keyword)"
)
_LACKING = re.compile(r"(?:'([\w.]+)' object|type object '([\w.]+)') has no attribute '(\w+)'")
_NOT_IN_MODULE = re.compile(
    r"module '([\w.]+)' has no attribute|Can't get attribute '\w+' on <module '([\w.]+)'"
)
# Attributes that older versions of libraries had, and that only the user's code asks for.
_REMOVED = re.compile(
    r"'(DataFrame|Series|\w*Index)' object has no attribute '(append|iteritems|ix|as_matrix"
    r"|[gs]et_value|lookup|mad|is_monotonic|swapaxes|applymap|to_panel|tshift|slice_shift|weekofyear)'"
    r"|'(?:numpy.)?ndarray' object has no attribute '(itemset|newbyteorder|ptp)'"
    r"|object has no attribute '(get_feature_names|w_xaxis|tostring_rgb|set_window_title)'"
    r"|'Engine' object has no attribute '(execute|table_names|has_table)'"
    r"|'\w*Graph' object has no attribute '(node|nodes_iter|edges_iter)'"
)


def classify(error: Raised, origins: Origins) -> str:
    """The failure kind of an exception. A group is transient only if all its members are."""
    return _kind(error, origins) or "code"


def explained(error: Raised) -> str:
    """The exception for people, after a remedy if its own message does not have one."""
    remedy = remedy_of(clipped(error.message, MESSAGE_CHARACTERS))
    return f"{remedy} ({error})" if remedy else str(error)


def _kind(error: Raised, origins: Origins) -> str | None:
    """The kind; None if neither the exception nor what it was raised for decides it."""
    if error.members:
        kinds = [classify(member, origins) for member in error.members]
        return next((kind for kind in kinds if kind not in TRANSIENT), kinds[0])
    kind = _alone(error, origins)
    if kind is None:
        kinds_of_causes = (_kind(_local(cause), origins) for cause in error.causes)
        kind = next(filter(None, kinds_of_causes), None)
    return kind


def _local(cause: Raised) -> Raised:
    """What another process raised, read from its traceback if only that is known."""
    if not cause.name.endswith("RemoteTraceback"):
        return cause
    return last_raised(clipped(cause.message, TRACE_CHARACTERS)) or replace(cause, message="")


def _alone(error: Raised, origins: Origins) -> str | None:
    error = replace(
        error,
        name=error.name[:NAME_CHARACTERS],
        message=clipped(error.message, MESSAGE_CHARACTERS),
        traceback=clipped(error.traceback, TRACE_CHARACTERS),
    )
    names = [name.rpartition(".")[2] for name in error.classes] or [error.name]
    if "ModuleNotFoundError" in names:
        return _of_missing_module(error, origins)
    own = _is_own(error, origins)
    if not own:
        if "ImportError" in names:
            return _of_import(error, origins)
        if "AttributeError" in names and (kind := _of_attribute(error, origins)):
            return kind
        if "TypeError" in names and (kind := _of_call(error, origins)):
            return kind
        if "CalledProcessError" in names:
            return "dependency" if "exit status 127" in error.message else "code"
        if "FileNotFoundError" in names and _starts_program(error):
            return "dependency" if re.search(r"directory: '[^/']+'$", error.message) else "data"
    if kind := next(filter(None, map(kind_of_name, names)), None):
        return kind
    if error.facts.get("errno") == "ENOMEM":
        return "out_of_memory"
    return _of_stand_in(error) if own else _of_library(error, origins)


def _of_library(error: Raised, origins: Origins) -> str | None:
    """The kind of a class that is built in or comes from a package."""
    classes = [(name.partition(".")[0], name.rpartition(".")[2]) for name in error.classes]
    if not classes:
        classes = [(library, error.name) for library in _libraries(error)]
    builtin = classes[0][0] == "builtins" if classes else hasattr(builtins, error.name)
    raising = _raising(error)
    by_own = raising is not None and _is_by_own(raising, origins)
    loose = not (by_own and raising is not None and raising.raises)
    if not builtin:
        status = error.facts.get("status") or status_of(error.message, loose=loose)
        if kind := kind_of_status(status):
            return kind
    if any(name == "URLError" for _, name in classes):
        return _of_url(error)
    if classes and classes[0] in _AMBIGUOUS:
        return "network" if _met_peer(error, origins) else None
    if any(unanswered(library, name) for library, name in classes):
        return "code" if is_callers(error.name) or _OWN_KEYS.search(error.message) else "network"
    if builtin and error.name not in _GENERIC:
        return _of_builtin(error, origins)
    if builtin and by_own and (kind := kind_of_status(status_of(error.message))):
        return kind
    return kind_of_words(error.message, loose=loose)


def _of_builtin(error: Raised, origins: Origins) -> str:
    """The kind of a built-in class that means a mistake in the code, unless its message differs."""
    raising = _raising(error)
    own = raising is not None and _is_by_own(raising, origins)
    # Other messages may quote the user's data: `could not convert 'not installed'`.
    stated = raising is None or raising.raises or is_compiled(raising.file)
    if own or not stated:
        stated = raising is not None and raising.raises
        worded = not stated and kind_of_words(error.message, loose=False) == "environment"
        return "environment" if worded else "code"
    kind = kind_of_words(error.message, loose=True)
    return kind if kind is not None and kind in _WORDED.get(error.name, ()) else "code"


def _of_stand_in(error: Raised) -> str | None:
    """The kind of a class of the user's own that has a name and message like a library's."""
    says = unanswered_anywhere(error.name)
    if not says and not is_spokesman(error.name):
        return None
    if kind := kind_of_status(status_of(error.message, named=True, loose=says)):
        return kind
    kind = kind_of_words(error.message, loose=says)
    return kind if kind in ("network", "out_of_memory") else None


def _of_missing_module(error: Raised, origins: Origins) -> str:
    found = re.search(r"No module named '?([\w.]+)", error.message)
    module = error.facts.get("module") or (found[1] if found else "")
    parent = module.rpartition(".")[0]
    if not parent:
        return "dependency"
    if origins.own_module(module):
        return "code"
    file = error.facts["file"] if "file" in error.facts else origins.file_of(parent)
    if file is None or is_namespace(file):
        return "dependency"  # another package has that part
    return "code" if origins.own_file(file) else "environment"


def _of_import(error: Raised, origins: Origins) -> str | None:
    """The kind if a module lacks a name, or refuses to be imported."""
    if "attempted relative import" in error.message:
        return "code"
    lacks = re.search(
        r"cannot import name .* from (?:partially initialized module )?'([\w.]+)'"
        r"(?: \((.*?)\)| \(most.*)?",
        error.message,
    )
    raising = _raising(error)
    if lacks:
        file = lacks[2] or error.facts.get("file") or ""
        if origins.own_module(lacks[1]) or (file.startswith("/") and origins.own_file(file)):
            return "code"
        known = "" if file == "unknown location" else file or origins.file_of(lacks[1])
        return "dependency" if known is not None and is_namespace(known) else "environment"
    if raising is not None and raising.raises and origins.own_file(raising.file):
        return None
    kind = kind_of_words(error.message, loose=True)
    return kind if kind in ("environment", "dependency") else "environment"


def _of_attribute(error: Raised, origins: Origins) -> str | None:
    if found := _NOT_IN_MODULE.search(error.message):
        module = found[1] or found[2]
        file = error.facts.get("file")
        own = module == "__main__" or origins.own_module(module)
        return "code" if own or (file and origins.own_file(file)) else "environment"
    if not (found := _LACKING.search(error.message)):
        return None
    kind = (found[1] or found[2]).rpartition(".")[2]
    if hasattr(builtins, kind) or kind in ("NoneType", "function", "method"):
        return "code"
    if origins.defines(kind):
        return "code"
    if _REMOVED.search(error.message):
        return "environment"
    asking = [frame for frame in error.frames if not frame.function.startswith("__getattr")]
    return "environment" if asking and is_installed(asking[-1].file) else "code"


def _of_call(error: Raised, origins: Origins) -> str | None:
    if not (found := _REFUSED.search(error.message)):
        return None
    parts = found[1].split(".")
    if any(part.startswith("<") for part in parts) or hasattr(builtins, parts[0]):
        return "code"
    return "code" if origins.defines(parts[0]) else "environment"


def _of_url(error: Raised) -> str:
    if "unknown url type" in error.message or "no host given" in error.message:
        return "code"
    return "data" if "No such file" in error.message else "network"


def _is_own(error: Raised, origins: Origins) -> bool:
    """Whether the class is the user's."""
    if error.classes:
        module = error.classes[0].rpartition(".")[0]
        return module == "__main__" or (module != "builtins" and origins.own_module(module))
    return not hasattr(builtins, error.name) and origins.defines(error.name)


def _is_by_own(raising: Frame, origins: Origins) -> bool:
    """Whether the user's own code raised it, or a library that carries exceptions of processes."""
    return library_of(raising.file) in _CARRIERS or origins.own_file(raising.file)


def _raising(error: Raised) -> Frame | None:
    """The frame that raised it; frames of the import system do not count."""
    frames = [frame for frame in error.frames if not frame.file.startswith("<frozen importlib")]
    if len(frames) > 1 and frames[-1].file == "<string>":  # belongs to the code that executed it
        frames[-1] = replace(frames[-2], raises=frames[-1].raises)
    if frames and library_of(frames[-1].file) in _CARRIERS:
        return replace(frames[-1], raises=True)
    return frames[-1] if frames else None


def _libraries(error: Raised) -> list[str]:
    """The libraries that may have the class if only its bare name is known: those in its frames."""
    if hasattr(builtins, error.name):
        return ["builtins", *map(library_of, (frame.file for frame in error.frames))]
    return [*filter(None, map(library_of, (frame.file for frame in error.frames)))]


def _met_peer(error: Raised, origins: Origins) -> bool:
    """Whether it is about something outside, and not about a task or child of the program."""
    if error.facts.get("errno") == "ETIMEDOUT":
        return True
    raising = _raising(error)
    if raising is None or origins.own_file(raising.file):
        worded = error.message == "timed out" or "[Errno 110]" in error.message
        return worded and not (raising and raising.raises)
    library = library_of(raising.file)
    return library in ("socket", "ssl", "http") or unanswered(library, "ConnectTimeout")


def _starts_program(error: Raised) -> bool:
    return any(frame.function == "_execute_child" for frame in error.frames)
