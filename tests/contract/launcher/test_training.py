"""How a command is executed, and the failures that come of it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.contract.launcher.harness import Start

TRAIN = """
import json, os, sys
print("training", sys.argv[1:])
print("with", sys.executable)
os.mkdir("outputs/model")
json.dump({"accuracy": 0.9, "epochs": 3}, open("outputs/metrics.json", "w"))
open("outputs/model/weights.bin", "wb").write(b"w")
"""


def test_a_passing_training_leaves_its_log_metrics_and_outputs(run_command: Start) -> None:
    run = run_command("python train.py --alpha 0.5", files={"train.py": TRAIN})

    assert (run.exit_code, run.outcome["status"]) == (0, "succeeded")
    assert "training ['--alpha', '0.5']" in run.log
    assert Path(run.log.split("with ")[1].strip()).parent == Path(sys.executable).parent
    assert run.outcome["metrics"] == {"accuracy": 0.9, "epochs": 3.0}
    assert run.outcome["outputs"] == ["outputs/metrics.json", "outputs/model/weights.bin"]
    assert (run.output / "kept/outputs/model/weights.bin").read_bytes() == b"w"
    assert [e["event"] for e in run.events] == ["started"]
    assert run.events[0]["cells_total"] is None
    assert not (run.output / "executed.ipynb").exists()


@pytest.mark.parametrize(
    ("command", "kind", "message"),
    [
        ("python -c 'print(1); 1/0'", "code", "ZeroDivisionError: division by zero"),
        ("python -c 'print 1'", "code", "SyntaxError: "),
        ("python -c 'import no_such'", "dependency", "ModuleNotFoundError: "),
        ("python -m no_such", "dependency", f"{sys.executable}: No module named no_such"),
        ("no-such-program", "dependency", ""),
        ("python -c 'from json import nope'", "environment", "ImportError: cannot import name"),
        ("python -c 'open(\"missing.csv\")'", "data", "FileNotFoundError: "),
        (
            "python -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:9\")'",
            "network",
            "URLError: ",
        ),
        ("python -c 'raise MemoryError'", "out_of_memory", "MemoryError"),
        ("python missing.py", "invalid", "the command could not start: "),
        ("./missing.sh", "invalid", "the command could not start: "),
        ("echo all is lost; exit 7", "code", "the command exited with code 7: all is lost"),
        ("exit 7", "code", "the command exited with code 7"),
        ("kill -TERM $$", "code", "the command was killed by SIGTERM (signal 15)"),
        ("kill -KILL $$", "code", "the command was killed by SIGKILL (signal 9)"),
        ("sh -c 'kill -SEGV $$'; exit $?", "code", "the command was killed by SIGSEGV (signal 11)"),
        ("read answer", "code", "the command exited with code 1"),
        ("python -c 'input()'", "code", "EOFError: EOF when reading a line"),
    ],
)
def test_a_failed_command_is_classified(
    run_command: Start, command: str, kind: str, message: str
) -> None:
    run = run_command(command)

    assert (run.exit_code, run.outcome["status"]) == (1, "failed")
    assert run.failure["kind"] == kind
    assert run.failure["message"].startswith(message)
    assert run.failure["cell"] is None


def test_the_traceback_is_that_of_the_last_exception_with_its_causes(run_command: Start) -> None:
    script = (
        "import traceback\ntry: {}['old']\nexcept KeyError: traceback.print_exc()\n"
        "try: open('missing.csv')\n"
        "except OSError as e: raise RuntimeError('\\x1b[31mcannot load') from e\n"
    )
    run = run_command("python train.py", files={"train.py": script})

    assert (run.failure["kind"], run.failure["message"]) == ("data", "RuntimeError: cannot load")
    assert run.failure["traceback"].startswith("Traceback (most recent call last)")
    assert "missing.csv" in run.failure["traceback"]
    assert "KeyError" not in run.failure["traceback"]


def test_the_log_grows_while_the_command_runs(start: Start) -> None:
    script = "import time\nprint('first line')\ntime.sleep(600)"
    run = start({"t.py": script}, kind="training", command="python t.py")
    run.wait_for(lambda run: "first line\n" in run.log)
    run.process.send_signal(signal.SIGTERM)

    assert run.wait().outcome["status"] == "canceled"


def test_a_log_that_is_not_utf_8_is_still_readable(run_command: Start) -> None:
    run = run_command("printf 'caf\\351\\n'")

    assert run.log == "caf\N{REPLACEMENT CHARACTER}\n"


def test_a_command_that_ignores_the_signal_is_killed_and_its_children_with_it(
    start: Start,
) -> None:
    command = "trap '' TERM; sleep 600 & setsid sleep 600 & jobs -p; echo up; wait; sleep 600"
    run = start({}, kind="training", command=command)
    run.wait_for(lambda run: "up" in run.log)
    run.process.send_signal(signal.SIGTERM)
    run.wait()

    assert (run.exit_code, run.outcome["status"]) == (1, "canceled")
    pids = [line for line in run.log.splitlines() if line.isdigit()]
    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_what_a_command_leaves_in_the_background_ends_with_it(run_command: Start) -> None:
    """Also when it still holds the command's output open."""
    run = run_command("setsid sleep 600 & echo $!")

    assert run.outcome["status"] == "succeeded"
    assert not Path(f"/proc/{run.log.strip()}").exists()


def test_a_working_directory_that_is_not_there_is_invalid(run_command: Start) -> None:
    assert run_command("true", directory="nowhere").failure["kind"] == "invalid"


@pytest.mark.parametrize(
    ("command", "passes"),
    [
        ("python -c 'print(1)' | tee all.txt", True),
        ("python -c '1/0' 2>&1 | tee all.txt", False),
        ("false | true | true", False),
        ("true | false || true", True),
        ("for i in 1; do (exit 3) | cat; done", False),
        ("[[ a == a ]] && diff <(echo 1) <(echo 1)", True),
    ],
)
def test_a_pipe_fails_when_any_part_of_it_does(
    run_command: Start, command: str, passes: bool
) -> None:
    run = run_command(command)

    assert run.outcome["status"] == ("succeeded" if passes else "failed"), run.log


def test_what_fails_in_a_pipe_is_the_reason(run_command: Start) -> None:
    run = run_command("python -c 'open(\"missing.csv\")' 2>&1 | tee all.txt")

    assert run.failure["kind"] == "data"


@pytest.mark.parametrize("directory", [".", "deep/er"])
def test_the_folder_outputs_is_there_before_a_command(run_command: Start, directory: str) -> None:
    run = run_command(
        "echo 1 > ./outputs/x.txt", directory=directory, files={f"{directory}/train.py": ""}
    )

    assert run.outcome["outputs"] == ["outputs/x.txt"]


def test_a_file_of_the_tree_that_is_called_outputs_stays(run_command: Start) -> None:
    run = run_command("cat outputs", files={"outputs": "mine"})

    assert (run.outcome["status"], run.log) == ("succeeded", "mine")
