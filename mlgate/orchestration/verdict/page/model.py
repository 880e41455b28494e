"""The outcome for the build's model, as a section of the page."""

from __future__ import annotations

from collections.abc import Sequence

from mlgate.orchestration.builds import Build
from mlgate.orchestration.promotions import TrendPoint
from mlgate.orchestration.text import exact, one_line
from mlgate.orchestration.verdict.models import ModelStory, compared_values, story
from mlgate.orchestration.verdict.page.markup import Child, Markup, fragment, tag
from mlgate.orchestration.verdict.page.parts import status_label

_WIDTH, _HEIGHT, _MARGIN = 640, 120, 12  # of the drawing, in its own units


def model_section(build: Build) -> Markup | None:
    told = story(build)
    if told is None:
        return None
    promotion = build.promotion
    assert promotion is not None
    return fragment(
        tag("h2", "Model", tag("small", told.name)),
        tag("div", _facts(told), tag("p", one_line(told.why, 1_000)), class_="model"),
        _comparison(told),
        _trend(promotion.trend),
    )


def _facts(told: ModelStory) -> Markup:
    facts: dict[str, Child] = {
        "Outcome": status_label(told.status, told.outcome),
        "Was": tag("code", told.was) if told.now != "-" else None,
        "Is": tag("code", told.now) if told.now != "-" else None,
        "To roll back": tag("code", told.back) if told.back else None,
    }
    pairs = (
        tag("div", tag("dt", name), tag("dd", value))
        for name, value in facts.items()
        if value is not None
    )
    return tag("dl", pairs, class_="facts")


def _comparison(told: ModelStory) -> Markup | None:
    if not told.comparison:
        return None
    rows = []
    for each in told.comparison:
        candidate, current, verdict = compared_values(each)
        rows.append(
            tag(
                "tr",
                tag("th", one_line(each.metric), scope="row"),
                tag("td", each.run, class_="of"),
                tag("td", candidate, class_="number", data_label="candidate"),
                tag("td", current, class_="number", data_label="current"),
                tag("td", verdict),
            )
        )
    headers = ("Metric", "Run", "Candidate", "Current version", "Candidate is")
    numeric = ("Candidate", "Current version")
    columns = (
        tag("th", name, scope="col", class_="number" if name in numeric else None)
        for name in headers
    )
    return tag("table", tag("thead", tag("tr", columns)), tag("tbody", rows))


def _trend(points: Sequence[TrendPoint]) -> Markup | None:
    """The metric over the last versions, oldest first: a line, and the values to read."""
    if len(points) < 2:
        return None
    values = [point.value for point in points]
    low, high = min(values), max(values)
    room = (high - low) or 1.0
    steps = _WIDTH - 2 * _MARGIN
    places = [
        (
            _MARGIN + steps * at / (len(points) - 1),
            _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * ((value - low) / room),
        )
        for at, value in enumerate(values)
    ]
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = (
        tag("circle", tag("title", _point(point)), cx=f"{x:.1f}", cy=f"{y:.1f}", r=4)
        for point, (x, y) in zip(points, places, strict=True)
    )
    metric = points[-1].metric
    said = f"{metric} over the last {len(points)} versions: {', '.join(map(_point, points))}"
    return tag(
        "figure",
        tag("figcaption", f"{metric} over the last {len(points)} versions", class_="muted"),
        tag(
            "svg",
            tag("path", d=path, fill="none", stroke="currentColor", stroke_width=2),
            dots,
            viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
            role="img",
            aria_label=said,
            class_="trend",
        ),
        tag(
            "p",
            f"lowest {exact(low)}, highest {exact(high)}, last {exact(values[-1])}",
            class_="muted",
        ),
        class_="trended",
    )


def _point(point: TrendPoint) -> str:
    return f"{exact(point.value)} ({point.id})"
