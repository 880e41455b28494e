"""Renders the executed notebook as a self-contained page, in which nothing runs or redirects."""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import mimetypes
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlgate.launcher.jupyter import jupyter
from mlgate.launcher.overwriting import last_state
from mlgate.launcher.values import Notebook

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
    "base-uri 'none'; form-action 'none'"
)
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
RENDERING = ("bs4", "bleach", "mistune", "jinja2", "nbconvert.exporters.html")
IMAGE_BYTES = 10 * 2**20  # the limit for one image
IMAGES_BYTES = 50 * 2**20  # the limit for all images together

# No policy can stop a `<meta>` that refreshes. The replacements look the same.
HARMLESS = {"meta": "wbr", "base": "wbr", "form": "div"}
HARMFUL = re.compile(r"(?<=<)(/?)(meta|base|form)\b", re.IGNORECASE)
# The data of an image that is in the page has no name of a file, but perhaps a thousand slashes.
SOURCE = re.compile(r"""(<img\b[^>]*?\ssrc=)(["'])(?!data:)([^"'>]*)\2""", re.IGNORECASE)
ATTACHED = re.compile(r"attachment:([^\s)\"'>]+)")


@functools.lru_cache
def exporter() -> Any:
    """One exporter for all pages, because it compiles its templates on first use."""
    make = jupyter("nbconvert.exporters.html").HTMLExporter
    return make(raw_template=TEMPLATE, optimistic_validation=True)  # once, not a dozen times


def render(notebook: Notebook, path: Path, root: Path) -> str:
    """The page of the notebook at `path`, with the images of the tree `root` that it names."""
    resources = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    page: str = exporter().from_notebook_node(shown(notebook), resources)[0]
    head, begin, body = page.partition("<body")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    body = HARMFUL.sub(lambda tag: tag[1] + HARMLESS[tag[2].lower()], body)
    body = with_images(body, path.parent, root)
    return head.replace("<head>", f"<head>{policy}", 1) + begin + body


def shown(notebook: Notebook) -> Notebook:
    """A notebook with only the visible parts of this one: others may violate the format.

    It is not validated here, because the exporter does that.
    """
    cells = []
    for number, cell in enumerate(notebook.cells):
        new = {"cell_type": cell.cell_type, "id": f"cell-{number}", "metadata": {}}
        more: dict[str, Any] = {}
        if cell.cell_type == "code":
            count = whole(cell.get("execution_count"))
            outputs = [seen for output in cell.outputs if (seen := shown_output(output))]
            more = {"outputs": outputs, "execution_count": count}
        elif cell.cell_type == "markdown":
            missing = {name: {"image/png": ""} for name in ATTACHED.findall(cell.source)}
            more = {"attachments": {**missing, **shown_attachments(cell.get("attachments"))}}
        cells.append({**new, "source": cell.source, **more})
    language = {"name": "python", "pygments_lexer": "ipython3"}
    made = {"cells": cells, "metadata": {"language_info": language}}
    return jupyter("nbformat").from_dict({**made, "nbformat": 4, "nbformat_minor": 5})


def whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def shown_output(output: Notebook) -> dict[str, Any] | None:
    kind = output.get("output_type")
    if kind == "stream":
        return {"output_type": kind, "name": output.name, "text": last_state(output.text)}
    if kind == "error":
        trace = [str(line) for line in output.get("traceback") or ()]
        name, value = str(output.get("ename")), str(output.get("evalue"))
        return {"output_type": kind, "ename": name, "evalue": value, "traceback": trace}
    if kind in ("display_data", "execute_result"):
        data = {
            mime: value
            for mime, value in (output.get("data") or {}).items()
            if isinstance(value, str) or mime.endswith("json")
        }
        sizes = {
            mime: {key: size for key, size in each.items() if key in ("width", "height")}
            for mime, each in (output.get("metadata") or {}).items()
            if isinstance(each, Mapping)
        }
        more = {"execution_count": whole(output.get("execution_count"))}
        more = more if kind == "execute_result" else {}
        return {"output_type": kind, "data": data, "metadata": sizes, **more} if data else None
    return None


def shown_attachments(attachments: Any) -> dict[str, dict[str, str]]:
    found = attachments.items() if isinstance(attachments, Mapping) else ()
    return {
        name: {mime: data for mime, data in bundle.items() if isinstance(data, str)}
        for name, bundle in found
        if isinstance(bundle, Mapping) and bundle
    }


def with_images(body: str, folder: Path, root: Path) -> str:
    """The body with images that are files of the tree embedded; no other file is."""
    room = IMAGES_BYTES

    def put(found: re.Match[str]) -> str:
        nonlocal room
        name = urllib.parse.unquote(html.unescape(found[3]))
        kind = mimetypes.guess_type(name)[0] or ""
        with contextlib.suppress(OSError, ValueError):
            path = (folder / name).resolve()
            if not kind.startswith("image/") or not path.is_relative_to(root):
                return found[0]
            size = path.stat().st_size
            if path.is_file() and size <= min(IMAGE_BYTES, room):
                room -= size
                data = base64.b64encode(path.read_bytes()).decode()
                return f"{found[1]}{found[2]}data:{kind};base64,{data}{found[2]}"
        return found[0]

    return SOURCE.sub(put, body)


def prepare_rendering() -> Iterator[None]:
    """Imports and compiles templates early, step by step: they save a second after the last cell.

    The steps may end at any one, and be done again.
    """
    for name in RENDERING:
        with contextlib.suppress(Exception):  # versions differ; rendering reports what fails there
            jupyter(name)
        yield
    for code in (False, True):
        prepare_templates(code)
        yield


@functools.lru_cache
def prepare_templates(code: bool) -> None:
    with contextlib.suppress(Exception):  # the real rendering fails in the same way and reports it
        v4 = jupyter("nbformat.v4")
        cells = [v4.new_code_cell("pass")] if code else [v4.new_markdown_cell("*")]
        render(v4.new_notebook(cells=cells), Path("warm"), Path("warm"))
