"""What can be known of the runs without running them: `mlgate validate`, and with `--checkout`.

Not known: downloads, hangs, errors while displaying, memory. A check that could be wrong about a
notebook that works stays silent.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlgate.orchestration.errors import Finding
from mlgate.orchestration.findings import Code, choices, finding
from mlgate.orchestration.planning.listing import Listing, missing_paths
from mlgate.orchestration.planning.literal_paths import read_files
from mlgate.orchestration.planning.names import check_name
from mlgate.orchestration.planning.notebooks import Notebook, Unreadable, read_notebook
from mlgate.orchestration.planning.plan import Plan
from mlgate.orchestration.ports import Tree
from mlgate.orchestration.runs import RunKind, RunSpec
from mlgate.orchestration.wire.json_text import json_type
from mlgate.orchestration.wire.messages import Request, StartMessage


@dataclass(frozen=True, slots=True)
class Added:
    """A run that a message does not name itself; `says` is a sentence for people."""

    name: str
    kind: RunKind
    says: str


def added(message: StartMessage, planned: Plan) -> list[Added]:
    """What is known of the runs that the build gets in addition to those of the message."""
    if (offer := planned.promote) is not None:
        if not planned.gate.added:  # a serving run of the message tries it
            return []
        name = check_name(offer.model)
        says = (
            f"`promote` adds the run `{name}`, which loads the model that `{offer.run}` keeps and "
            "has it answer."
        )
    elif message.promote is not None:  # its run is not known without the repository
        name = check_name(message.promote.model)
        says = f"`promote` adds the run `{name}`, unless a serving run tries the same model."
    else:
        return []
    return [Added(name, RunKind.SERVING, says)]


def warnings(message: Request) -> list[Finding]:
    """What the contract allows, and what will surprise its author."""
    if message.build_id is None or "attempt" in message.model_fields_set:
        return []
    return [
        finding(
            Code.NO_ATTEMPT,
            "/build_id",
            "The message has a `build_id` and no `attempt`. When the pipeline runs the job again, "
            "it fails with `already-judged`, since this attempt was judged before.",
            'Write `"attempt": $(System.JobAttempt)` beside it, without quotes.',
        )
    ]


def kernel_warnings(plan: Plan, tree: Tree) -> list[Finding]:
    """Notebooks whose kernel only the run's environment can know; `python3` always exists."""
    found: dict[Finding, None] = {}
    for run in plan.runs:
        if run.spec.kind is not RunKind.NOTEBOOK:
            continue
        try:
            notebook = read_notebook(tree.read(run.spec.path or ""))
        except (Unreadable, KeyError):
            continue  # `preflight` reports it
        kernel = run.spec.kernel or notebook.kernel
        if kernel in (None, "python3") or notebook.foreign_language(run.spec.kernel):
            continue
        field = "path" if run.spec.kernel is None else "kernel"
        warning = finding(
            Code.UNKNOWN_KERNEL,
            f"{plan.sources[run.spec.name]}/{field}",
            f"`{run.spec.path}` is to run with the kernel `{kernel}`. If its environment has no "
            "Python kernel of that name, `python3` is used.",
            "To use it in any case, set `kernel` to `python3`.",
        )
        found[warning] = None
    return list(found)


def preflight(plan: Plan, tree: Tree) -> list[Finding]:
    """Everything found wrong with the runs in this tree, each at the entry it comes from.

    A defect of a notebook that several runs of one entry share is reported once.
    """
    listing = Listing.of(tree.files())
    found: dict[Finding, None] = {}
    named = {run.spec.name: run.spec for run in plan.runs}
    for run in plan.runs:
        where = plan.sources[run.spec.name]
        missing = missing_paths(run.spec, named, listing, where)
        found.update(dict.fromkeys(missing))
        if run.spec.kind is RunKind.TRAINING:
            found.update(dict.fromkeys(_of_command(run.spec, listing, where)))
        elif run.spec.kind is RunKind.SERVING:
            # The model is still to be made.
            if run.spec.requests in listing.files:
                found.update(dict.fromkeys(_of_requests(run.spec, tree, where)))
        elif run.spec.path in listing.files:
            found.update(dict.fromkeys(_of_notebook(run.spec, tree, listing, where)))
    return list(found)


