"""The runs of many builds, flaky ones first, and the newest builds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.text import duration, one_line, utc
from mlgate.orchestration.verdict.history.charts import strip
from mlgate.orchestration.verdict.history.numbers import RunStory
from mlgate.orchestration.verdict.history.records import Project, Record
from mlgate.orchestration.verdict.page.markup import Child, Markup, fragment, tag
from mlgate.orchestration.verdict.page.parts import status_label

# Where the report of a build is, from the page; None where there is none.
Link: TypeAlias = Callable[[Record], str | None]

_RUNS, _BUILDS = 100, 50
FLAKY = (
    "A run is flaky when it failed in one build and passed in another of the same commit, or "
    "passed only after it was tried again. Failures of the network and of the infrastructure, and "
    "preempted runs, do not count for that."
)


def runs_table(stories: Sequence[RunStory], link: Link) -> Markup:
    several = len({story.project for story in stories}) > 1
    headers = ("Run", "Passed", "Typical duration", "Why flaky", "Last builds")
    return tag(
        "section",
        tag("h2", "Runs, flaky ones first", tag("small", f"{len(stories):,}")),
        tag("p", FLAKY, class_="muted lead"),
        _table(headers, [_story(story, link, several) for story in stories[:_RUNS]], "story"),
        _more(len(stories) - _RUNS),
        id="runs",
    )


def _story(story: RunStory, link: Link, several: bool) -> Markup:
    name = fragment(story.name, tag("span", "flaky", class_="badge") if story.flaky else None)
    share = 100 * story.passed / story.ended
    rate = (
        f"{share:.0f} %" if story.passed in (0, story.ended) else f"{min(max(share, 1), 99):.0f} %"
    )
    return tag(
        "tr",
        tag(
            "th",
            name,
            tag("div", short(story.project), class_="muted", title=full(story.project))
            if several
            else None,
            scope="row",
        ),
        tag(
            "td",
            rate,
            tag("span", f" of {story.ended:,}", class_="muted"),
            class_="number",
            data_label="passed",
        ),
        tag("td", duration(story.seconds), class_="number", data_label="took"),
        tag("td", _why(story, link), class_="result"),
        tag("td", _last(story), class_="strip-of"),
        class_="flaky" if story.flaky else None,
    )


def _why(story: RunStory, link: Link) -> Markup | None:
    record = story.flaked
    if record is None:
        return None
    reasons = []
    if story.both_ways:
        commits = "1 commit" if story.both_ways == 1 else f"{story.both_ways} commits"
        reasons.append(f"failed and passed for {commits}")
    if story.after_retry:
        times = "once" if story.after_retry == 1 else f"{story.after_retry} times"
        reasons.append(f"passed after a retry {times}")
    return fragment(", ".join(reasons).capitalize(), "; last in ", _linked(record, link), ".")


def _last(story: RunStory) -> Markup:
    ends = [
        ("succeeded" if status is RunStatus.SUCCEEDED else "failed", record)
        for status, record in story.last
    ]
    failed = sum(status == "failed" for status, _ in ends)
    shapes = [(status, f"build {record.build_id}: {status}") for status, record in ends]
    return strip(shapes, f"{failed} of the last {len(ends)} failed")


def recent_builds(records: Sequence[Record], link: Link) -> Markup:
    shown = records[:_BUILDS]
    columns = _Columns(
        projects=len({record.project for record in records}) > 1,
        models=any(record.outcome is not None for record in shown),
        reasons=any(record.verdict is not Verdict.SUCCEEDED for record in shown),
    )
    headers = ["Build", "Verdict", "Began", "Took", "Runs"]
    headers += ["Model"] * columns.models + ["Reason"] * columns.reasons
    return tag(
        "section",
        tag("h2", "Newest builds", tag("small", f"{len(shown):,} of {len(records):,}")),
        _table(headers, [_build(record, link, columns) for record in shown], "recent"),
        id="builds",
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """The optional columns: those in which builds differ."""

    projects: bool
    models: bool
    reasons: bool


def _build(record: Record, link: Link, columns: _Columns) -> Markup:
    began = utc(record.began) or ""
    about = (
        tag("span", short(record.project), title=full(record.project))
        if columns.projects
        else None,
        " ",
        tag("code", record.commit[:8], title=record.commit) if record.commit else None,
    )
    name = _linked(record, link)
    return tag(
        "tr",
        tag("th", name, tag("div", about, class_="muted"), scope="row"),
        tag("td", status_label(record.verdict)),
        tag("td", tag("time", f"{began[:10]} {began[11:16]}", datetime=began), class_="number"),
        tag("td", duration(record.seconds), class_="number", data_label="took"),
        tag("td", _passed(record), class_="number", data_label="runs"),
        tag("td", _model(record)) if columns.models else None,
        tag("td", _reason(record), class_="result") if columns.reasons else None,
    )


def _model(record: Record) -> Markup | None:
    if record.outcome is None:
        return None
    version = tag("code", record.version[:12]) if record.version else None
    of_model = "model-of" if record.promoted else "muted"
    return tag("span", record.outcome.replace("_", " "), " ", version, class_=of_model)


def _reason(record: Record) -> str | None:
    return None if record.verdict is Verdict.SUCCEEDED else one_line(record.reason, 160)


def _passed(record: Record) -> str | None:
    return f"{record.passed}/{record.total}" if record.total else None


def _linked(record: Record, link: Link) -> Child:
    href = link(record)
    text = record.build_id or record.key
    return text if href is None else tag("a", text, href=href)


def full(project: Project) -> str:
    """The repository's URL without the parts that all URLs share, and the place in it."""
    return _inside(_repository(project), project)


def short(project: Project) -> str:
    """As `full`, but of the URL its end: the repository and its owner."""
    return _inside("/".join(_repository(project).split("/")[-2:]), project)


def _repository(project: Project) -> str:
    without = project.subject.removeprefix("https://").removesuffix("/").removesuffix(".git")
    return without.replace("/_git/", "/")


def _inside(repository: str, project: Project) -> str:
    folder = None if project.folder == "." else project.folder
    return " · ".join(filter(None, (repository, folder, project.plan)))


def _table(headers: Sequence[str], rows: Sequence[Markup], class_: str) -> Markup:
    numeric = ("Passed", "Typical duration", "Took", "Runs", "Began", "Last builds")
    columns = (
        tag("th", name, scope="col", class_="number" if name in numeric else None)
        for name in headers
    )
    return tag("table", tag("thead", tag("tr", columns)), tag("tbody", rows), class_=class_)


def _more(left: int) -> Markup | None:
    return tag("p", f"and {left:,} more", class_="muted") if left > 0 else None
