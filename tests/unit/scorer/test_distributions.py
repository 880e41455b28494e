"""Whose the modules are that were imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgate.scorer.distributions import imported, owners


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages; what a test imports of it is forgotten again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def install(site: Path, name: str, version: str, *files: str, tops: str | None = None) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    if tops is not None:
        (info / "top_level.txt").write_text(tops)
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).touch()


def test_a_distribution_is_found_by_its_modules_and_called_by_its_normal_name(site: Path) -> None:
    install(site, "Scikit_Fake", "1.5.2", "skfake/__init__.py", "skfake/deep.py")
    install(site, "single", "2", "single.py")
    install(site, "unused", "3", "unused.py")
    before = set(sys.modules)
    for name in ("skfake.deep", "single"):
        importlib.import_module(name)

    assert imported(before) == {"scikit-fake": "1.5.2", "single": "2"}


def test_what_was_imported_before_does_not_count(site: Path) -> None:
    install(site, "early", "1", "early.py")
    importlib.import_module("early")

    assert imported(set(sys.modules)) == {}


def test_of_a_shared_namespace_the_one_with_the_file_owns_it(site: Path) -> None:
    install(site, "space-one", "1", "space/one.py")
    install(site, "space-two", "2", "space/two.py")
    before = set(sys.modules)
    importlib.import_module("space.two")

    assert imported(before) == {"space-two": "2"}


def test_an_editable_one_is_known_by_its_top(site: Path, tmp_path: Path) -> None:
    install(site, "edited", "4", tops="edited\n")

    assert owners({"edited": "/src/edited/__init__.py"}) == {"edited": "4"}


def test_pythons_own_module_is_not_its_backports(site: Path) -> None:
    install(site, "dataclasses", "0.8", "dataclasses.py")
    import dataclasses

    assert owners({"dataclasses": str(dataclasses.__file__)}) == {}


def test_what_travels_is_none_of_the_environments(site: Path) -> None:
    assert owners({"mlgate.scorer": "/x/mlgate/scorer/__init__.py"}) == {}


def test_what_runs_on_azure_ml_log_by_is_not_needed(site: Path) -> None:
    install(site, "azureml-mlflow", "1", "azureml/__init__.py")
    install(site, "azureml-other", "2", "azureml/other.py")
    files = {
        name: str(site / "azureml" / file)
        for name, file in (("azureml", "__init__.py"), ("azureml.other", "other.py"))
    }

    assert owners(files) == {"azureml-other": "2"}
