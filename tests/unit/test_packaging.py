"""What development asks for and what is locked for it are the same packages.

The locks of the function apps are held to their files in tests/functions/test_requirements.py.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "requirements-dev.txt").read_text("utf-8")
PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", re.MULTILINE)


def test_the_lock_of_development_holds_what_is_asked_for() -> None:
    """After a change of what is asked for: `make lock`. A package may have a version a Python."""
    project = PYPROJECT["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    development = PYPROJECT["dependency-groups"]["dev"]
    versions: dict[str, set[str]] = {}
    for package, version in PINNED.findall(LOCK):
        versions.setdefault(canonicalize_name(package), set()).add(version)

    for requirement in map(Requirement, [*project["dependencies"], *extras, *development]):
        have = versions.get(canonicalize_name(requirement.name), set())
        assert have, f"requirements-dev.txt lacks {requirement}"
        assert all(requirement.specifier.contains(each, prereleases=True) for each in have)


def test_no_lock_names_an_index_or_a_folder_of_whoever_made_it() -> None:
    for lock in ROOT.glob("requirements*.txt"):
        assert not re.search(r"^-|://", lock.read_text("utf-8"), re.MULTILINE), lock.name
