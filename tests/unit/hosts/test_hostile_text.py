"""Whatever others write into a build, a message or a fault, it is shown and does nothing."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlgate.hosts import cli, github
from mlgate.hosts.commands import builds
from mlgate.hosts.console import Lines, summary, view
from mlgate.hosts.exit_codes import INVALID
from mlgate.hosts.history import cancel, show_build, show_builds
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_state
from mlgate.hosts.terminal import LogFormatter, line_of, say_json_text
from mlgate.orchestration.builds import Phase, Trouble, TroubleKind
from mlgate.orchestration.durable import Rejection
from mlgate.orchestration.errors import BadMessage, Finding, Permanent
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.verdict.result import result, result_json
from tests.unit.orchestration.engine.builders import NOON
from tests.unit.orchestration.verdict.samples import a_run, hostile_build

HOSTILE = (
    "a\x1b]52;c;Y3VybA==\x07b\x1b[2Jc\x9b31md\r\n✓ succeeded: forged\u2028forged\x85forged"
    "\x1b]0;title##vso[task.setvariable variable=PATH]x ##\x1b[0mvso[a]b #\x1b[m#[error]c ###VSO[d]"
    "\u202egnp\u2066 [red]e[/red] {f} %s end"
)
_ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|##(?:vso)?\\[",
    re.IGNORECASE,
)


def assert_shown(text: str) -> None:
    """That it is there, on lines that begin with our own words, and that nothing in it acts."""
    assert "end" in text
    assert _ACTS.search(text) is None
    assert not any(line.startswith(("✓", "forged")) for line in text.splitlines())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state, builds = tmp_path / "state.db", tmp_path / "builds"
    return Settings.read({"MLGATE_STATE": f"sqlite:{state}", "MLGATE_BUILDS": f"{builds}"})


@pytest.mark.parametrize("ended", [True, False])
def test_the_history(settings: Settings, capsys: pytest.CaptureFixture[str], ended: bool) -> None:
    trouble = Trouble("look", TroubleKind.TEMPORARY, NOON, 3, HOSTILE)
    made = hostile_build(HOSTILE)
    if not ended:
        runs = tuple(replace(run, troubles=(trouble,)) for run in made.runs)
        made = replace(made, phase=Phase.WATCHING, verdict=None, runs=runs, troubles=(trouble,))
    state = make_state(settings)
    assert state.create(made, None)
    state.reject(Rejection("key", NOON, HOSTILE, build_id=HOSTILE))
    show_builds(settings)
    show_build(settings, made.key)
    show_build(settings, "key")
    show_build(settings, HOSTILE)
    cancel(settings, made.key)
    show_build(settings, f"none {HOSTILE}")
    said = capsys.readouterr()
    assert_shown(said.out)
    assert _ACTS.search(said.err) is None


def test_the_end_of_a_run(tmp_path: Path) -> None:
    stream = io.StringIO()
    made = hostile_build(HOSTILE)
    log = f"{HOSTILE}\n##vso[task.uploadfile]/etc/passwd\n\x1b[2J##[error]end"
    summary(made, f"{tmp_path}/{HOSTILE}", {HOSTILE: log}, stream)
    shown = stream.getvalue().replace("✗ failed", "", 1)
    assert_shown(shown)
    assert "  | # #vso[task.uploadfile]/etc/passwd" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_without_what_draws_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where mlgate is installed to publish alone."""
    monkeypatch.setitem(sys.modules, "rich", None)
    terminal = Terminal()
    with view(terminal, quiet=False) as shown:
        shown.line("train: started")
    assert terminal.getvalue() == "train: started\n"


def test_the_live_log_and_the_live_table() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    for tag in ("", "##[section]", "##[warning]", "##[error]", "##vso["):
        lines.line(tag + HOSTILE)
    assert_shown(stream.getvalue())

    terminal = Terminal()
    running = a_run("r", status=RunStatus.RUNNING, activity=HOSTILE)
    made = hostile_build(HOSTILE)
    with view(terminal, quiet=False) as shown:
        shown.update(replace(made, runs=(*made.runs, running)))
        shown.line(f"##[warning]{HOSTILE}")
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())  # what rich itself draws
    assert "\x1b" not in drawn
    assert re.search("[\x9b\x07\u202e]|##(?:vso)?\\[", drawn, re.IGNORECASE) is None


