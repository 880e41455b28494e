"""Pieces that the sections of `report.html` share: icons, statuses, links."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from mlgate.orchestration.text import plain
from mlgate.orchestration.verdict.facts import web_url
from mlgate.orchestration.verdict.page.markup import Child, Markup, fragment, tag

# Of the icon in a browser's tab, which the page's style does not reach.
TONES = {"succeeded": "#3aa873", "failed": "#d9434f", "canceled": "#d39b2a"}
_SHAPES = {  # drawn in a 16 x 16 box, one shape for each status: color is never the only sign
    "succeeded": "M8 0a8 8 0 1 1 0 16A8 8 0 0 1 8 0zm3.3 4.9L7 9.3 4.7 7 3.3 8.4 7 12l5.7-5.7z",
    "failed": "M8 0a8 8 0 1 1 0 16A8 8 0 0 1 8 0zM5.6 4.2 4.2 5.6 6.6 8l-2.4 2.4 1.4 1.4L8 9.4l"
    "2.4 2.4 1.4-1.4L9.4 8l2.4-2.4-1.4-1.4L8 6.6z",
    "canceled": "M8 0a8 8 0 1 1 0 16A8 8 0 0 1 8 0zM5 5v6h6V5z",
    "skipped": "M8 0a8 8 0 1 1 0 16A8 8 0 0 1 8 0zm0 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8z"
    "M4.5 7.1h7v1.8h-7z",
}


def icon_shapes() -> Markup:
    """The definitions that every `icon` refers to."""
    shapes = (
        tag("symbol", tag("path", d=path, fill="currentColor", fill_rule="evenodd"),
            id=f"icon-{name}", viewBox="0 0 16 16")
        for name, path in _SHAPES.items()
    )  # a row a line # fmt: skip
    return tag("svg", shapes, class_="hidden", aria_hidden="true")


def icon(status: str) -> Markup:
    name = status if status in _SHAPES else "skipped"
    return tag("svg", tag("use", href=f"#icon-{name}"), class_="icon", aria_hidden="true")


def favicon(status: str, color: str) -> str:
    path = _SHAPES.get(status, _SHAPES["skipped"])
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="{color}" '
    return "data:image/svg+xml," + quote(f'{svg}fill-rule="evenodd" d="{path}"/></svg>')


def status_label(status: str, text: str | None = None) -> Markup:
    words = fragment(icon(status), " ", text or status)
    return tag("span", words, class_=f"status {status}")


def proportions(counted: Collection[tuple[str, int]], *more: Markup) -> Markup:
    """A bar with a part for each status; below it, how many there are, and `more` list items."""
    total = sum(count for _, count in counted)
    bars, left = [], 0
    for status, count in counted:
        x, width = (f"{100 * value / total:.3f}%" for value in (left, count))
        bars.append(tag("rect", x=x, width=width, height="100%", class_=status))
        left += count
    words = [tag("li", status_label(status, f"{count:,} {status}")) for status, count in counted]
    return fragment(
        tag("svg", bars, class_="bar", aria_hidden="true"),
        tag("ul", [*words, *more], class_="counts"),
    )


def file_link(path: str, text: Child, *, new_tab: bool = False) -> Markup:
    """A relative link to a file of the build's folder; only its text for a path out of `runs/`."""
    path = plain(path)
    if not path.startswith("runs/") or ".." in path.split("/"):
        return fragment(text)
    if new_tab:
        return tag("a", text, href=quote(path), target="_blank", rel="noopener noreferrer")
    return tag("a", text, href=quote(path))


def web_link(url: str | None, text: Child) -> Markup | None:
    """A link out of the report, in a new tab; None if it is not a web address."""
    if web_url(url) is None:
        return None
    return tag("a", text, href=url, target="_blank", rel="noopener noreferrer")
