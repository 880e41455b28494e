"""Every notebook that runs has a page, which shows what Jupyter shows and leads nowhere."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlgate.launcher.languages import foreign_language
from mlgate.launcher.page import render
from tests.contract.launcher.harness import Start, code, notebook

v4: Any = nbformat.v4  # without types


def cell(**fields: Any) -> dict[str, Any]:
    given = {"cell_type": "code", "source": "1", "metadata": {}, "execution_count": 1}
    return {**given, "outputs": [], **fields}


def markdown(source: str, **fields: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}, **fields}


def shown(data: Any, **fields: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}, **fields}


def page(tmp_path: Path, *cells: dict[str, Any], **metadata: Any) -> str:
    """The body of the page."""
    whole = whole_page(tmp_path, *cells, **metadata)
    return whole[whole.index("<body") :]


def whole_page(tmp_path: Path, *cells: dict[str, Any], **metadata: Any) -> str:
    content = {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": list(cells)}
    (tmp_path / "root" / "nb").mkdir(parents=True, exist_ok=True)
    path = tmp_path / "root" / "nb" / "notebook.ipynb"
    return render(nbformat.from_dict(content), path, (tmp_path / "root").resolve())


ODD: dict[str, Any] = {
    "tags": {"metadata": {"tags": ["a,b", "a,b", 7]}},
    "collapsed": {"metadata": {"collapsed": "yes", "scrolled": 3}},
    "name": {"metadata": {"name": 1, "jupyter": []}},
    "count": {"execution_count": "seven"},
    "no data": {"outputs": [shown(None), shown({}), shown({"text/plain": None})]},
    "odd metadata": {"outputs": [shown({"text/plain": "x"}, metadata={"text/plain": 7})]},
    "unknown output": {"outputs": [{"output_type": "comm"}]},
    "odd error": {"outputs": [{"output_type": "error", "ename": None, "traceback": [1]}]},
}


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD.keys())
def test_a_cell_that_breaks_the_format_has_its_page(tmp_path: Path, fields: Any) -> None:
    assert "after it" in page(tmp_path, cell(**fields), cell(source="'after it'"))


@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {}},
        {"kernelspec": {"display_name": 3}, "language_info": {}},
        {"title": ["x"], "authors": 1, "orig_nbformat": "three"},
    ],
)
def test_metadata_that_breaks_the_format_costs_no_page(run_notebook: Start, metadata: Any) -> None:
    content = {**notebook("print('sho' + 'wn')"), "metadata": metadata}
    run = run_notebook(content)

    assert run.outcome["status"] == "succeeded"
    assert "shown" in run.html
    assert not [text for text in run.outcome["warnings"] if "HTML" in text]


def test_a_bar_is_shown_in_its_last_state(run_notebook: Start) -> None:
    source = "for i in range(1000): print(f'\\r{i}/999 of it', end='')"
    run = run_notebook(notebook(source))

    assert "999/999 of it" in run.html
    assert "998/999 of it" not in run.html
    assert run.cells[0].outputs[0].text.count("\r") == 1000


HOSTILE = [
    "<meta http-equiv='refresh' content='0;url=https://elsewhere.example'>",
    "<META/HTTP-EQUIV=refresh content='0;url=https://elsewhere.example'>",
    "<me<meta>ta http-equiv=refresh content='0;url=https://elsewhere.example'>",
    "<base href='https://elsewhere.example'>",
    "<form action='https://elsewhere.example'><input type=password></form>",
    "<svg><foreignObject><FORM\nmethod=post></FORM></foreignObject></svg>",
    "<div><base\thref=//elsewhere.example target=_top></div>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_page_leads_elsewhere(tmp_path: Path, text: str) -> None:
    body = page(tmp_path, cell(outputs=[shown({"text/html": text})]), markdown(f"hello\n\n{text}"))

    assert not re.findall(r"<\s*(?:meta|base|form)\b", body, re.IGNORECASE)
    assert "hello" in body


def test_the_policy_of_a_page_says_so_too(tmp_path: Path) -> None:
    whole = whole_page(tmp_path, cell())
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', whole)

    assert {"base-uri 'none'", "form-action 'none'"} <= set(policy.split("; "))


def test_what_a_markdown_cell_writes_of_such_tags_is_shown(tmp_path: Path) -> None:
    assert "&lt;form&gt;" in page(tmp_path, markdown("use `<form>` here"))


def test_images_of_the_tree_are_in_the_page_and_no_other_file_is(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "nb" / "img").mkdir(parents=True)
    for name in ("nb/img/a b.png", "up.png", "nb/secret.txt"):
        (root / name).write_bytes(name.encode())
    (tmp_path / "host.png").write_bytes(b"host")
    (root / "nb" / "link.png").symlink_to(tmp_path / "host.png")
    (root / "nb" / "zero.png").symlink_to("/dev/zero")
    (root / "nb" / "large.png").touch()
    with (root / "nb" / "large.png").open("r+b") as large:
        large.truncate(1 << 30)
    wanted = ["img/a%20b.png", "../up.png"]
    others = [str(tmp_path / "host.png"), "../../host.png", "link.png", "zero.png", "large.png"]
    others += ["secret.txt", "/etc/hostname", "missing.png", "https://example.org/x.png"]
    body = page(
        tmp_path,
        markdown(" ".join(f"![x]({name})" for name in [*wanted, *others])),
        cell(outputs=[shown({"text/html": '<img width=3 src="../up.png">'})]),
    )

    sources = re.findall(r'<img[^>]*src="([^"]*)"', body)
    embedded = [base64.b64decode(s.partition(",")[2]) for s in sources if s.startswith("data:")]
    assert embedded == [b"nb/img/a b.png", b"up.png", b"up.png"]
    assert len(sources) == len(wanted) + len(others) + 1


def test_an_attachment_that_is_missing_costs_no_page(tmp_path: Path) -> None:
    attached = {"there.png": {"image/png": "eHg="}, "odd": 7}
    source = "![a](attachment:there.png) ![b](attachment:gone.png)"
    body = page(tmp_path, markdown(source, attachments=attached))

    assert "data:image/png;base64,eHg=" in body


BROKEN: dict[str, dict[str, Any]] = {
    "kernelspec": {"metadata": {"kernelspec": "python3"}},
    "kernel name": {"metadata": {"kernelspec": {"name": 3}}},
    "language": {"metadata": {"language_info": {"name": ["python"]}}},
    "metadata": {"metadata": [1]},
    "tags": {"cells": [cell(metadata={"tags": 7})]},
    "cell metadata": {"cells": [cell(metadata="m")]},
    "source": {"cells": [cell(source=None)]},
    "source of numbers": {"cells": [cell(source=7)]},
    "cell": {"cells": [7]},
    "cells": {"cells": {"a": 1}},
    "no cell type": {"cells": [{"source": "1"}]},
    "unknown cell type": {"cells": [cell(cell_type="video")]},
    "minor format as text": {"nbformat_minor": "4"},
    "minor format null": {"nbformat_minor": None},
    "minor format a list": {"nbformat_minor": [1]},
    "format true": {"nbformat": True},
    "half a surrogate pair": {"cells": [cell(source="x = '\ud800'")]},
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_notebook_is_invalid(run_notebook: Start, fields: dict[str, Any]) -> None:
    content = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [], **fields}
    run = run_notebook(content)

    assert run.failure["kind"] == "invalid", run.failure
    assert run.failure["message"].startswith("notebook.ipynb is not a readable notebook: ")


@pytest.mark.parametrize("language", ["R", "julia"])
def test_a_cell_of_an_old_notebook_in_another_language_is_invalid(
    run_notebook: Start, language: str
) -> None:
    old = {"cell_type": "code", "input": "1", "language": language, "outputs": [], "metadata": {}}
    content = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}}
    run = run_notebook({**content, "worksheets": [{"cells": [old]}]})

    assert run.failure["kind"] == "invalid", run.failure
    assert language in run.failure["message"]


BUNDLE = """
class Shown:
    def _repr_mimebundle_(self, **_): return {"text/plain": "plain", "image/png": %s}
