"""What can be known of the runs without running them: `mlgate validate --checkout`.

Downloads, hangs, errors while displaying and memory cannot. A check that could be wrong about a
notebook that works stays silent.
"""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from mlgate.orchestration.errors import Finding
from mlgate.orchestration.findings import Code, choices, finding
from mlgate.orchestration.listing import Listing, missing_paths
from mlgate.orchestration.literalpaths import read_files
from mlgate.orchestration.notebooks import Notebook, Unreadable, read_notebook
from mlgate.orchestration.plan import Plan
from mlgate.orchestration.ports import Tree
from mlgate.orchestration.runs import RunKind, RunSpec


def preflight(plan: Plan, tree: Tree) -> list[Finding]:
    """Everything found wrong with the runs in this tree, each at the entry it comes from.

    A defect of a notebook that several runs of one entry share is told once.
    """
    listing = Listing.of(tree.files())
    found: dict[Finding, None] = {}
    for run in plan.runs:
        where = plan.sources[run.spec.name]
        missing = missing_paths(run.spec, listing, where)
        found.update(dict.fromkeys(missing))
        if run.spec.kind is RunKind.TRAINING:
            found.update(dict.fromkeys(_of_command(run.spec, listing, where)))
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


def _of_notebook(spec: RunSpec, tree: Tree, listing: Listing, where: str) -> list[Finding]:
    path = spec.path or ""
    try:
        notebook = read_notebook(tree.read(path))
    except Unreadable as error:
        remedy = "Open and save it with Jupyter."
        return [finding(Code.UNREADABLE_NOTEBOOK, f"{where}/path", f"`{path}`: {error}", remedy)]
    if (language := notebook.foreign_language(spec.kernel)) is not None:
        field = "path" if spec.kernel is None else "kernel"
        return [
            finding(
                Code.WRONG_LANGUAGE,
                f"{where}/{field}",
                f"`{path}` asks for `{language}`; only Python notebooks can be run.",
                "Leave it out of the runs, or choose a Python kernel.",
            )
        ]
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
            f"`{path}`, code cell {cell.number}, line {error.lineno or 1}: {error.msg}.",
            "Python 2 has to be ported; an error shown on purpose is tagged `raises-exception`.",
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
                    f"`{spec.path}`, code cell {number} reads `{literal}`, which is not in "
                    f"`{spec.directory}`.",
                    "Commit it, change `directory`, or have a needed run make it.",
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
