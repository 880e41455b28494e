"""What notebooks import before they do anything else, and what they have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from handlers.local_handler.imports import SharedImports, leading
from mlgate.orchestration.runs import RunKind, RunSpec

CASES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "modules": (
        ("import numpy as np, pandas", "import scipy.stats"),
        ("numpy", "pandas", "scipy", "scipy.stats"),
    ),
    "names, which may be modules": (
        ("from scipy import stats\nfrom sklearn.svm import SVC, l1_min_c",),
        (
            "scipy",
            "scipy.stats",
            "sklearn",
            "sklearn.svm",
            "sklearn.svm.SVC",
            "sklearn.svm.l1_min_c",
        ),
    ),
    "not Python's own": (
        ("import os, numpy\nfrom pathlib import Path\nimport this, a",),
        ("numpy", "a"),
    ),
    "until something is done": (("import numpy\nnumpy.random.seed(1)\nimport pandas",), ("numpy",)),
    "until something is done in another cell": (
        ("import numpy", "x = 1", "import pandas"),
        ("numpy",),
    ),
    "until an import that may fail": (
        ("import a\ntry:\n    import b\nexcept ImportError: b = 0",),
        ("a",),
    ),
    "until code of the repository": (("import a, helper, b",), ("a",)),
    "until a package of the repository": (
        ("import a\nfrom package.part import x\nimport b",),
        ("a",),
    ),
    "until a relative import": (("import a\nfrom . import x\nimport b",), ("a",)),
    "texts": (('"""What it does."""\nimport a', "'text'\nimport b"), ("a", "b")),
    "comments": (("# !pip install x\n\nimport a  # %cd /",), ("a",)),
    "magics that do nothing": (
        (
            "%matplotlib inline\nimport a",
            "%load_ext autoreload\n%autoreload 2",
            "import b",
            "%config InlineBackend.figure_format = 'svg'\nimport c",
        ),
        ("a", "b", "c"),
    ),
    "until another magic": (("import a", "%env X=1\nimport b"), ("a",)),
    "until a shell line": (("import a", "!pip install b", "import b"), ("a",)),
    "until a cell of another language": (("import a", "%%bash\nimport b"), ("a",)),
    "until a cell that is not Python": (("import a", "import b\n)"), ("a",)),
    "once each": (("import a\nimport a", "import a.b\nimport a"), ("a", "a.b")),
    "nothing": ((), ()),
    "until a name that is too long": ((f"import a, {'b' * 200}, c",), ("a",)),
    "until what no parser can hold": (("import a", "-" * 100_000 + "1"), ("a",)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_notebook_imports_first(tmp_path: Path, case: str) -> None:
    cells, expected = CASES[case]
    assert leading(notebook(tmp_path / "a.ipynb", *cells), {"helper", "package"}) == expected


@pytest.mark.parametrize(
    "content",
    [b"", b"no JSON", b"[]", b"{}", b'{"cells": 1}', b'{"cells": [{"cell_type": "code"}]}', b"\xff",
     b'{"cells": [1]}', b"[" * 100_000, b'{"cells": [], "more": "' + b"x" * (1 << 20) + b'"}'],
)  # fmt: skip
def test_what_is_no_notebook_imports_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ipynb").write_bytes(content)
    assert leading(tmp_path / "a.ipynb", set()) == ()
    assert leading(tmp_path / "none.ipynb", set()) == ()


def test_a_cell_that_is_not_executed_counts_for_nothing(tmp_path: Path) -> None:
    path = notebook(tmp_path / "a.ipynb", "x = 1", "import a")
    content = json.loads(path.read_text())
    content["cells"][1]["metadata"]["tags"] = ["skip-execution"]
    path.write_text(json.dumps(content))
    assert leading(path, set()) == ("a",)


def test_what_several_import_first_is_shared(tmp_path: Path) -> None:
    shared = SharedImports()
    texts = {"x": "a, b, c", "y": "a, b, d", "z": "b, a", "u": "a"}
    runs = [build(tmp_path, name, text) for name, text in texts.items()]
    shared.add(tmp_path, runs)
    assert [shared.of(tmp_path, run) for run in runs] == [["a", "b"], ["a", "b"], [], ["a"]]
    assert shared.of(tmp_path / "another", runs[0]) == []


def test_the_same_notebook_of_the_next_build_shares_all_with_itself(tmp_path: Path) -> None:
    shared = SharedImports()
    first, second = tmp_path / "first", tmp_path / "second"
    runs = []
    for folder in (first, second):
        folder.mkdir()
        runs = [build(folder, "x", "a, b")]
        shared.add(folder, runs)
    assert shared.of(second, runs[0]) == ["a", "b"]


def test_builds_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    shared = SharedImports()
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        shared.add(folder, [build(folder, "x", "a")])
    assert shared.of(new, build(new, "x", "a")) == ["a"]
    for number in range(7):
        shared.add(tmp_path / str(number), [])
    assert shared.of(new, build(new, "x", "a")) == []


def test_many_threads_may_ask_while_others_add(tmp_path: Path) -> None:
    shared = SharedImports()
    run = build(tmp_path, "x", "a, b")
    shared.add(tmp_path, [run])
    shared.add(tmp_path / "..", [])

    def stage(number: int) -> list[str]:
        shared.add(tmp_path / str(number % 3), [])
        shared.add(tmp_path, [run])
        return shared.of(tmp_path, run)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(stage, range(300))) == [[]] * 300


def build(folder: Path, name: str, imports: str) -> RunSpec:
    notebook(folder / f"{name}.ipynb", f"import {imports}")
    return RunSpec(name=name, kind=RunKind.NOTEBOOK, path=f"{name}.ipynb")


def notebook(path: Path, *cells: str) -> Path:
    listed = [{"cell_type": "markdown", "metadata": {}, "source": "# Text"}]
    listed += [{"cell_type": "code", "metadata": {}, "source": source} for source in cells]
    path.write_text(json.dumps({"cells": listed}))
    return path
