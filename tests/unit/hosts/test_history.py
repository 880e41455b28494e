"""What `mlgate builds` and `mlgate cancel` say to somebody who looks for a build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlgate.hosts.history import cancel, show_build, show_builds
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_files, make_state
from mlgate.orchestration.builds import Build, Phase, Trouble, TroubleKind, Verdict
from tests.unit.orchestration.builders import NOON, build, run

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
    assert "failed: a failed. (its files or its pipeline are not done yet)" in shown(judged)


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
