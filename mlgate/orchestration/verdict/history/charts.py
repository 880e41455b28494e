"""The drawings of the history: SVG without text, so that it fits any width; labels are HTML.

A drawing stretches to its place, so lines keep their width (`non-scaling-stroke`), and a dot is a
line without length that has round ends. Each drawing has a sentence for screen readers, and a table
of its values below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlgate.orchestration.verdict.page.markup import Child, Markup, fragment, tag

WIDTH, HEIGHT = 1000, 200  # of a drawing, in its own units
_TICKS = (1, 2, 4, 5, 6, 8, 10)
_DOTS = 31  # points of a line with a dot each


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low`, at the bottom, to `high`."""

    low: float
    high: float

    def y(self, value: float) -> float:
        return HEIGHT * (1 - (value - self.low) / (self.high - self.low))

    @classmethod
    def around(cls, values: Sequence[float]) -> Scale:
        """With room above and below, also where all are the same."""
        low, high = min(values), max(values)
        room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
        return cls(low - room if low < 0 else max(0.0, low - room), high + room)

    @classmethod
    def counting(cls, most: float) -> Scale:
        """From 0 to a round number that is not below `most`."""
        if most <= 0:
            return cls(0.0, 1.0)
        power = 1.0
        while power * 10 <= most:
            power *= 10
        while power > most:
            power /= 10
        return cls(0.0, next(tick * power for tick in _TICKS if tick * power >= most))


def centers(count: int) -> list[float]:
    """The x of each of so many places side by side."""
    return [WIDTH * (number + 0.5) / count for number in range(count)]


def line(places: Sequence[tuple[float, float]]) -> Markup:
    """A line through the places, and where they are few a dot at each."""
    path = tag("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), class_="line")
    dots = (dot(x, y, "") for x, y in places) if len(places) <= _DOTS else None
    return fragment(path, dots)


def steps(places: Sequence[tuple[float, float] | None], half: float, class_: str) -> Markup:
    """A level piece of a line at each place, `half` of its width to either side."""
    parts = []
    last: float | None = None
    for place in places:
        if place is not None:
            x, y = place
            joined = last is not None and abs(last - y) < 0.05
            parts.append(
                f"H{x + half:.1f}" if joined else f"M{x - half:.1f} {y:.1f}H{x + half:.1f}"
            )
        last = None if place is None else place[1]
    return tag("path", d="".join(parts), class_=f"line {class_}")


def band(places: Sequence[tuple[float, float, float]]) -> Markup:
    """The area between two lines, of x, its lower and its upper y."""
    there = (f"{x:.1f} {upper:.1f}" for x, _, upper in places)
    back = (f"{x:.1f} {lower:.1f}" for x, lower, _ in reversed(places))
    return tag("path", d=f"M{'L'.join((*there, *back))}Z", class_="band")


def dot(x: float, y: float, class_: str, title: str | None = None) -> Markup:
    inside = None if title is None else tag("title", title)
    return tag("path", inside, d=f"M{x:.1f} {y:.1f}h0", class_=f"dot {class_}")


def tick(x: float, class_: str) -> Markup:
    """A short line down from the bottom."""
    return tag("path", d=f"M{x:.1f} {HEIGHT}v{HEIGHT / 12:.1f}", class_=f"tick {class_}")


def sensed(number: int, count: int, title: str) -> Markup:
    """A full-height part of the drawing that shows its text when you point at it."""
    width = WIDTH / count
    return tag(
        "rect",
        tag("title", title),
        x=f"{number * width:.1f}",
        y=0,
        width=f"{width:.1f}",
        height=HEIGHT,
        class_="sensed",
    )


def drawing(said: str, *shapes: Child, grid: int = 2) -> Markup:
    """`said` is for screen readers; `grid` is the number of lines across, without the lowest."""
    lines = "".join(f"M0 {HEIGHT * number / grid:.1f}H{WIDTH}" for number in range(grid + 1))
    return tag(
        "svg",
        tag("path", d=lines, class_="grid"),
        shapes,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=said,
    )


def plotted(drawn: Markup, highest_first: Iterable[str], from_left: Iterable[str]) -> Markup:
    """A drawing with its labels, which its sentence repeats."""
    return tag(
        "div",
        tag("div", (tag("span", text) for text in highest_first), class_="ys", aria_hidden="true"),
        drawn,
        tag("div", (tag("span", text) for text in from_left), class_="xs", aria_hidden="true"),
        class_="plot",
    )


def chart(title: Child, note: Child, plot: Markup, values: Markup, class_: str = "") -> Markup:
    return tag(
        "figure",
        tag("figcaption", tag("h3", title), tag("p", note, class_="muted")),
        plot,
        tag(
            "details",
            tag("summary", "As a table"),
            tag("div", values, tabindex="0", role="region", aria_label="Values"),
            class_="values",
        ),
        class_=f"chart {class_}".rstrip(),
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[Child]]) -> Markup:
    """The first column names the row; the others are numbers."""
    columns = (
        tag("th", name, scope="col", class_="number" if number else None)
        for number, name in enumerate(headers)
    )
    lines = (
        tag(
            "tr",
            tag("th", first, scope="row"),
            (
                tag("td", cell, class_="number", data_label=name.lower())
                for name, cell in zip(headers[1:], rest, strict=True)
            ),
        )
        for first, *rest in rows
    )
    return tag("table", tag("thead", tag("tr", columns)), tag("tbody", lines))


def strip(shapes: Sequence[tuple[str, str]], said: str) -> Markup:
    """Ticks side by side, each with a class and a title; those that did not succeed are shorter."""
    ticks = (
        tag(
            "rect",
            tag("title", title),
            x=number * 6,
            y=0 if class_ == "succeeded" else 7,
            width=4,
            height=16 if class_ == "succeeded" else 9,
            rx=1,
            class_=class_,
        )
        for number, (class_, title) in enumerate(shapes)
    )
    width = len(shapes) * 6 - 2
    return tag(
        "svg",
        fragment(*ticks),
        viewBox=f"0 0 {width} 16",
        width=width,
        height=16,
        role="img",
        aria_label=said,
        class_="strip",
    )
