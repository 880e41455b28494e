"""What is read from an executed notebook, however it looks."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgate.orchestration.verdict.notebook_view import CellRecord, Images, Notebook
from tests.unit.orchestration.verdict.samples import code_cell, notebook, plot, png

ANY_TEXT = st.text(st.characters(exclude_categories=()))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)


def almost(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with these fields, each of which may be anything else, or missing."""
    return st.fixed_dictionaries(
        {}, optional={key: st.one_of(ANY_JSON, fields[key]) for key in fields}
    )


ALMOST_OUTPUT = almost(
    output_type=st.sampled_from(["error", "display_data"]),
    ename=ANY_TEXT,
    traceback=st.lists(ANY_TEXT, max_size=2),
    data=st.dictionaries(st.sampled_from(["image/png", "image/svg+xml"]), ANY_JSON, max_size=2),
)
ALMOST_CELL = almost(
    cell_type=st.just("code"),
    source=ANY_TEXT,
    outputs=st.lists(ALMOST_OUTPUT, max_size=2),
    metadata=almost(mlgate=almost(number=st.integers(), status=ANY_TEXT, seconds=st.floats())),
)


def cells(ipynb: bytes) -> tuple[CellRecord, ...]:
    return Notebook.parse(ipynb).cells()


def plots(ipynb: bytes) -> Images:
    return Notebook.parse(ipynb).images(size=1_000_000)


def test_numbered_cells_are_told_with_status_time_and_source() -> None:
    injected = code_cell(None, source="alpha = 1")
    text = {"cell_type": "markdown", "source": "# Title", "metadata": {}}
    ran = code_cell(1, source=["\n", "import pandas\n", "x = 1"])
    assert cells(notebook(text, injected, ran, code_cell(2, "not_run", "y = 2"))) == (
        CellRecord(1, "succeeded", 0.5, "\nimport pandas\nx = 1", None),
        CellRecord(2, "not_run", 0.5, "y = 2", None),
    )


def test_the_title_of_a_cell_is_its_first_line_that_says_something() -> None:
    (record,) = cells(notebook(code_cell(1, source="\n   \n  import pandas\nx = 1")))
    assert record.title == "import pandas"


def test_the_error_of_a_cell_is_its_traceback_without_colors() -> None:
    error = {
        "output_type": "error",
        "ename": "E",
        "evalue": "v",
        "traceback": ["\x1b[31mE\x1b[0m: v"],
    }
    (record,) = cells(notebook(code_cell(1, "failed", outputs=[error])))
    assert record.error == "E: v"


def test_an_error_without_a_name_is_told_by_its_traceback() -> None:
    error = {"output_type": "error", "ename": None, "evalue": None, "traceback": ["ValueError: no"]}
    (record,) = cells(notebook(code_cell(1, "failed", outputs=[error])))
    assert record.error == "ValueError: no"


@pytest.mark.parametrize("seconds", [None, True, "3", -1, float("nan"), float("inf"), 10**400])
def test_a_duration_that_is_none_is_unknown(seconds: object) -> None:
    cell = code_cell(1)
    cell["metadata"]["mlgate"]["seconds"] = seconds
    assert cells(notebook(cell))[0].seconds is None


@pytest.mark.parametrize("number", [0, -1, True, "1", 1.0, None, [1]])
def test_a_cell_with_no_proper_number_is_not_counted(number: object) -> None:
    cell = code_cell(1)
    cell["metadata"]["mlgate"]["number"] = number
    assert cells(notebook(cell)) == ()


def test_the_first_of_two_cells_with_one_number_counts() -> None:
    assert [cell.source for cell in cells(notebook(code_cell(1, source="a"), code_cell(1)))] == [
        "a"
    ]


def test_plots_are_found_in_order_with_their_cells() -> None:
    svg = {"output_type": "execute_result", "data": {"image/svg+xml": ["<svg>", "</svg>"]}}
    jpeg = plot("image/jpeg", b"\xff\xd8\xff\xe0rest")
    found = plots(
        notebook(
            code_cell(None, outputs=[plot()]),
            code_cell(1, outputs=[{"output_type": "stream", "text": "hi"}, jpeg]),
            code_cell(2, outputs=[svg]),
        )
    )
    assert [(image.cell, image.media_type) for image in found.shown] == [
        (None, "image/png"),
        (1, "image/jpeg"),
        (2, "image/svg+xml"),
    ]
    assert found.left_out == 0
    assert base64.b64decode(found.shown[0].data_uri.removeprefix("data:image/png;base64,")) == png()
    assert base64.b64decode(found.shown[2].base64) == b"<svg></svg>"


def test_a_figure_in_several_formats_is_one_image() -> None:
    output = plot()
    output["data"]["image/svg+xml"] = "<svg></svg>"
    assert [
        image.media_type for image in plots(notebook(code_cell(1, outputs=[output]))).shown
    ] == ["image/png"]


@pytest.mark.parametrize(
    "data",
    [
        {"image/png": "not base64!"},
        {"image/png": base64.b64encode(b"<script>alert(1)</script>").decode()},
        {"image/png": '"><img src=x onerror=alert(1)>'},
        {"image/svg+xml": "no picture"},
        {"text/html": "<img src=https://evil.example/pixel.png>"},
        {"image/png": 3},
        None,
    ],
)
def test_what_is_no_image_is_not_shown(data: object) -> None:
    output = {"output_type": "display_data", "data": data}
    assert plots(notebook(code_cell(1, outputs=[output]))).shown == ()


def test_images_are_bounded_in_number_and_size() -> None:
    ipynb = notebook(code_cell(1, outputs=[plot()] * 5))
    one = len(base64.b64encode(png()))
    few = Notebook.parse(ipynb).images(size=100 * one, count=2)
    small = Notebook.parse(ipynb).images(size=3 * one)
    assert (len(few.shown), few.left_out) == (2, 3)
    assert (len(small.shown), small.left_out, small.size) == (3, 2, 3 * one)


@pytest.mark.parametrize(
    "ipynb", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"cells": 3}']
)
def test_what_is_no_notebook_has_neither_cells_nor_plots(ipynb: bytes) -> None:
    assert cells(ipynb) == ()
    assert plots(ipynb).shown == ()


@settings(deadline=None)  # a busy machine is not a failure
@given(st.binary() | st.lists(ALMOST_CELL, max_size=3).map(lambda found: {"cells": found}))
def test_no_notebook_makes_it_raise(content: object) -> None:
    ipynb = content if isinstance(content, bytes) else json.dumps(content).encode()
    assert all(record.number > 0 for record in cells(ipynb))
    assert all(image.data_uri.isascii() for image in plots(ipynb).shown)
