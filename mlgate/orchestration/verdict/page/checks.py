"""The checks of a build of kind `check`, as a table of the page."""

from __future__ import annotations

from collections.abc import Sequence

from mlgate.orchestration.checks import Check, CheckStatus
from mlgate.orchestration.text import one_line
from mlgate.orchestration.verdict.page.markup import Markup, fragment, tag
from mlgate.orchestration.verdict.page.parts import status_label

# The page has a mark and a tone for the status of runs.
_LIKE = {
    CheckStatus.OK: ("succeeded", "ok"),
    CheckStatus.WRONG: ("failed", "wrong"),
    CheckStatus.NOT_APPLICABLE: ("skipped", "not applicable"),
}


def checks_table(checks: Sequence[Check]) -> Markup | None:
    """In the order in which they were made: each may need those before it."""
    if not checks:
        return None
    headers = ("Check", "Status", "What it says", "Remedy")
    rows = [_row(check) for check in checks]
    return fragment(
        tag("h2", "Checks", tag("small", len(checks))),
        tag(
            "table",
            tag("thead", tag("tr", (tag("th", name, scope="col") for name in headers))),
            tag("tbody", rows),
        ),
    )


def _row(check: Check) -> Markup:
    status, label = _LIKE[check.status]
    return tag(
        "tr",
        tag("th", check.name, scope="row"),
        tag("td", status_label(status, label)),
        tag("td", one_line(check.says, 500), class_="result"),
        tag("td", one_line(check.remedy, 500), class_="result"),
    )
