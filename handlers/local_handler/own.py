"""Gives an attempt its own version of what runs share: a view, or an environment on top."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from handlers.local_handler import interpreters, trees, variables, views
from handlers.local_handler.attempts import AttemptFolder
from handlers.local_handler.staging import CURRENT_MODELS
from mlgate.orchestration.backends.launching import CURRENT_MODEL

_UNFIT = frozenset("%?")  # in a path


def view(folder: AttemptFolder, python: Path, *tools: Path | None) -> views.View | None:
    """Put a layer of the attempt's own over what runs share; see `views.enter`.

    `python` and the `tools` are interpreters of shared environments. The kept files of needed runs
    and the current model become read-only, as on Azure ML. So do mlgate's sources and what was
    staged, where nothing is installed; a layer would cost more than a short run.
    """
    task = folder.task()
    read_only = [Path(path) for path in (*task["inputs"], task.get("model")) if path]
    read_only += [*interpreters.SOURCES, Path(task["launcher"]).parent]
    # Also of other builds.
    read_only += [
        Path(task["snapshot"]).parent,
        Path(task["environments"]).with_name(CURRENT_MODELS),
    ]
    pythons = {python, Path(task["python"])}
    shared = [each for one in pythons for each in interpreters.folders(one)]
    made = [
        one for one in (python, *filter(None, tools)) if one.is_relative_to(task["environments"])
    ]
    shared += [one.parents[2] for one in made]  # includes the trees of editable packages
    shared.append(interpreters.user_base(os.environ))
    return views.enter(shared, read_only, folder.changes)


def environment(
    folder: AttemptFolder,
    python: Path,
    does: Callable[[Sequence[str], Mapping[str, str]], bool],
) -> Path | None:
    """Make the attempt's own environment, used if there is no view; returns its interpreter.

    None if it cannot be made. The current model is copied, because other builds read it too. `does`
    is as for `interpreters.lay`.
    """
    task = folder.task()
    if model := task.get("model"):
        trees.copy_tree(Path(model), folder.model)
    for needed in task["inputs"]:
        trees.protect(Path(needed))
    return interpreters.lay(folder.path / "venv", python, task["uv"], does)


def launched(folder: AttemptFolder, python: Path, *, viewed: bool) -> dict[str, str]:
    """The variables that the attempt's launcher is started with."""
    found: dict[str, str] = variables.for_run(os.environ) | folder.task()["variables"]
    found |= interpreters.variables_of(python, found)
    if not viewed and CURRENT_MODEL in found:
        found[CURRENT_MODEL] = str(folder.model)
    if not viewed or not interpreters.user_base(found).is_dir():
        found.setdefault("PYTHONUSERBASE", str(folder.user))
    return found


def plain(home: Path) -> Path:
    """The home, or a link to it if its path has characters that programs misread.

    SQLAlchemy misreads `%` and `?` in the URI of an MLflow store, differently in each version, and
    alembic cannot be installed below a folder with `%` in its name. The link is always the same,
    because environments and attempts store it.
    """
    if not _UNFIT & set(str(home)):
        return home
    name = f"mlgate-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"
    link = Path("/tmp", name)  # noqa: S108 -- its owner and target are checked
    with suppress(OSError):  # it exists, or cannot be made
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.symlink_to(home, target_is_directory=True)
    try:
        ours = link.lstat().st_uid == os.getuid() and link.readlink() == home
    except OSError:
        return home
    return link if ours else home
