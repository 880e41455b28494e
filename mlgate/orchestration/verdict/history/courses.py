"""The course of each metric over the builds: its value, what it must be, and what was promoted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mlgate.orchestration.text import number
from mlgate.orchestration.verdict.history.charts import (
    WIDTH,
    Scale,
    band,
    centers,
    chart,
    dot,
    drawing,
    line,
    plotted,
    sensed,
    steps,
    table,
    tick,
)
from mlgate.orchestration.verdict.history.numbers import Course, Point
from mlgate.orchestration.verdict.history.over_time import date_of
from mlgate.orchestration.verdict.page.markup import Markup, fragment, tag


def marks_explained(courses: Sequence[Course]) -> Markup:
    """What the signs of these drawings mean."""
    items = [(_key(tag("path", d="M0 8H16", class_="line bound")), "must be")]
    if any(not course.merged for course in courses):
        items.append((_key(dot(8, 8, "promoted"), dot(8, 8, "hole")), "promoted"))
        items.append((_key(dot(8, 8, "refused")), "failed the gate"))
    if any(course.merged for course in courses):
        items.append((_key(tag("path", d="M8 0V16", class_="tick promoted")), "with promotions"))
        items.append((_key(tag("rect", width=16, height=16, class_="band")), "lowest to highest"))
    return tag("ul", (tag("li", sign, text) for sign, text in items), class_="legend muted")


def _key(*shapes: Markup) -> Markup:
    return tag("svg", shapes, viewBox="0 0 16 16", class_="key", aria_hidden="true")


def course_chart(course: Course) -> Markup:
    """One drawing; its points are evenly spaced, each for one build or for equally many."""
    points = course.points
    bounds = [limit for each in points for limit in _limits(each)]
    scale = Scale.around([*bounds, *(each.low for each in points), *(each.high for each in points)])
    xs = centers(len(points))
    places = [(x, scale.y(each.value)) for x, each in zip(xs, points, strict=True)]
    lows = ((x, scale.y(each.low), scale.y(each.high)) for x, each in zip(xs, points, strict=True))
    shapes = (
        band(list(lows)) if course.merged else None,
        (_bound(course, xs, scale, name) for name in ("at_least", "at_most")),
        line(places),
        _marks(course, places),
        (sensed(place, len(points), _pointed(each)) for place, each in enumerate(points)),
    )
    return chart(
        (f"{course.run}: {course.metric}", tag("b", number(course.last.value))),
        _note(course),
        plotted(
            drawing(_said(course), shapes, grid=2),
            (number(_rounded(value, scale)) for value in (scale.high, scale.low)),
            dict.fromkeys(date_of(each.began) for each in (points[0], points[-1])),
        ),
        table(("Build", "Value", "Lowest", "Highest", "Must be", "Is"), _rows(course)),
    )


def _marks(course: Course, places: list[tuple[float, float]]) -> Iterator[Markup]:
    for each, (x, y) in zip(course.points, places, strict=True):
        if each.promoted:
            yield (
                tick(x, "promoted")
                if course.merged
                else fragment(dot(x, y, "promoted"), dot(x, y, "hole"))
            )
        if each.failed and not course.merged:
            yield dot(x, y, "refused")


def _bound(course: Course, xs: list[float], scale: Scale, name: str) -> Markup | None:
    limits = [getattr(each, name) for each in course.points]
    if all(limit is None for limit in limits):
        return None
    places = [
        None if limit is None else (x, scale.y(limit)) for x, limit in zip(xs, limits, strict=True)
    ]
    return steps(places, WIDTH / len(xs) / 2, "bound")


def _note(course: Course) -> Markup:
    last = course.points[-1]
    must = _must(last)
    few, rest = divmod(course.builds, len(course.points))
    many = f"medians of {few} or {few + 1} builds" if rest else f"medians of {few} builds"
    parts = [
        f"must be {must}" if must else None,
        many if course.merged else f"{course.builds} build{'s' * (course.builds != 1)}",
    ]
    return fragment(", ".join(part for part in parts if part))


def _said(course: Course) -> str:
    points = course.points
    lowest, highest = min(each.low for each in points), max(each.high for each in points)
    must = _must(points[-1])
    parts = (
        f"{course.metric} of {course.run} over {course.builds:,} builds: "
        f"{number(points[0].value)} at first, {number(course.last.value)} at last",
        f", between {number(lowest)} and {number(highest)}",
        f"; it must be {must}" if must else "",
        f"; {course.promotions:,} were promoted.",
    )
    return "".join(parts)


def _pointed(each: Point) -> str:
    who = f"build {each.build_id}" if each.builds == 1 else f"{each.builds} builds"
    return f"{date_of(each.began)}, {who}: {number(each.value)}{_fate(each, ', ')}"


def _fate(each: Point, before: str) -> str:
    parts = []
    if each.failed:
        parts.append("the gate failed" if each.builds == 1 else f"the gate failed {each.failed}")
    if each.promoted == 1 and each.version:
        parts.append(f"promoted {each.version}")
    elif each.promoted:
        parts.append(f"{each.promoted} promoted")
    return before + ", ".join(parts) if parts else ""


def _rows(course: Course) -> Iterator[tuple[str, ...]]:
    for each in reversed(course.points):
        who = each.build_id if each.builds == 1 else f"{each.builds} builds"
        values = (number(value) for value in (each.value, each.low, each.high))
        yield f"{date_of(each.began)}, {who}", *values, _must(each) or "-", _fate(each, "") or "-"


def _must(each: Point) -> str:
    signs = (("≥", each.at_least), ("≤", each.at_most))
    return " and ".join(f"{sign} {number(limit)}" for sign, limit in signs if limit is not None)


def _limits(each: Point) -> Iterator[float]:
    for limit in (each.at_least, each.at_most):
        if limit is not None:
            yield limit


def _rounded(value: float, scale: Scale) -> float:
    """An end of the scale, as precise as its drawing can show."""
    size = max(abs(scale.low), abs(scale.high)) / (scale.high - scale.low)
    return float(f"{value:.{max(3, math.ceil(math.log10(size)) + 2)}g}")
