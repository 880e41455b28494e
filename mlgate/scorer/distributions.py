"""Which installed distributions own the modules that were imported."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_PLUGIN = "azureml-mlflow"  # claims a namespace, but has nothing that models use: see `loading`
_OURS = __name__.partition(".")[0]  # travels with the run, even if it is also installed


def imported(before: Collection[str]) -> dict[str, str]:
    """Names and exact versions of the distributions whose modules were imported since `before`.

    `before` has the names of the modules imported earlier. Names are normalized as in PEP 503.
    """
    modules = {name: _file(module) for name, module in list(sys.modules.items())}
    return owners({name: file for name, file in modules.items() if name not in before})


def owners(modules: dict[str, str]) -> dict[str, str]:
    """Names and versions of the distributions that own the modules; `modules` maps names to files.

    A module without a file ("") belongs to the only distribution with its top-level name; if
    several have it, as in a namespace, it belongs to none.
    """
    claims = _claims()
    standard = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    found = {}
    for name, file in modules.items():
        top = name.partition(".")[0]
        claiming = [] if top == _OURS else claims.get(top, [])
        installed = "site-packages" in file or "dist-packages" in file
        if not claiming or (file.startswith(standard) and not installed):
            continue
        if len(claiming) > 1:
            claiming = [each for each in claiming if file in each.files]
        for each in claiming:
            found[each.name] = each.version
    return dict(sorted(found.items()))


class _Claim:
    """A distribution that lists a top-level module as its own."""

    def __init__(self, distribution: Distribution, name: str) -> None:
        self.name, self.version = name, str(distribution.version)
        self._distribution = distribution
        self._files: set[str] | None = None

    @property
    def files(self) -> set[str]:
        if self._files is None:
            listed = self._distribution.files or ()
            self._files = {str(self._distribution.locate_file(each)) for each in listed}
        return self._files


def _claims() -> dict[str, list[_Claim]]:
    """The claims on each top-level module.

    `importlib.metadata.packages_distributions` would need Python 3.10.
    """
    claims: dict[str, list[_Claim]] = {}
    seen = {"", _PLUGIN}
    for distribution in distributions():
        written = distribution.metadata["Name"]
        name = re.sub(r"[-_.]+", "-", written or "").lower()
        if name in seen:  # Python imports from the first one
            continue
        seen.add(name)
        claim = _Claim(distribution, name)
        for top in {*_tops(distribution)}:
            claims.setdefault(top, []).append(claim)
    return claims


def _tops(distribution: Distribution) -> Iterator[str]:
    # top_level.txt may be incomplete, so add the names from the list of files if there is one.
    yield from (distribution.read_text("top_level.txt") or "").split()
    for file in distribution.files or ():
        first, *rest = file.parts
        name = first if rest else inspect.getmodulename(first)
        if name and name.isidentifier():
            yield name


def _file(module: object) -> str:
    with contextlib.suppress(Exception):  # a module may be any object
        file = getattr(module, "__file__", None)
        return str(Path(file)) if isinstance(file, str) else ""
    return ""
