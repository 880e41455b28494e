"""`mlgate publish --wait` as any CI uses it: the installed command, a queue and a real worker."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

import pytest

from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.hosts import cli, history
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_state
from mlgate.orchestration.builds import Phase
from tests.e2e.commands import PATIENCE, Done, commit, message, processes_with, start

QUEUE = "function-queue"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Site:
    """A folder with a repository, and the settings that publisher and worker share."""

    folder: Path
    repository: Path
    settings: dict[str, str]

    def message(self, command: str, **fields: object) -> Path:
        run = {"kind": "training", "name": "train", "command": command}
        return message(self.folder, self.repository, run, **fields)

    def start(self, file: Path) -> subprocess.Popen[str]:
        return start(self.folder, "publish", file, "--wait", **self.settings)


class Publish(Protocol):
    def __call__(self, site: Site, file: Path, *options: str, **more: str) -> Done: ...


@pytest.fixture
def publish(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Publish]:
    """The command, in this process: another one takes a second to begin."""
    kept = {number: signal.getsignal(number) for number in SIGNALS}

    def run(site: Site, file: Path, *options: str, **more: str) -> Done:
        for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**site.settings, **more}.items():
            monkeypatch.setenv(name, value)
        code = cli.main(["publish", str(file), *options])
        said = capsys.readouterr()
        return Done(code, said.out, said.err, site.folder)

    yield run
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator([QueueConfig(QUEUE), QueueConfig("idle")]) as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emulator: Emulator) -> Iterator[Site]:
    """One that a worker looks after."""
    made = a_site(tmp_path_factory.mktemp("site"), emulator)
    worker = start(made.folder, "worker", **made.settings)
    yield made
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, err


def a_site(folder: Path, emulator: Emulator, queue: str = QUEUE) -> Site:
    repository = folder / "repository"
    repository.mkdir()
    (repository / "keep.txt").write_text("")
    commit(repository)
    settings = {
        "serviceBusConnectionString": emulator.connection_string,
        "serviceBusQueueName": queue,
        "MLGATE_ALLOWED_REPOSITORIES": str(repository),
        "MLGATE_HOME": str(folder / ".mlgate"),
        "MLGATE_STATE": f"sqlite:{folder}/state.db",
        "MLGATE_BUILDS": str(folder / "builds"),
    }
    return Site(folder, repository, settings)


def said(process: subprocess.Popen[str], what: str) -> str:
    """What a command says until then."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if what in line:
            return "".join(lines)
    raise AssertionError(f"{what!r} was not said: {lines}")


def test_a_gate_that_passes(site: Site, publish: Publish) -> None:
    """The result, JUnit and GitHub's summary; an earlier build's file does not stay."""
    junit, summary = site.folder / "junit.xml", site.folder / "summary.md"
    junit.write_text("an earlier build's")
    summary.write_text("Before.\n\n")
    options = ("--wait", "--json", "--junit", str(junit))
    named = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    done = publish(site, site.message("true"), *options, **named)

    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["verdict"], result["runs"][0]["name"]) == ("succeeded", "train")
    assert "train: passed" in done.err
    assert "✓ succeeded: 1 of 1 run passed." in done.err
    assert "::error" not in done.err
    assert ET.parse(junit).getroot().get("tests") == "1"
    assert summary.read_text().startswith(f"Before.\n\n# Succeeded: build {result['build_id']}")


def test_a_gate_that_fails(site: Site, publish: Publish) -> None:
    """GitHub's runner obeys lines that begin with `::`: what runs write is not among them."""
    attack = "printf 'a\n  ::add-mask::b\n::stop-commands::c %%0Ad\n'; exit 1"
    done = publish(site, site.message(attack), "--wait", GITHUB_ACTIONS="true")

    assert done.code == 1, done.err
    assert "✗ failed: 0 of 1 run passed; all must pass." in done.out
    assert "add-mask" in done.out
    commands = [line for line in done.out.splitlines() if line.lstrip().startswith("::")]
    assert commands
    assert all(line.startswith("::error title=mlgate::") for line in commands)
    assert all("%250A" in line for line in commands)