def _of_command(spec: RunSpec, listing: Listing, where: str) -> list[Finding]:
    """The script of `python script.py`, when it is named by a plain relative path."""
    try:
        words = shlex.split(spec.command or "")
    except ValueError:
        return []
    if len(words) < 2 or words[0] not in ("python", "python3") or not words[1].endswith(".py"):
        return []
    script = _in_tree(spec.directory, words[1])
    if script is None or script in listing.files:
        return []
    return [
        finding(
            Code.MISSING_SCRIPT,
            f"{where}/command",
            f"The command runs `{script}`, which is not in the repository.",
            listing.similar(script),
        )
    ]


def _of_requests(spec: RunSpec, tree: Tree, where: str) -> list[Finding]:
    """Whether there are any; only the model knows which ones it accepts."""
    path = spec.requests or ""
    remedy = "Write a list of request bodies, each as `POST /predict` takes it."
    try:
        content = json.loads(tree.read(path))
    except (ValueError, RecursionError):
        problem = "is not JSON"
    else:
        if isinstance(content, list) and content:
            return []
        problem = "has an empty list" if content == [] else f"holds {json_type(content)}"
    return [finding(Code.BAD_REQUESTS, f"{where}/requests", f"`{path}` {problem}.", remedy)]


def _of_notebook(spec: RunSpec, tree: Tree, listing: Listing, where: str) -> list[Finding]:
    path = spec.path or ""
    try:
        notebook = read_notebook(tree.read(path))
    except Unreadable as error:
        remedy = "Restore it, or save it again with Jupyter."
        return [finding(Code.UNREADABLE_NOTEBOOK, f"{where}/path", f"`{path}`: {error}", remedy)]
    if (language := notebook.foreign_language(spec.kernel)) is not None:
        if spec.kernel is None:
            message = f"`{path}` is a notebook in `{language}`, and mlgate runs only Python."
            remedy = "Leave it out: narrow the glob, or remove the entry."
            return [finding(Code.WRONG_LANGUAGE, f"{where}/path", message, remedy)]
        message = f"The kernel `{language}` is not a Python kernel, and mlgate runs only Python."
        remedy = "Name a Python kernel, or leave `kernel` out."
        return [finding(Code.WRONG_LANGUAGE, f"{where}/kernel", message, remedy)]
    return [
        *_of_parameters(spec, notebook, where),
        *_of_code(path, notebook, where),
        *_of_data(spec, notebook, listing, where),
    ]


def _of_parameters(spec: RunSpec, notebook: Notebook, where: str) -> list[Finding]:
    defined = notebook.parameter_names()
    if defined is None:
        return []
    return [
        finding(
            Code.UNKNOWN_PARAMETER,
            f"{where}/parameters/{name}",
            f"`{spec.path}` does not define the parameter `{name}`.",
            choices(name, sorted(defined)),
        )
        for name in spec.parameters
        if name not in defined
    ]


def _of_code(path: str, notebook: Notebook, where: str) -> list[Finding]:
    return [
        finding(
            Code.SYNTAX_ERROR,
            f"{where}/path",
            f"`{path}`, code cell {cell.number}, line {error.lineno or 1}: "
            f"{error.msg}{'' if error.msg.endswith('?') else '.'}",
            "Correct it (port Python 2 to Python 3), or tag a cell that is wrong on purpose "
            "`raises-exception`.",
        )
        for cell, error in notebook.syntax_errors()
    ]


def _of_data(spec: RunSpec, notebook: Notebook, listing: Listing, where: str) -> list[Finding]:
    if spec.directory not in listing.folders:
        return []
    found = []
    for number, literal in read_files(notebook.cells):
        file = _in_tree(spec.directory, literal)
        if file is not None and file not in listing.files and file not in listing.folders:
            found.append(
                finding(
                    Code.MISSING_DATA,
                    f"{where}/path",
                    f"`{spec.path}`, code cell {number}, reads `{literal}` from the directory "
                    f"`{spec.directory}`, but the repository has no `{file}`.",
                    "Commit it, or correct the path or the run's `directory`.",
                )
            )
    return found


def _in_tree(directory: str, path: str) -> str | None:
    """A path as seen from a working directory; None when that is not a place in the tree."""
    if path.startswith(("/", "~")) or "://" in path or "$" in path:
        return None
    parts: list[str] = []
    for part in (*PurePosixPath(directory).parts, *PurePosixPath(path).parts):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return "/".join(parts)
