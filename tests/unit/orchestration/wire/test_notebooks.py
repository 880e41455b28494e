"""What a notebook's file tells, whatever it holds."""

from __future__ import annotations

import ast
import json
import sys
import warnings
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgate.launcher.cell_code import parsed
from mlgate.orchestration.planning.literal_paths import read_files
from mlgate.orchestration.planning.notebooks import CodeCell, Unreadable, read_notebook
from tests.unit.orchestration.wire.samples import notebook
from tests.unit.orchestration.wire.test_read import json_values


def test_cells_tags_kernel_and_language_are_read() -> None:
    metadata = {"kernelspec": {"name": "k", "language": "R"}, "language_info": {"name": "python"}}
    found = read_notebook(notebook("x = 1", ("y", ["a", "b"]), **metadata))
    assert found.cells == (CodeCell(1, "x = 1"), CodeCell(2, "y", frozenset({"a", "b"})))
    assert (found.nbformat, found.kernel, found.language) == (4, "k", "python")


def test_markdown_is_no_code_cell_and_a_source_may_be_lines() -> None:
    cells = [
        {"cell_type": "markdown", "source": "# title"},
        {"cell_type": "code", "source": ["a = 1\n", "b = 2"]},
    ]
    found = read_notebook(json.dumps({"nbformat": 4, "cells": cells}).encode())
    assert found.cells == (CodeCell(1, "a = 1\nb = 2"),)
    assert found.kernel is found.language is None


def test_format_3_keeps_its_cells_in_worksheets() -> None:
    cell = {"cell_type": "code", "input": "print 1", "language": "python", "metadata": {}}
    content = {"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": [cell]}]}
    found = read_notebook(json.dumps(content).encode())
    assert (found.language, found.cells[0].source) == ("python", "print 1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a notebook"),
        (b"{}", "not a notebook"),
        (b'{"nbformat": 5}', "format 5"),
        (b'{"nbformat": 4}', "cells"),
    ],
)
def test_what_is_no_notebook_is_told_in_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read_notebook(content)


@given(
    st.fixed_dictionaries(
        {"nbformat": st.sampled_from([2, 3, 4])},
        optional={"metadata": json_values, "cells": json_values, "worksheets": json_values},
    )
)
def test_an_odd_notebook_is_read_or_unreadable(document: dict[str, Any]) -> None:
    try:
        found = read_notebook(json.dumps(document).encode())
    except Unreadable:
        return
    assert found.foreign_language() is None or isinstance(found.foreign_language(), str)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("alpha = 0.5\nbeta: int = 2\na, (b, *c) = 1, (2, 3)", {"alpha", "beta", "a", "b", "c"}),
        ("%matplotlib inline\nalpha = 1\n!ls", {"alpha"}),
        ("if True:\n    x = 1\ndef f():\n    y = 1", {"x"}),
        ("# nothing", set()),
        ("%%bash\nx=1", set()),
    ],
)
def test_the_tagged_cell_tells_the_parameters(source: str, names: set[str]) -> None:
    found = read_notebook(notebook("z = 0", (source, ["parameters"]), ("w = 1", ["parameters"])))
    assert found.parameter_names() == frozenset(names)


@pytest.mark.parametrize("cells", [["x = 1"], [("x = = 1", ["parameters"])]])
def test_parameters_are_unknown_without_a_readable_tagged_cell(cells: list[Any]) -> None:
    assert read_notebook(notebook(*cells)).parameter_names() is None


CELLS = [
    "",
    "  \n",
    "x = 1",
    "print 'Python 2'",
    "def f(:",
    "%matplotlib inline\nimport os",
    "x = 1\n%time y = 2\nif x:\n    !ls {x}\n    %timeit x",
    "files = !ls -la (",
    "a, b = %env",
    "!pip install a \\\n    b \\\n    c\nx = 1",
    "!echo it's",
    "!cat <<EOF '''",
    "x?\nx.y??\n?x",
    "%%time\nx = 1",
    "%%capture out\n%%time\nx = 1",
    "%%bash\nfor f in *; do echo $f; done",
    "\n%%writefile a.py\nx = = 1",
    "x = '''\n%not a magic\n'''",
    "x = (7\n% 3)",
    "x = (7\n% 3)\n%time x",
    "    x = 1\n    y = 2",
    "await f()\nasync with g() as h:\n    pass",
    "for i in range(3):\n    %time i",
    "x = 1 if",
    "x = '\\d'",
    "lambda: (yield)",
    ",f a b",
    "/f a",
    "x = $y",
    "a = b = !ls",
    "%cd data\n'unclosed",
    "if True:\npass",
    "x = 1\r\n%time y\r\nz = 3",
    pytest.param(
        "s = 'form\x0cfeed'\n!ls",
        marks=pytest.mark.skipif(
            sys.version_info >= (3, 12),
            reason="IPython ends a line there, and the tokenizer of Python 3.12 refuses that line",
        ),
    ),
]


