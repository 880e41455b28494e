"""Whatever a run writes where the launcher's records go, an honest outcome comes of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mlgate.orchestration.runs import FailureKind, RunStatus
from tests.contract.handlers.local_handler.conftest import Bench

WRITES = "import os, signal, sys\n(OUTPUT / 'outcome.json').write_bytes({content!r})\n{end}"
DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("content", "end"),
    [
        (b"", "os._exit(0)"),
        (b"{", "os._exit(0)"),
        (DEEP, "os._exit(1)"),
        (b'{"status": "succeeded"}', "os._exit(1)"),
        (b'{"status": "succeeded"}', "os._exit(7)"),
        (b'{"status": "succeeded"}', "os.kill(os.getpid(), signal.SIGSEGV)"),
        (b'{"status": "failed", "failure": null}', "os._exit(1)"),
        (b'{"status": "failed", "failure": {"kind": [], "message": 3}}', "os._exit(1)"),
        (b'{"status": ["succeeded"]}', "os._exit(0)"),
        (b'{"status": "canceled"}', "os._exit(1)"),
        (b'[{"status": "succeeded"}]', "os._exit(0)"),
        (b"\xff\xfe", "os._exit(0)"),
    ],
)
def test_a_record_that_does_not_hold_is_an_infrastructure_failure(
    bench: Bench, content: bytes, end: str
) -> None:
    task = bench.task(WRITES.format(content=content, end=end))
    outcome = bench.run(task)
    assert outcome.status is bench.see(task).status is RunStatus.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert outcome.failure.message


def test_a_launcher_that_crashes_shows_what_it_said(bench: Bench) -> None:
    outcome = bench.run(bench.task("raise RuntimeError('the reason')"))
    assert outcome.failure is not None
    assert "exit code 1" in outcome.failure.message
    assert "RuntimeError: the reason" in (outcome.failure.traceback or "")


def test_only_the_parts_of_a_record_that_make_sense_count(bench: Bench) -> None:
    record = {
        "status": "succeeded",
        "metrics": {"a": 1, "b": "2", "c": True, "d": math.nan, "e": 10**400, "\ud800": 1.0},
        "warnings": ["fine", 3, None, "x" * 10_000, "\udfff"],
        "started_at": "yesterday",
        "outputs": ["../../etc/passwd"],
    }
    content = json.dumps(record).encode()
    outcome = bench.run(bench.task(WRITES.format(content=content, end="os._exit(0)")))
    assert outcome.status is RunStatus.SUCCEEDED
    assert sorted(outcome.metrics) == ["?", "a", "d"]
    assert math.isnan(outcome.metrics["d"])
    assert outcome.warnings[0] == "fine"
    assert len(outcome.warnings) == 3
    assert len(outcome.warnings[1]) < 5_000
    outcome.warnings[2].encode()
    assert outcome.outputs == ()
    assert outcome.started_at is not None


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "null",
        "{",
        '{"event": "cell", "number": "1", "status": "succeeded", "seconds": 1}',
        '{"event": "cell", "number": 1, "status": "splendid", "seconds": 1}',
        '{"event": "cell", "number": -1, "status": "failed", "seconds": 1}',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_event_is_passed_over(bench: Bench, line: str) -> None:
    good = '{"event": "cell", "number": 2, "status": "failed", "seconds": NaN}'
    task = bench.task(f"EVENTS.write_text({line!r} + '\\n' + {good!r} + '\\n')")
    bench.run(task)
    assert [cell.number for cell in bench.see(task).cells] == [2]
    assert bench.see(task).cells[0].seconds == 0.0


def test_links_are_not_followed_out_of_the_kept_files(bench: Bench) -> None:
    secret = bench.folder / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    task = bench.task(
        "import os\nkept = OUTPUT / 'kept'\n"
        f"os.symlink({str(secret / 'key')!r}, kept / 'file')\n"
        f"os.symlink({str(secret)!r}, kept / 'folder')\n"
        f"(OUTPUT / 'log.txt').unlink()\n"
        f"os.symlink({str(secret / 'key')!r}, OUTPUT / 'log.txt')\n"
        "os.mkfifo(kept / 'pipe')\n"
        "(kept / 'honest').write_text('kept')\n"
    )
    assert bench.run(task).outputs == ("runs/train/honest",)
    assert b"secret" not in b"".join(bench.files.written.values())


def test_an_output_folder_that_is_a_link_is_not_collected(bench: Bench) -> None:
    elsewhere = bench.folder / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    (elsewhere / "kept" / "key").write_text("secret")
    (elsewhere / "log.txt").write_text("secret")
    task = bench.task(
        "import os, shutil\nshutil.rmtree(OUTPUT)\n"
        f"os.symlink({str(elsewhere)!r}, OUTPUT)\nos._exit(1)"
    )
    assert bench.run(task).status is RunStatus.FAILED
    assert b"secret" not in b"".join(bench.files.written.values())


def test_kept_files_that_would_hide_a_report_are_left_out_with_a_warning(bench: Bench) -> None:
    task = bench.task(
        "kept = OUTPUT / 'kept'\n"
        "(kept / 'log.txt').write_text('fake')\n"
        "(kept / 'sub').mkdir()\n"
        "(kept / 'sub' / 'log.txt').write_text('kept')\n"
    )
    outcome = bench.run(task)
    assert outcome.outputs == ("runs/train/sub/log.txt",)
    assert "log.txt" in outcome.warnings[0]
    assert bench.log(task) == "the log\n"


def test_a_file_whose_name_is_no_text_is_left_out_with_a_warning(bench: Bench) -> None:
    task = bench.task(
        "open(os.fsencode(OUTPUT) + b'/kept/\\xff', 'w').close()\n".join(["import os\n", ""])
    )
    outcome = bench.run(task)
    assert outcome.outputs == ()
    assert "udcff" in outcome.warnings[0]


def test_a_run_that_writes_protects_its_files_can_be_released(bench: Bench) -> None:
    task = bench.task(
        "import os\nos.mkdir('locked')\nopen('locked/file', 'w').close()\nos.chmod('locked', 0)"
    )
    bench.run(task)
    bench.handler.release(bench.build)
    assert not bench.attempt_folder(task).exists()
    assert not [path for path in (bench.home / "attempts").iterdir() if Path(path).exists()]


def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(bench: Bench) -> None:
    task = bench.task(
        "import os\nos.mkfifo(EVENTS)\nos.mkfifo(OUTPUT / 'outcome.json')\nos._exit(0)"
    )
    outcome = bench.run(task)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE


def test_a_launcher_killed_from_outside_is_an_infrastructure_failure(bench: Bench) -> None:
    outcome = bench.run(bench.task("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.INFRASTRUCTURE
    assert "signal 9" in outcome.failure.message
