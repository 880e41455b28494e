"""What `mlgate builds` and `mlgate cancel` say to somebody who looks for a build."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mlgate.hosts.cli import main
from mlgate.hosts.history import cancel, show_build, show_builds, write_page
from mlgate.hosts.history_page import records_in
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files, make_state
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.builds import Build, Phase, Trouble, TroubleKind, Verdict
from mlgate.orchestration.runs import RunStatus
from tests.unit.orchestration.engine.builders import NOON, build, run

Shown = Callable[[Build], str]
LOST = Trouble("look", TroubleKind.TEMPORARY, NOON, 3, "Azure ML does not answer.\nAt all.")
FULL = Trouble("keep", TroubleKind.TEMPORARY, NOON, 1, "The disk is full.")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state, builds = tmp_path / "state.db", tmp_path / "builds"
    return Settings.read({"MLGATE_STATE": f"sqlite:{state}", "MLGATE_BUILDS": f"{builds}"})


@pytest.fixture
def shown(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Stores the build and returns what is shown of it."""

    def show(stored: Build) -> str:
        assert make_state(settings).create(stored, None)
        assert show_build(settings, stored.key) == 0
        return capsys.readouterr().out

    return show


def test_where_nothing_is_the_place_that_was_looked_at_is_named(
    settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert show_builds(settings) == 0
    assert f"No builds in {tmp_path / 'state.db'}." in capsys.readouterr().out


@pytest.mark.parametrize("command", [show_build, cancel])
def test_a_build_that_is_not_there_is_an_error(
    command: Callable[[Settings, str], int],
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(settings, "\x1b[2Jnone") == 3
    said = capsys.readouterr()
    assert "there is no build" in said.err
    assert "\x1b" not in said.err
    assert said.out == ""


def test_what_is_in_the_way_of_a_build_and_of_its_runs_is_shown(shown: Shown) -> None:
    lines = shown(build(run("a", troubles=(FULL,)), run("b"), troubles=(LOST,))).splitlines()

    since = f"since {NOON:%Y-%m-%d} 12:00 UTC"
    assert f"  trouble: look failed 3 times {since}: Azure ML does not answer. At all." in lines
    assert f"  trouble: a: keep failed once {since}: The disk is full." in lines


def test_a_build_is_said_to_wait_for_its_checkout(shown: Shown) -> None:
    assert "received: checking out the repository" in shown(build(phase=Phase.RECEIVED))


def test_a_build_that_was_canceled_is_said_to_be_while_it_goes_on(
    shown: Shown, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "to be canceled" not in shown(build(run("a")))
    assert cancel(settings, build().key) == 0
    show_build(settings, build().key)
    assert "0/1 runs ended, 0 running, to be canceled" in capsys.readouterr().out


def test_a_verdict_that_nobody_was_told_of_yet_is_said_to_be(shown: Shown) -> None:
    judged = build(phase=Phase.COMPLETING, verdict=Verdict.FAILED, reason="a failed.")
    assert "failed: a failed. (its files or its pipeline step are not done yet)" in shown(judged)


def test_a_finished_build_shows_its_warnings_and_only_files_that_are_there(
    shown: Shown, settings: Settings
) -> None:
    ended = build(
        phase=Phase.COMPLETED,
        verdict=Verdict.SUCCEEDED,
        warnings=("report.html could not be written: full.",),
    )
    out = shown(ended)
    assert "  warning: report.html could not be written: full." in out.splitlines()
    assert "no report in" in out

    written = replace(ended, key="b" * 20)
    make_files(settings).write(written.key, "result.json", b"{}")
    assert f"files: {make_files(settings).location(written.key)}" in shown(written)


ENDED = build(
    run("a", status=RunStatus.SUCCEEDED), phase=Phase.COMPLETED, verdict=Verdict.SUCCEEDED
)


@pytest.fixture
def with_report(settings: Settings) -> Settings:
    """One build that left a report, and one that did not."""
    state = make_state(settings)
    state.create(ENDED, None)
    state.create(replace(ENDED, key="b" * 32, received_at=NOON + timedelta(hours=1)), None)
    make_files(settings).write(ENDED.key, "report.html", b"the report")
    return settings


def test_the_page_of_builds_links_the_reports_beside_it(
    with_report: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write_page(with_report, tmp_path / "builds") == 0
    page = (tmp_path / "builds" / "index.html").read_text()
    assert f'href="{ENDED.key}/report.html"' in page
    assert page.count("report.html") == 1
    assert capsys.readouterr().out == f"2 builds: {tmp_path}/builds/index.html\n"


def test_the_page_of_builds_may_be_anywhere_and_is_written_again(
    with_report: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "a page" / "of builds"
    for _ in range(2):
        assert write_page(with_report, folder) == 0
    report = (tmp_path / "builds" / ENDED.key / "report.html").as_uri()
    assert f'href="{report}"' in (folder / "index.html").read_text()
    assert [path.name for path in folder.iterdir()] == ["index.html"]


def test_a_page_of_others_is_left_alone(with_report: Settings, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<title>mine</title>")
    with pytest.raises(UsageError, match=r"has an index.html that mlgate did not write"):
        write_page(with_report, tmp_path)
    assert (tmp_path / "index.html").read_text() == "<title>mine</title>"


def test_a_folder_that_cannot_be_made_is_told(with_report: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        write_page(with_report, tmp_path / "file" / "folder")


def test_one_build_has_no_page_of_builds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["builds", "20418", "--html", "folder"]) == 2
    assert "--html writes all builds: use it without BUILD" in capsys.readouterr().err


def test_thousands_of_builds_are_read_in_seconds(settings: Settings, tmp_path: Path) -> None:
    """5,000 take a second where nothing else runs; what costs much more per build fails."""
    state = make_state(settings)
    state.create(ENDED, None)
    file = tmp_path / "state.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.executemany(
            "INSERT INTO builds SELECT ?, version, open, received_at, replace(body, key, ?)"
            " FROM builds WHERE key = ?",
            [(f"{number:032x}", f"{number:032x}", ENDED.key) for number in range(4_999)],
        )
    before = time.process_time()
    assert len(records_in(state)) == 5_000
    assert time.process_time() - before < 10
