"""What the live log says of a run, line by line."""

from __future__ import annotations

import pytest

from mlgate.orchestration.builds import RunState
from mlgate.orchestration.narration import narrate
from mlgate.orchestration.runs import RunStatus
from tests.unit.orchestration.builders import NOON, build, passed, run

URL = "https://ml.azure.com/runs/1"


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (run("a"), run("a", submitted=True, studio_url=URL), [f"a: {URL}"]),
        (run("a", studio_url=URL), run("a", studio_url=URL, activity="starting"), ["a: starting"]),
        (run("a"), passed("a", studio_url=URL), [f"a: {URL}", "a: passed"]),
        (run("a"), run("a", status=RunStatus.RUNNING, started_at=NOON), ["a: started"]),
    ],
    ids=["submitted", "known already", "over before it was seen", "without a studio"],
)
def test_a_run_is_told_with_the_way_to_its_studio(
    before: RunState, after: RunState, lines: list[str]
) -> None:
    assert narrate(build(before), build(after)) == lines
