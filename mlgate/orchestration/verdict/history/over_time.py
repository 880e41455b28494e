"""Builds by time: how many, how many of them passed, and how long they took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.text import duration, number
from mlgate.orchestration.verdict.history.charts import (
    HEIGHT,
    WIDTH,
    Scale,
    band,
    centers,
    chart,
    drawing,
    line,
    plotted,
    sensed,
    table,
)
from mlgate.orchestration.verdict.history.numbers import Bin, quantile
from mlgate.orchestration.verdict.page.markup import Child, Markup, tag
from mlgate.orchestration.verdict.page.parts import status_label

_DAY = timedelta(days=1)
_GAP = 0.24  # of a bar's place


def over_time(bins: Sequence[Bin]) -> Markup:
    """`bins` are not empty."""
    each = _name_of(bins[0].step)
    charts = (
        _builds(bins, f"Each bar is {each}."),
        _rates(bins, f"Of the builds that were judged; each point is {each}."),
        _durations(bins, f"The line is the median of {each}, the area its middle 80 %."),
    )
    return tag(
        "section",
        tag("h2", "Over time"),
        tag("div", charts, class_="charts"),
        id="over-time",
    )


def _builds(bins: Sequence[Bin], note: str) -> Markup:
    scale = Scale.counting(max(each.total for each in bins))
    place = WIDTH / len(bins)
    width = min(place * (1 - _GAP), 60.0)
    shapes: list[Markup] = []
    for x, each in zip(centers(len(bins)), bins, strict=True):
        below = 0
        for verdict, count in each.verdicts.items():
            top = scale.y(below + count)
            shapes.append(
                tag(
                    "rect",
                    x=f"{x - width / 2:.1f}",
                    y=f"{top:.2f}",
                    width=f"{width:.1f}",
                    height=f"{scale.y(below) - top:.2f}",
                    class_=verdict,
                )
            )
            below += count
    total = sum(each.total for each in bins)
    most = max(bins, key=lambda each: each.total)
    said = (
        f"Builds over time: {total:,} between {_label(bins[0])} and {_label(bins[-1])}, "
        f"{most.total:,} at most, on {_label(most)}."
    )
    seen = [verdict for verdict in Verdict if any(each.verdicts.get(verdict) for each in bins)]
    legend = tag("ul", (tag("li", status_label(each)) for each in seen), class_="legend")
    rows: Iterable[Sequence[Child]] = (
        (_label(each), each.total, *(each.verdicts.get(verdict, 0) for verdict in seen))
        for each in reversed(bins)
        if each.total
    )
    return chart(
        "Builds",
        (note, legend),
        plotted(drawing(said, shapes, _pointed(bins, _counted)), _ys(scale, _whole), _dates(bins)),
        table((*_WHEN, "Builds", *(verdict.capitalize() for verdict in seen)), rows),
        "wide bars",
    )


def _rates(bins: Sequence[Bin], note: str) -> Markup:
    scale = Scale(0.0, 1.0)
    places = [
        (x, scale.y(each.rate))
        for x, each in zip(centers(len(bins)), bins, strict=True)
        if each.rate is not None
    ]
    known = [each for each in bins if each.rate is not None]
    said = "Pass rate: no build has a verdict yet."
    if known:
        worst = min(known, key=lambda each: each.rate or 0.0)
        said = (
            f"Pass rate: {_rate(known[0])} at first, {_rate(known[-1])} at last, "
            f"{_rate(worst)} at the lowest, on {_label(worst)}."
        )
    return chart(
        "Pass rate",
        note,
        plotted(
            drawing(
                said,
                band([(x, HEIGHT, y) for x, y in places]),
                line(places),
                _pointed(bins, _rated),
            ),
            _ys(scale, lambda value: f"{100 * value:.0f} %"),
            _dates(bins),
        ),
        table((*_WHEN, "Passed"), ((_label(each), _rate(each)) for each in reversed(known))),
    )


def _durations(bins: Sequence[Bin], note: str) -> Markup:
    some = [each for each in bins if each.durations]
    longest = max((quantile(each.durations, 0.9) for each in some), default=0.0)
    unit = _unit(longest)[0]
    scale = Scale(0.0, unit * Scale.counting(longest / unit).high)
    middles: list[tuple[float, float]] = []
    areas: list[tuple[float, float, float]] = []
    for x, each in zip(centers(len(bins)), bins, strict=True):
        if each.durations:
            low, middle, high = (scale.y(quantile(each.durations, part)) for part in _PARTS)
            middles.append((x, middle))
            areas.append((x, low, high))
    said = "Duration: not known yet."
    if some:
        first, last = (duration(quantile(each.durations, 0.5)) for each in (some[0], some[-1]))
        slowest = max(some, key=lambda each: each.durations[-1])
        said = (
            f"Duration: the median was {first} at first and {last} at last; the longest build took "
            f"{duration(slowest.durations[-1])}, on {_label(slowest)}."
        )
    rows = (
        (_label(each), *(duration(quantile(each.durations, part)) for part in (*_PARTS, 1.0)))
        for each in reversed(some)
    )
    return chart(
        "Duration",
        note,
        plotted(
            drawing(said, band(areas), line(middles), _pointed(bins, _lasted)),
            _ys(scale, lambda value: _in_unit(value, longest)),
            _dates(bins),
        ),
        table((*_WHEN, "10 % below", "Median", "90 % below", "Longest"), rows),
    )


_WHEN = ("Since",)
_PARTS = (0.1, 0.5, 0.9)


def _pointed(bins: Sequence[Bin], say: Callable[[Bin], str]) -> list[Markup]:
    return [
        sensed(place, len(bins), f"{_label(each)}: {say(each)}")
        for place, each in enumerate(bins)
        if each.total
    ]


def _counted(each: Bin) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in each.verdicts.items())


def _rated(each: Bin) -> str:
    return f"{_rate(each)} of {each.total} passed"


def _lasted(each: Bin) -> str:
    return f"median {duration(quantile(each.durations, 0.5))}" if each.durations else "unknown"


def _rate(each: Bin) -> str:
    return "-" if each.rate is None else f"{100 * each.rate:.0f} %"


def _ys(scale: Scale, say: Callable[[float], str]) -> list[str]:
    return [say(value) for value in (scale.high, (scale.low + scale.high) / 2, scale.low)]


def _dates(bins: Sequence[Bin]) -> list[str]:
    """The first, the middle one and the last."""
    picked = sorted({0, (len(bins) - 1) // 2, len(bins) - 1})
    return [date_of(bins[place].start, bins[0].step) for place in picked]


def _label(each: Bin) -> str:
    return date_of(each.start, each.step)


def date_of(moment: datetime, step: timedelta = _DAY) -> str:
    """A day, with the hour where steps are shorter than a day."""
    day = f"{moment.day} {moment:%b %Y}"
    return day if step >= _DAY else f"{moment.day} {moment:%b %H:%M}"


def _name_of(step: timedelta) -> str:
    hours = int(step.total_seconds() // 3600)
    names: Mapping[int, str] = {1: "an hour", 24: "a day", 168: "a week"}
    for unit, name in ((168, "weeks"), (24, "days")):
        if hours not in names and hours % unit == 0:
            return f"{hours // unit} {name}"
    return names.get(hours, f"{hours} hours")


def _whole(value: float) -> str:
    """Labels whole builds only."""
    return number(value) if value == int(value) else ""


def _unit(longest: float) -> tuple[float, str]:
    """The best unit for durations of up to `longest`: its seconds, and its name."""
    units = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
    return next((unit for unit in units if longest >= 2 * unit[0]), (1.0, "s"))


def _in_unit(seconds: float, longest: float) -> str:
    unit, name = _unit(longest)
    return f"{seconds / unit:.3g} {name}"
