"""The locks: each the exact form of its ranges, for every Python, with no name of ours."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.contract.scorer.conftest import ENVIRONMENT as LIBRARIES
from tests.functions.conftest import ROOT
from tests.functions.host import QUEUE_FUNCTION, TIMER_FUNCTION
from tests.functions.process import ENVIRONMENT
from tests.functions.serving_app import FUNCTION

OURS = {"mlgate", "handlers", "tests", QUEUE_FUNCTION, TIMER_FUNCTION, FUNCTION}
PYTHONS = ("3.11", "3.12", "3.13")
UV = Path(sys.executable).parent / "uv"


QUEUE, SERVING = LOCKS = ("requirements", "requirements-serving")


def asked(lock: str) -> dict[str, Requirement]:
    lines = (ROOT / f"{lock}.in").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(each.name): each for each in wanted}


def locked(python: str, lock: str = QUEUE) -> dict[str, str]:
    """The version of each package that the lock has for that Python."""
    versions: dict[str, str] = {}
    for line in (ROOT / f"{lock}.txt").read_text().splitlines():
        if line and line[0] not in " #":
            requirement = Requirement(line.removesuffix(" \\"))
            there = {"python_version": python, "python_full_version": f"{python}.0"}
            if requirement.marker is None or requirement.marker.evaluate(there):
                [pin] = requirement.specifier
                assert pin.operator == "=="
                assert canonicalize_name(requirement.name) not in versions
                versions[canonicalize_name(requirement.name)] = pin.version
    return versions


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_package_asked_for_is_locked_within_its_range(python: str, lock: str) -> None:
    versions = locked(python, lock)
    for name, requirement in asked(lock).items():
        assert versions[name] in requirement.specifier


def test_the_ranges_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["azureml"]]
    ours = {Requirement(line).name: Requirement(line).specifier for line in lines}
    ranges = {name: requirement.specifier for name, requirement in asked(QUEUE).items()}
    del ranges["azure-functions"]
    assert ranges == ours


def test_both_locks_have_the_ranges_of_what_both_name() -> None:
    """And that of serving has what listens as the extra does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = map(Requirement, project["optional-dependencies"]["serving"])
    [listens] = [each for each in extra if each.name == "uvicorn"]
    queue, serving = asked(QUEUE), asked(SERVING)
    assert serving["uvicorn"] == listens
    assert queue.keys() & serving.keys() == {
        "azure-functions", "azure-identity", "azure-core", "azure-storage-blob", "pydantic",
    }  # fmt: skip
    assert all(serving[name] == each for name, each in queue.items() if name in serving)


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", PYTHONS)
def test_it_can_be_installed_without_a_compiler_and_lacks_nothing(
    python: str, lock: str, tmp_path: Path
) -> None:
    target = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    strict = ["--dry-run", "--require-hashes", "--only-binary", ":all:", "--target", str(tmp_path)]
    done = subprocess.run(
        [UV, "pip", "install", *strict, *target, "-r", ROOT / f"{lock}.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Would install {len(locked(python, lock))} packages" in done.stderr


@pytest.mark.parametrize("lock", LOCKS)
def test_no_dependency_shadows_a_package_of_ours(lock: str, deployed: Path) -> None:
    """The worker appends the app to the path, so whatever is installed would come first."""
    place = {QUEUE: ENVIRONMENT / "app", SERVING: LIBRARIES}[lock]
    [site] = (place / "lib").glob("python*/site-packages")
    installed = list(distributions(path=[str(site)]))
    names = {file.parts[0].partition(".")[0] for each in installed for file in each.files or []}
    assert {canonicalize_name(each.name) for each in installed} == set(
        locked(f"{sys.version_info.major}.{sys.version_info.minor}", lock)
    )
    assert "pydantic" in names
    assert names.isdisjoint(OURS | {path.name.partition(".")[0] for path in deployed.iterdir()})