Shown()
"""
SENT = """
from IPython import get_ipython
session, socket = get_ipython().kernel.session, get_ipython().kernel.iopub_socket
session.send(socket, %r, %r, parent=get_ipython().kernel.get_parent())
print("after")
"""
ODD_MESSAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "no text": ("stream", {"name": "stdout"}),
    "a number as text": ("stream", {"name": "stdout", "text": 5}),
    "no value of an error": ("error", {"ename": "E", "traceback": []}),
    "a number as data": ("display_data", {"data": 7, "metadata": {}}),
    "a number as transient": ("display_data", {"data": {}, "metadata": {}, "transient": 5}),
    "no data of a comm": ("comm_msg", {"comm_id": "c"}),
    "no state": ("status", {}),
}


@pytest.mark.parametrize("value", ["None", "5", "3.5", "['a', 5, None]"])
def test_a_part_of_a_value_that_no_notebook_can_hold_is_left_out(
    run_notebook: Start, value: str
) -> None:
    run = run_notebook(notebook(BUNDLE % value, "print('after')"))

    assert run.outcome["status"] == "succeeded", run.failure
    [output] = run.cells[0].outputs
    assert output.data == {"text/plain": "plain"}
    assert len(run.outcome["warnings"]) == (value != "None")


@pytest.mark.parametrize("sent", ODD_MESSAGES.values(), ids=ODD_MESSAGES.keys())
def test_a_message_that_is_not_as_the_protocol_says_is_left_out(
    run_notebook: Start, sent: tuple[str, dict[str, Any]]
) -> None:
    run = run_notebook(notebook(SENT % sent, "print('next')"))

    assert run.outcome["status"] == "succeeded", run.failure
    assert [output.text for each in run.cells for output in each.outputs] == ["after\n", "next\n"]
    [warning] = run.outcome["warnings"]
    assert warning.startswith("an output of a cell cannot be shown and was left out: ")


@pytest.mark.parametrize("name", ["sql", "rust", "go", "sas"])
def test_a_notebook_in_python_is_whatever_its_kernel_is_called(name: str) -> None:
    assert foreign_language("python", name, None) is None


def test_a_python_notebook_runs_whatever_its_kernel_is_called(run_notebook: Start) -> None:
    kernel = {"name": "sql", "display_name": "sql"}
    run = run_notebook(
        notebook(code("print('ran')"), kernelspec=kernel, language_info={"name": "python"})
    )

    assert run.outcome["status"] == "succeeded"
    assert run.outcome["warnings"] == ["the kernel `sql` is not known here: `python3` was used"]
