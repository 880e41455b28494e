"""The files of a tree, and what a run names that is not among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import nlargest
from pathlib import PurePosixPath
from posixpath import commonprefix

from mlgate.orchestration.errors import Finding
from mlgate.orchestration.findings import Code, finding, nearest
from mlgate.orchestration.planning.globs import is_glob
from mlgate.orchestration.runs import RunKind, RunSpec

# For each run that names a missing file: a look at a file takes a microsecond, a close comparison
# fifty.
_SEEN, _COMPARED = 1000, 20


@dataclass(frozen=True, slots=True)
class Listing:
    """Files and the folders they are in ("." is the root), relative, with `/`."""

    files: frozenset[str]
    folders: frozenset[str]
    notebooks: tuple[str, ...]  # sorted
    _alike: Mapping[str, Sequence[str]] = field(repr=False)  # the first of each suffix

    @classmethod
    def of(cls, files: Iterable[str]) -> Listing:
        files = frozenset(files)
        folders = {str(parent) for file in files for parent in PurePosixPath(file).parents}
        alike: dict[str, list[str]] = {}
        for file in sorted(files):
            alike.setdefault(PurePosixPath(file).suffix, []).append(file)
        notebooks = tuple(alike.get(".ipynb", ()))
        first = {suffix: names[:_SEEN] for suffix, names in alike.items()}
        return cls(files, frozenset(folders | {"."}), notebooks, first)

    def similar(self, path: str) -> str:
        """A remedy: the file of the same suffix that was most likely meant."""
        files = self._alike.get(PurePosixPath(path).suffix, ())
        close = nearest(path, nlargest(_COMPARED, files, key=partial(_overlap, path)))
        if close is not None:
            return f"Did you mean `{close}`?"
        return "Paths are relative to the repository's `subdirectory`, and case matters."


def _overlap(path: str, other: str) -> int:
    """How many characters two paths share at their beginning and end."""
    ends = (path, other), (path[::-1], other[::-1])
    return sum(len(commonprefix(each)) for each in ends)


def missing_paths(
    spec: RunSpec, named: Mapping[str, RunSpec], listing: Listing, where: str
) -> list[Finding]:
    """What makes a run impossible in this tree; `where` points to the entry that asks for it.

    `named` are all runs: what a run gets from another is reported for the other alone.
    """
    found = []
    serving = spec.kind is RunKind.SERVING
    if spec.requests is not None and spec.requests not in listing.files:
        found.append(
            finding(
                Code.MISSING_REQUESTS,
                f"{where}/requests",
                f"There is no file `{spec.requests}`.",
                listing.similar(spec.requests),
            )
        )
    if spec.load is not None and (file := spec.load.locustfile) not in (None, *listing.files):
        found.append(
            finding(
                Code.MISSING_LOCUSTFILE,
                f"{where}/load/locustfile",
                f"There is no file `{file}`.",
                listing.similar(file or ""),
            )
        )
    # The path of a model is one among the files that its run will keep.
    if spec.path is not None and not serving and spec.path not in listing.files:
        if is_glob(spec.path):
            code, message = Code.NO_MATCH, f"No notebook matches `{spec.path}`."
        else:
            code, message = Code.MISSING_NOTEBOOK, f"There is no notebook `{spec.path}`."
        found.append(finding(code, f"{where}/path", message, listing.similar(spec.path)))
    elif spec.directory not in listing.folders:
        found.append(
            finding(
                Code.MISSING_DIRECTORY,
                f"{where}/directory",
                f"There is no folder `{spec.directory}`.",
                "Git keeps no empty folders: put a file into it, or choose another.",
            )
        )
    keeper = named.get(spec.model or "")
    if spec.environment is not None and not (keeper and keeper.environment == spec.environment):
        for field in ("requirements", "conda_file"):
            file = getattr(spec.environment, field)
            if file is not None and file not in listing.files:
                found.append(
                    finding(
                        Code.MISSING_ENVIRONMENT,
                        f"{where}/environment/{field}",
                        f"There is no file `{file}`.",
                        listing.similar(file),
                    )
                )
    return found