@pytest.mark.parametrize("source", CELLS)
def test_a_cell_parses_when_it_does_for_ipython(source: str) -> None:
    """IPython's own transformation is the reference."""
    from IPython.core.inputtransformer2 import TransformerManager

    code = TransformerManager().transform_cell(source)
    assert _parses(parsed, source) == _parses(ast.parse, code)


@pytest.mark.parametrize(
    ("source", "parses"),
    [
        ("pip install pandas", True),
        ("cd ..", True),
        ("x = 1\npip install pandas", False),
        ("%%time\nx = = 1", False),
    ],
)
def test_what_ipython_decides_only_when_it_runs_a_cell(source: str, parses: bool) -> None:
    """Magics without `%`, which it takes in a cell of one line only, and the body of `%%time`."""
    assert _parses(parsed, source) == parses


def _parses(parse: Any, source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parse(source)
    except SyntaxError:
        return False
    return True


def test_a_syntax_error_has_its_line_in_the_cell() -> None:
    found = read_notebook(notebook("x = 1", "%time\n\nx = = 1"))
    ((cell, error),) = found.syntax_errors()
    assert (cell.number, error.lineno) == (2, 3)


def test_cells_that_are_skipped_or_expected_to_raise_may_be_wrong() -> None:
    tagged = [("x = =", ["skip-execution"]), ("print 1", ["raises-exception"])]
    assert list(read_notebook(notebook(*tagged)).syntax_errors()) == []


@given(st.text(alphabet=st.sampled_from("x=!%?\\ \n('\"[{:;,/\t\0if")))
def test_any_cell_parses_or_is_a_syntax_error(source: str) -> None:
    with suppress(SyntaxError):
        assert isinstance(parsed(source), ast.Module)


def test_an_absurd_cell_is_a_syntax_error() -> None:
    assert not _parses(parsed, "x = " + "(" * 5000 + ")" * 5000)
    assert not _parses(parsed, "-" * 200_000 + "1")


@pytest.mark.parametrize(
    ("metadata", "kernel", "language"),
    [
        ({}, None, None),
        ({"kernelspec": {"name": "python310-sdkv2"}}, None, None),
        ({"kernelspec": {"name": "sdkv2"}}, None, None),
        ({"kernelspec": {"name": "java"}, "language_info": {"name": "python"}}, None, None),
        ({"kernelspec": {"name": "ir"}}, None, "ir"),
        ({"kernelspec": {"name": "julia-1.9"}}, None, "julia-1.9"),
        ({"kernelspec": {"name": ".net-csharp"}}, None, ".net-csharp"),
        ({"kernelspec": {"name": "x", "language": "R"}}, None, "R"),
        ({"language_info": {"name": "scala"}}, "python3", "scala"),
        ({"language_info": {"name": "Python"}}, "ir", "ir"),
        ({"language_info": {"name": "ipython"}}, "my-env", None),
    ],
)
def test_only_another_language_is_foreign(
    metadata: dict[str, Any], kernel: str | None, language: str | None
) -> None:
    assert read_notebook(notebook(**metadata)).foreign_language(kernel) == language


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["df = pd.read_csv('d/x.csv')"], [(1, "d/x.csv")]),
        (["x = 1", "data = json.load(open('x.json'))"], [(2, "x.json")]),
        (["with open('x', 'w') as f: pass"], []),
        (["open('x', mode='w')"], []),
        (["df.to_csv('x.csv')", "pd.read_csv('x.csv')"], []),
        (["if c:\n    pd.read_csv('x.csv')"], []),
        (["try:\n    pd.read_csv('x.csv')\nexcept OSError: pass"], []),
        (["def f():\n    return open('x')"], []),
        (["!wget http://x/y.zip", "pd.read_csv('x.csv')"], []),
        (["!pip install pandas", "pd.read_csv('x.csv')"], [(2, "x.csv")]),
        (["os.chdir('data')", "pd.read_csv('x.csv')"], []),
        (["%cd data", "pd.read_csv('x.csv')"], []),
        (["pd.read_csv(path)"], []),
        (["x = = 1", "pd.read_csv('x.csv')"], [(2, "x.csv")]),
    ],
)
def test_only_certain_reads_count(sources: list[str], expected: list[tuple[int, str]]) -> None:
    cells = [CodeCell(number, source) for number, source in enumerate(sources, 1)]
    assert list(read_files(cells)) == expected


def test_cells_that_do_not_run_or_may_fail_read_nothing() -> None:
    cells = [
        CodeCell(1, "open('x')", frozenset({tag})) for tag in ("skip-execution", "raises-exception")
    ]
    assert list(read_files(cells)) == []
