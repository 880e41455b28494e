"""Which of the files that a run kept is the model. Pure: it looks only at names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlgate.scorer.errors import Unusable

MLFLOW, MLMODEL = "mlflow", "MLmodel"
FORMATS = {".onnx": "onnx", ".skops": "skops", ".joblib": "joblib", ".pkl": "pickle"}
RECOGNISED = f"a folder with {MLMODEL}, or a file *{', *'.join(FORMATS)}"

_SHOWN = 10  # names in a sentence


@dataclass(frozen=True)
class Candidate:
    """A model in a run's kept outputs.

    `folder` is relative to the kept outputs, "." for all of them. `files`, and `path`, which is
    loaded, are relative to `folder`, with `/`. `path` is "." if the folder itself is loaded.
    """

    format: str
    folder: str
    files: tuple[str, ...]
    path: str

    @property
    def name(self) -> str:
        """Its name for people: the path relative to the kept outputs."""
        return str(PurePosixPath(self.folder, self.path))


def find(names: Collection[str], path: str | None = None) -> Candidate:
    """The candidate among the names of all kept files: the one at `path`, else the recognised one.

    A folder at `path` is the candidate with everything in it. Raises Unusable if there is none or
    more than one, with the names that exist.
    """
    if path is None:
        return _recognised(names, ".")
    asked = str(PurePosixPath(path))
    if asked in names:
        if PurePosixPath(asked).name == MLMODEL:
            return _folder(names, str(PurePosixPath(asked).parent))
        return _file(asked)
    if not _below(names, asked):
        near = difflib.get_close_matches(asked, [*names, *_folders(names)], 1, 0.5)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise Unusable(f"`{path}` is not among the kept outputs: {_shown(names)}.{hint}")
    if f"{asked}/{MLMODEL}" in names or (asked == "." and MLMODEL in names):
        return _folder(names, asked)
    found = _recognised(_below(names, asked), asked)
    if found.format == MLFLOW:
        return found
    inside = str(PurePosixPath(found.name).relative_to(asked))
    return Candidate(found.format, asked, _relative(names, asked), inside)


def _recognised(names: Collection[str], where: str) -> Candidate:
    folders = {str(PurePosixPath(name).parent) for name in names if _called(name, MLMODEL)}
    # A model may contain other models, which are parts of it.
    folders = {each for each in folders if not any(_inside(each, other) for other in folders)}
    files = [name for name in names if PurePosixPath(name).suffix.lower() in FORMATS]
    found = sorted(folders) or sorted(files)
    place = "the kept outputs" if where == "." else f"`{where}`"
    if not found:
        raise Unusable(
            f"no model is recognised in {place}: {_shown(names)}. The run must write {RECOGNISED}, "
            "into outputs/."
        )
    if len(found) > 1:
        raise Unusable(
            f"there are several models in {place}: {_shown(found)}. Set `path` to the one to serve."
        )
    return _folder(names, found[0]) if folders else _file(found[0])


def _folder(names: Collection[str], folder: str) -> Candidate:
    return Candidate(MLFLOW, folder, _relative(names, folder), ".")


def _file(name: str) -> Candidate:
    path = PurePosixPath(name)
    format_ = FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise Unusable(f"`{name}` has no known format: a model is {RECOGNISED}.")
    return Candidate(format_, str(path.parent), (path.name,), path.name)


def _called(name: str, last: str) -> bool:
    return PurePosixPath(name).name == last


def _inside(folder: str, other: str) -> bool:
    return folder != other and (other == "." or folder.startswith(f"{other}/"))


def _below(names: Collection[str], folder: str) -> list[str]:
    return [name for name in names if folder == "." or name.startswith(f"{folder}/")]


def _relative(names: Collection[str], folder: str) -> tuple[str, ...]:
    cut = 0 if folder == "." else len(folder) + 1
    return tuple(sorted(name[cut:] for name in _below(names, folder)))


def _folders(names: Collection[str]) -> set[str]:
    return {str(each) for name in names for each in PurePosixPath(name).parents} - {"."}


def _shown(names: Collection[str]) -> str:
    if not names:
        return "there are no files"
    first: Sequence[str] = sorted(names)[:_SHOWN]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(first)}{more}"
