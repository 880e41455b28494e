"""`index.html`: the history of many builds, one self-contained page beside their reports.

Like a report, it loads nothing and runs nothing. Its size does not grow with the number of builds:
they are drawn by time, and only the newest are listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.text import duration, number, utc
from mlgate.orchestration.verdict.facts import listed
from mlgate.orchestration.verdict.history.courses import course_chart, marks_explained
from mlgate.orchestration.verdict.history.numbers import (
    Course,
    RunStory,
    bins_of,
    courses_of,
    pass_rate,
    quantile,
    run_stories,
    verdicts_of,
)
from mlgate.orchestration.verdict.history.over_time import over_time
from mlgate.orchestration.verdict.history.records import Project, Record
from mlgate.orchestration.verdict.history.style import ADDED
from mlgate.orchestration.verdict.history.tables import Link, full, recent_builds, runs_table, short
from mlgate.orchestration.verdict.page.frame import document_head
from mlgate.orchestration.verdict.page.markup import Markup, fragment, tag
from mlgate.orchestration.verdict.page.parts import TONES, favicon, icon_shapes, proportions
from mlgate.orchestration.verdict.page.style import STYLE

TITLE = "mlgate: builds"
RECENTLY = timedelta(days=30)
_COURSES = 24
_SUBJECTS = 3  # named in the head


def history_html(records: Sequence[Record], link: Link, now: datetime) -> bytes:
    """The page as UTF-8. `records` are the newest first; `now` is when it is made."""
    judged = [record for record in records if record.kind == "start"]
    stories, courses = run_stories(judged), courses_of(records)
    page = (
        Markup('<!doctype html>\n<html lang="en">'),
        document_head(TITLE, favicon("succeeded", TONES["succeeded"]), STYLE + ADDED),
        Markup("<body>"),
        icon_shapes(),
        _header(records, judged, stories, courses, now),
        tag(
            "main",
            over_time(bins_of(judged)) if judged else None,
            runs_table(stories, link) if stories else None,
            _metrics(courses) if courses else None,
            recent_builds(records, link) if records else None,
        ),
        tag("footer", "mlgate · made ", tag("time", _minute(now), datetime=utc(now))),
        Markup("</body></html>\n"),
    )
    return fragment(*page).encode()


def _header(
    records: Sequence[Record],
    judged: Sequence[Record],
    stories: Sequence[RunStory],
    courses: Sequence[Course],
    now: datetime,
) -> Markup:
    if not records:
        said = tag("p", "No build has ended yet.", class_="reason")
        return tag("header", tag("div", tag("h1", "Builds"), said), class_="verdict all")
    first, last = records[-1].began, records[0].began
    between = _day(first) if _day(first) == _day(last) else f"{_day(first)} to {_day(last)}"
    subjects = list(dict.fromkeys(full(record.project) for record in judged or records))
    sections = {
        "over-time": "Over time" if judged else None,
        "runs": "Runs" if stories else None,
        "metrics": "Metrics" if courses else None,
        "builds": "Newest builds",
    }
    links = (tag("a", name, href=f"#{anchor}") for anchor, name in sections.items() if name)
    card = tag(
        "div",
        tag("p", listed(subjects, _SUBJECTS), class_="eyebrow"),
        tag("h1", "Builds"),
        tag("p", between, class_="reason"),
        proportions(verdicts_of(judged).items()) if judged else None,
        _tiles(records, judged, stories, now),
        tag("nav", links, class_="jump", aria_label="Sections"),
    )
    return tag("header", card, class_="verdict all")


def _tiles(
    records: Sequence[Record],
    judged: Sequence[Record],
    stories: Sequence[RunStory],
    now: datetime,
) -> Markup:
    recent = [record for record in judged if record.began >= now - RECENTLY]
    took = sorted(record.seconds for record in judged if record.seconds is not None)
    flaky = sum(story.flaky for story in stories)
    promoted = [record for record in records if record.promoted]
    days = RECENTLY.days
    tiles: Mapping[str, tuple[str, str | None]] = {
        "Builds": (f"{len(judged):,}", f"{len(recent):,} in the last {days} days"),
        "Passed": (
            _percent(verdicts_of(judged)),
            f"{_percent(verdicts_of(recent))} in the last {days} days" if recent else None,
        ),
        "Typical duration": (
            duration(quantile(took, 0.5)) if took else "-",
            f"one in ten over {duration(quantile(took, 0.9))}" if len(took) > 1 else None,
        ),
        "Flaky runs": (f"{flaky}", f"of {len(stories)}"),
        "Promotions": (
            f"{len(promoted):,}",
            f"the last on {_day(promoted[0].began)}" if promoted else None,
        ),
    }
    boxes = (
        tag("div", tag("dt", name), tag("dd", value, tag("small", note) if note else None))
        for name, (value, note) in tiles.items()
    )
    return tag("dl", boxes, class_="tiles")


def _metrics(courses: Sequence[Course]) -> Markup:
    shown: dict[Project, list[Course]] = defaultdict(list)
    for course in islice(courses, _COURSES):
        shown[course.project].append(course)
    several = len(shown) > 1
    more = len(courses) - _COURSES
    return tag(
        "section",
        tag("h2", "Metrics", tag("small", len(courses))),
        marks_explained(courses[:_COURSES]),
        (
            fragment(
                tag("h3", short(project), class_="subject", title=full(project))
                if several
                else None,
                tag("div", map(course_chart, some), class_="charts metrics-of"),
            )
            for project, some in shown.items()
        ),
        tag("p", f"and {more} more, which are in the reports", class_="muted")
        if more > 0
        else None,
        id="metrics",
    )


def _percent(verdicts: Mapping[Verdict, int]) -> str:
    rate = pass_rate(verdicts)
    return "-" if rate is None else f"{number(round(100 * rate, 1))} %"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