def test_json_holds_the_same_text_and_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    made = hostile_build(HOSTILE)
    say_json_text(result_json(made).decode())
    printed = capsys.readouterr().out
    assert _ACTS.search(printed) is None
    assert json.loads(printed) == json.loads(result_json(made))
    assert json.loads(printed)["reason"] == result(made)["reason"] == HOSTILE


@pytest.mark.parametrize("backslashes", range(5))
@pytest.mark.parametrize("marks", range(5))
def test_json_stays_equal_whatever_stands_before_a_command(
    backslashes: int, marks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    value = {"\\" * backslashes + "#" * marks + "vso[a]": "\\" * backslashes + "#" * marks + "[b]"}
    say_json_text(json.dumps(value))
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert _ACTS.search(printed) is None


MESSAGES: list[Any] = [
    {"version": 1, "kind": HOSTILE},
    {"version": 1, HOSTILE: 1},
    {"version": HOSTILE, "build_id": HOSTILE},
    {"version": 1, "repository": {"url": HOSTILE, "ref": HOSTILE}, "runs": [{"kind": HOSTILE}]},
    {"version": 1, "repository": {"url": "/r"}, "runs": [
        {"kind": "training", "name": HOSTILE, "command": "c", HOSTILE: 1, "needs": [HOSTILE]},
        {"kind": "training", "name": "t", "command": "c", "needs": [HOSTILE, "x"]},
    ]},
    HOSTILE,
]  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--json"], ["--checkout"]])
@pytest.mark.parametrize("content", MESSAGES)
def test_what_is_wrong_with_a_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: Any,
    options: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("message.json").write_text(json.dumps(content))
    assert cli.main(["validate", "message.json", *options]) == INVALID
    said = capsys.readouterr()
    assert _ACTS.search(said.out + said.err) is None


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter())
    log = logging.getLogger("tests.hostile")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def test_a_log_record_is_one_line_and_its_exception_is_indented(logged: io.StringIO) -> None:
    log = logging.getLogger("tests.hostile")
    log.warning("build %s: %s", HOSTILE, Permanent(HOSTILE))
    assert len(logged.getvalue().splitlines()) == 1
    assert_shown(logged.getvalue())
    log.error("build %s", HOSTILE, exc_info=Permanent(HOSTILE))
    first, second, *others = logged.getvalue().splitlines()
    assert " WARNING " in first
    assert " ERROR " in second
    assert others
    assert all(line.startswith("  ") for line in others)
    assert_shown(logged.getvalue())


def test_the_errors_of_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (
        Permanent(HOSTILE),
        BadMessage([Finding("code", f"/{HOSTILE}", HOSTILE, HOSTILE)]),
    ):

        def fails(_: object, raised: Exception = error) -> int:
            raise raised

        monkeypatch.setattr(builds, "_schema", fails)
        assert cli.main(["schema"]) != 0
        assert_shown(capsys.readouterr().err)


def test_a_line_is_no_command_to_githubs_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the annotations, whose text is one line that is shown as it is."""
    assert line_of(" \t::add-mask::x") == " \t: :add-mask::x"
    assert line_of("\x00::x") == ": :x"
    assert line_of("a ::x") == "a ::x"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    stream = io.StringIO()
    github.show(hostile_build(f"50%0A::error::\n::set-env name=A::{HOSTILE}"), stream)
    shown = stream.getvalue()
    assert_shown(shown)
    assert "50%250A" in shown
    lines = shown.splitlines()
    assert all(line.startswith(("::error title=mlgate::", "::warning ")) for line in lines)


def test_no_line_is_cut_or_lost_for_what_it_holds() -> None:
    assert line_of("a\tb  c ") == "a\tb  c "
    assert line_of("naïve 数据 🙂") == "naïve 数据 🙂"
    assert line_of("# #[x] ##x [##] #[") == "# #[x] ##x [##] #["


def test_hosts_print_by_that_one_module_alone() -> None:
    source = Path(sys.modules["mlgate.hosts"].__path__[0])
    for file in source.glob("*.py"):
        if file.name != "terminal.py":
            found = re.findall(r"(?<!console\.)\bprint\(|std(?:out|err)\.write", file.read_text())
            assert found == [], file