def test_a_message_that_the_host_rejects_is_invalid(site: Site, publish: Publish) -> None:
    file = message(site.folder, "/etc", {"kind": "training", "name": "t", "command": "true"})
    done = publish(site, file, "--wait", GITHUB_ACTIONS="true")

    assert done.code == 2
    assert "[repository-not-allowed]" in done.err
    assert "::error title=mlgate::/repository/url [repository-not-allowed]: " in done.out


def test_what_is_published_can_be_looked_up_by_the_name_that_is_printed(
    site: Site, publish: Publish
) -> None:
    done = publish(site, site.message("true"))
    assert done.code == 0, done.err
    found = re.match(r"published as build (\w+);", done.out)
    assert found, done.out
    state = make_state(Settings.read(site.settings))
    until = time.monotonic() + PATIENCE
    while (stored := state.load(found[1])) is None or stored.build.open:
        assert time.monotonic() < until, "no build of that name ended"
        time.sleep(0.1)


def test_ctrl_c_cancels_the_build_and_leaves_nothing_running(site: Site) -> None:
    mark = uuid.uuid4().hex
    process = site.start(site.message("sleep 600", build_id=mark))
    said(process, "train: started")
    assert processes_with(mark)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130, err
    assert "canceling: the runs get a few seconds to end" in out
    assert "canceled: Canceled before all runs had ended." in out
    assert processes_with(mark) == []


def test_a_build_that_is_canceled_elsewhere_says_so(site: Site, publish: Publish) -> None:
    mark = uuid.uuid4().hex
    settings = Settings.read(site.settings)

    def cancel() -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not processes_with(mark):
            time.sleep(0.1)
        history.cancel(settings, mark)

    somebody = threading.Thread(target=cancel)
    somebody.start()
    done = publish(site, site.message("sleep 600", build_id=mark), "--wait")
    somebody.join()

    assert done.code == 1, done.err
    assert "✗ failed: The build was canceled by mlgate cancel." in done.out


def test_a_build_that_no_worker_has_taken_is_withdrawn(tmp_path: Path, emulator: Emulator) -> None:
    site = a_site(tmp_path, emulator, "idle")
    process = site.start(site.message("true"))
    said(process, "published")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130, err
    assert "was withdrawn before a worker started it" in err
    [build] = make_state(Settings.read(site.settings)).builds()
    assert (build.phase, build.pipeline_ended) == (Phase.RECEIVED, True)


@pytest.mark.slow(reason="the SDK tries for seconds to reach the broker")
def test_a_lost_broker_is_said_and_leaves_nothing_to_begin(
    tmp_path: Path, publish: Publish
) -> None:
    with Emulator([QueueConfig(QUEUE)]) as gone:
        site = a_site(tmp_path, gone)
    lost = publish(site, site.message("true"), "--wait")

    assert (lost.code, "does not answer" in lost.err) == (3, True), lost.err
    [build] = make_state(Settings.read(site.settings)).builds()
    assert build.pipeline_ended


def test_what_cannot_be_followed_is_not_sent(
    tmp_path: Path, emulator: Emulator, publish: Publish
) -> None:
    site = a_site(tmp_path, emulator, "idle")
    circle = {"kind": "training", "name": "a", "command": "true", "needs": ["a"]}
    invalid = publish(site, message(tmp_path, site.repository, circle), "--wait")
    file = site.message("true")
    unread = publish(site, file, "--wait", MLGATE_STATE="sqlite:/proc/none/state.db")
    unwritten = publish(site, file, "--wait", "--junit", "/proc/none/junit.xml")
    usage = publish(site, file, "--json")

    assert (unread.code, unread.out) == (3, ""), unread.err
    assert (invalid.code, unwritten.code, usage.code) == (2, 2, 2)
    assert "--junit /proc/none/junit.xml cannot be written" in unwritten.err
    assert "add --wait" in usage.err
