"""`mlgate run` as a person uses it: exit codes, files and what the terminal says."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.e2e.commands import (
    PATIENCE,
    assert_no_slip,
    commit,
    message,
    mlgate,
    notebook,
    processes_with,
    run,
    start,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_passes_and_leaves_all_its_files(tmp_path: Path, repository: Path) -> None:
    shutil.copytree(EXAMPLES, repository / "examples")
    sha = commit(repository)
    done = mlgate(
        tmp_path, "run", EXAMPLES / "iris/message.json", "--repository", repository,
        "--output", "output",
    )  # a row a line # fmt: skip

    assert done.code == 0, done.err
    assert done.result["verdict"] == "succeeded"
    assert done.result["repository"] == {"url": str(repository), "commit": sha}
    assert done.run("train")["metrics"]["cv_accuracy"] > 0.9
    assert done.run("evaluate")["metrics"]["accuracy"] > 0.9
    assert [check["passed"] for check in done.result["gate"]["metrics"]] == [True, True]
    for path in done.run("train")["outputs"]:
        assert (done.output / path).is_file()
    assert b"data:image/png" in (done.output / "report.html").read_bytes()
    assert (done.output / "runs/explore/executed.html").is_file()
    assert "✓ succeeded" in done.out
    first = done.result["promotion"]
    assert (first["model"], first["outcome"], first["number"]) == ("iris", "promoted", 1)

    done = mlgate(
        tmp_path, "run", EXAMPLES / "iris/weaker.json", "--repository", repository,
        "--output", "output",
    )  # a row a line # fmt: skip
    assert done.code == 0, done.err
    assert done.result["promotion"]["outcome"] == "kept"
    assert f"iris@{first['id']} is kept" in done.out


def test_a_cell_that_raises_is_named_wherever_people_look(tmp_path: Path, repository: Path) -> None:
    shutil.copytree(EXAMPLES, repository / "examples")
    commit(repository)
    done = mlgate(
        tmp_path, "run", EXAMPLES / "failing/message.json", "--repository", repository,
        "--output", "output",
    )  # a row a line # fmt: skip

    assert done.code == 1
    failure = done.run("report")["failure"]
    assert (failure["kind"], failure["cell"]) == ("code", 3)
    assert failure["message"] == "KeyError: 'amount'"
    assert done.run("publish")["status"] == "skipped"
    assert "report failed (code, cell 3): KeyError: 'amount'" in done.out
    page = (done.output / "report.html").read_text()
    assert "KeyError" in page
    assert "cell 3" in page
    junit = ET.parse(done.output / "junit.xml")
    [failing] = junit.iterfind(".//testcase[failure]")
    assert failing.get("name", "").startswith("cell 3")
    assert "KeyError" in next(failing.iterfind("failure")).get("message", "")


def test_json_is_alone_on_standard_output(tmp_path: Path, repository: Path) -> None:
    commit_empty = repository / "keep.txt"
    commit_empty.write_text("")
    commit(repository)
    path = message(tmp_path, repository, {"kind": "training", "name": "t", "command": "echo hi"})
    done = run(tmp_path, path, "--json")

    assert done.code == 0, done.err
    assert json.loads(done.out) == done.result
    assert "t: passed" in done.err


def test_quiet_says_nothing(tmp_path: Path, repository: Path) -> None:
    (repository / "keep.txt").write_text("")
    commit(repository)
    path = message(tmp_path, repository, {"kind": "training", "name": "t", "command": "exit 3"})
    done = run(tmp_path, path, "--quiet")

    assert (done.code, done.out) == (1, "")


@pytest.mark.parametrize(
    ("url", "ref", "sentence"),
    [
        ("missing", None, "missing"),
        ("repository", "no-such-branch", "no-such-branch"),
    ],
)
def test_a_missing_repository_or_ref_is_one_clear_sentence(
    tmp_path: Path, repository: Path, url: str, ref: str | None, sentence: str
) -> None:
    (repository / "keep.txt").write_text("")
    commit(repository)
    path = message(tmp_path, tmp_path / url, {"kind": "training", "name": "t", "command": "true"})
    done = run(tmp_path, path, *(("--ref", ref) if ref else ()))

    assert done.code == 1
    assert sentence in done.result["reason"]
    assert "Traceback" not in done.out + done.err
    assert done.result["runs"] == []


def test_a_bare_repository_can_be_run(tmp_path: Path, repository: Path) -> None:
    (repository / "keep.txt").write_text("")
    commit(repository)
    shutil.copytree(repository / ".git", tmp_path / "bare")
    path = message(tmp_path, "/elsewhere", {"kind": "training", "name": "t", "command": "true"})

    assert run(tmp_path, path, "--repository", "bare").code == 0


def test_uncommitted_changes_are_left_out_with_a_warning_or_asked_for(
    tmp_path: Path, repository: Path
) -> None:
    (repository / "say.py").write_text("print('committed')")
    commit(repository)
    (repository / "say.py").write_text("raise SystemExit('changed')")
    path = message(tmp_path, "/x", {"kind": "training", "name": "t", "command": "python say.py"})
    left_out = mlgate(tmp_path, "run", path, "--repository", repository, "--output", "output")
    included = mlgate(
        tmp_path, "run", path, "--repository", repository, "--worktree", "--output", "output"
    )

    assert (left_out.code, included.code) == (0, 1)
    assert "uncommitted changes" in left_out.err


def test_the_hosts_own_settings_are_not_passed_on(tmp_path: Path, repository: Path) -> None:
    (repository / "look.py").write_text(
        "import os, resource\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0\n"
        "assert 'MY_SECRET' not in os.environ\n"
        "assert 'MLGATE_GIT_CREDENTIALS' not in os.environ\n"
        "assert os.environ['MLGATE_RUN_NAME'] == 't'\n"
        "assert len(os.environ['MLGATE_COMMIT']) == 40\n"
    )
    commit(repository)
    path = message(
        tmp_path, repository, {"kind": "training", "name": "t", "command": "python look.py"}
    )
    done = mlgate(
        tmp_path, "run", path, "--output", "output",
        MY_SECRET="x", MLGATE_GIT_CREDENTIALS="https://example.org/=MY_SECRET",
    )  # a row a line # fmt: skip

    assert done.code == 0, done.out


def test_a_second_build_in_the_same_folder_shows_nothing_of_the_first(
    tmp_path: Path, repository: Path
) -> None:
    notebook(repository / "a.ipynb", "1", "2")
    commit(repository)
    first = run(
        tmp_path,
        message(tmp_path, repository, {"kind": "notebook", "path": "a.ipynb", "name": "a"}),
    )
    second = run(
        tmp_path,
        message(tmp_path, repository, {"kind": "notebook", "path": "b.ipynb", "name": "a"}),
    )

    assert (first.code, second.code) == (0, 1)
    assert second.run("a")["failure"]["kind"] == "invalid"
    assert not (second.output / "runs/a/executed.ipynb").exists()
    cases = ET.parse(second.output / "junit.xml").getroot().iter("testcase")
    assert len(list(cases)) == 1


def test_a_reader_that_leaves_does_not_leave_the_runs_behind(
    tmp_path: Path, repository: Path
) -> None:
    mark = f"mark-{tmp_path.name}"
    (repository / "keep.txt").write_text("")
    commit(repository)
    path = message(
        tmp_path,
        repository,
        {"kind": "training", "name": "t", "command": "sleep 300"},
        {"kind": "training", "name": "u", "command": "sleep 2; echo"},
        defaults={"environment_variables": {"MARK": mark}},
    )
    process = start(tmp_path, "run", path, "--output", "output")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.stderr is not None
    process.stderr.close()

    assert process.returncode == 130
    assert processes_with(mark) == []


@pytest.mark.parametrize("wait_for", ["", "started", "cell 1"])
def test_ctrl_c_at_any_moment_leaves_no_process_behind(
    tmp_path: Path, repository: Path, wait_for: str
) -> None:
    mark = f"mark-{tmp_path.name}"
    notebook(repository / "long.ipynb", "1", f"import time\ntime.sleep(300)  # {mark}")
    commit(repository)
    path = message(
        tmp_path,
        repository,
        {"kind": "notebook", "path": "long.ipynb"},
        {"kind": "training", "name": "t", "command": "sleep 300 & sleep 300"},
        defaults={"environment_variables": {"MARK": mark}},
    )
    process = start(tmp_path, "run", path, "--output", "output")
    assert process.stdout is not None
    while wait_for and wait_for not in process.stdout.readline():
        assert process.poll() is None
    if not wait_for:
        time.sleep(1)
    process.send_signal(signal.SIGINT)
    if wait_for:
        process.send_signal(signal.SIGINT)  # passed on by whatever started it, as `make` does
    try:
        _, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise

    # Before it has taken over its signals, the interrupt itself ends it; a shell tells both as 130.
    assert process.returncode in ((130,) if wait_for else (130, -signal.SIGINT))
    assert_no_slip(err)
    assert processes_with(mark) == []
    if wait_for:
        result = json.loads((tmp_path / "output/result.json").read_text())
        assert result["verdict"] == "canceled"


def test_the_background_job_of_a_script_is_interrupted_as_well(
    tmp_path: Path, repository: Path
) -> None:
    """The shell of a script has it ignore Ctrl-C."""
    mark = f"mark-{tmp_path.name}"
    notebook(repository / "a.ipynb", "1")
    commit(repository)
    path = message(
        tmp_path, repository, {"kind": "training", "name": "t", "command": f"sleep 300 # {mark}"}
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(tmp_path, "run", path, "--output", "output")
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    while "started" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()

    assert process.returncode == 130
    assert processes_with(mark) == []


def test_a_project_folder_as_output_loses_nothing_and_may_be_used_again(
    tmp_path: Path, repository: Path
) -> None:
    (repository / "keep.txt").write_text("")
    commit(repository)
    events = tmp_path / "runs" / "exp1" / "events.out.tfevents.1"
    events.parent.mkdir(parents=True)
    events.write_text("months")
    for name in ("first", "second"):
        run = {
            "kind": "training",
            "name": name,
            "command": "mkdir -p outputs && echo x > outputs/x.txt",
        }
        done = mlgate(tmp_path, "run", message(tmp_path, repository, run), "--output", ".")
        assert done.code == 0, done.err
        assert events.read_text() == "months"
        assert {path.name for path in (tmp_path / "runs").iterdir()} == {"exp1", name}


def test_submodules_of_repositories_that_the_host_allows_are_run_here(
    tmp_path: Path, repository: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "lib.py").write_text("X = 1\n")
    sha = commit(library)
    (repository / ".gitmodules").write_text(f'[submodule "lib"]\n\tpath = lib\n\turl = {library}\n')
    commit(repository)
    for command in (
        ["update-index", "--add", "--cacheinfo", f"160000,{sha},lib"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "submodule"],
    ):
        subprocess.run(["git", "-C", str(repository), *command], check=True)
    path = message(
        tmp_path, {"url": str(repository), "submodules": True},
        {"kind": "training", "name": "t", "command": "python lib/lib.py"},
    )  # a row a line # fmt: skip
    for arguments in (("run", path, "--output", "output"), ("validate", path, "--checkout")):
        refused = mlgate(tmp_path, *arguments)
        assert refused.code != 0
        assert "MLGATE_ALLOWED_REPOSITORIES" in refused.err + refused.out
        done = mlgate(tmp_path, *arguments, MLGATE_ALLOWED_REPOSITORIES=f"/nowhere,{library}")
        assert done.code == 0, done.err
