"""How a notebook is executed, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from tests.contract.launcher.harness import LAUNCHER, LIMIT, Run, Start, code, markdown, notebook


def test_a_passing_notebook_leaves_its_evidence(run_notebook: Start) -> None:
    run = run_notebook(notebook("print('hello')", markdown("# T"), "40 + 2"))

    assert run.exit_code == 0
    assert run.outcome == {
        "version": 1,
        "status": "succeeded",
        "started_at": run.outcome["started_at"],
        "finished_at": run.outcome["finished_at"],
        "metrics": {},
        "outputs": [],
        "warnings": [],
        "failure": None,
    }
    assert run.outcome["started_at"] <= run.outcome["finished_at"]
    assert run.outcome["finished_at"].endswith("Z")
    assert run.log == "[cell 1/2]\nhello\n[cell 2/2]\n"
    first, second = run.cells
    assert first.metadata.mlgate.number == 1
    assert first.metadata.mlgate.seconds >= 0
    assert second.outputs[0].data["text/plain"] == "42"
    assert [cell.execution_count for cell in run.cells] == [1, 2]
    started, *cells = run.events
    assert (started["event"], started["cells_total"]) == ("started", 2)
    assert [(e["event"], e["number"], e["status"]) for e in cells] == [
        ("cell", 1, "succeeded"),
        ("cell", 2, "succeeded"),
    ]
    assert run.printed == ""


def test_stored_outputs_of_an_earlier_run_do_not_survive(run_notebook: Start) -> None:
    """Else a cell that never ran would show results."""
    stale = code("1 / 0")
    later = code("2")
    later.execution_count = 7
    later.outputs = [{"output_type": "stream", "name": "stdout", "text": "stale"}]

    run = run_notebook(notebook(stale, later))

    assert run.cells[1].outputs == []
    assert run.cells[1].execution_count is None
    assert run.cells[1].metadata.mlgate == {"number": 2, "status": "not_run", "seconds": None}


def test_it_runs_in_its_directory_with_the_caller_s_variables(start: Start) -> None:
    book = notebook("import os, helper\nprint(os.getcwd(), helper.x, os.environ['MLGATE_INPUT_A'])")
    run = start(
        {"sub/book.ipynb": book, "sub/helper.py": "x = 'found'"},
        {"MLGATE_INPUT_A": "/inputs/a"},
        path="sub/book.ipynb",
        directory="sub",
    ).wait()

    assert f"{run.root / 'sub'} found /inputs/a" in run.log


def test_the_kernel_and_its_shell_commands_are_the_environment_s(run_notebook: Start) -> None:
    """Whatever kernelspec or `python` the machine has besides."""
    source = "import sys\nprint([sys.executable])\n!python -c 'import sys; print([sys.prefix])'"
    run = run_notebook(notebook(source))

    assert str([sys.executable]) in run.log
    assert str([sys.prefix]) in run.log


def test_a_kernel_that_is_not_known_is_python3_with_a_warning(run_notebook: Start) -> None:
    run = run_notebook(notebook("print('ran')", kernelspec={"name": "sdkv2", "display_name": ""}))

    assert run.outcome["status"] == "succeeded"
    assert run.outcome["warnings"] == ["the kernel `sdkv2` is not known here: `python3` was used"]


def test_an_installed_kernel_of_another_name_is_used(start: Start, tmp_path: Path) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "custom"
    spec.mkdir(parents=True)
    arguments = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    fields = {"argv": arguments, "language": "python", "display_name": "C", "env": {"CUSTOM": "y"}}
    (spec / "kernel.json").write_text(json.dumps(fields))
    book = notebook(
        "import os; print(os.environ['CUSTOM'])", kernelspec={"name": "custom", "display_name": ""}
    )

    run = start({"notebook.ipynb": book}, {"JUPYTER_PATH": str(tmp_path / "jupyter")}).wait()

    assert (run.outcome["status"], run.outcome["warnings"]) == ("succeeded", [])
    assert "y\n" in run.log


def test_a_kernel_that_does_not_start_is_an_environment_failure(
    start: Start, tmp_path: Path
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "broken"
    spec.mkdir(parents=True)
    fields = {"argv": ["false"], "language": "python", "display_name": "B"}
    (spec / "kernel.json").write_text(json.dumps(fields))

    run = start(
        {"notebook.ipynb": notebook("1", kernelspec={"name": "broken", "display_name": ""})},
        {"JUPYTER_PATH": str(tmp_path / "jupyter")},
    ).wait()

    assert run.failure["kind"] == "environment"
    assert run.failure["message"] == "the kernel `broken` did not start: exited with code 1"
    assert run.statuses == ["not_run"]


def test_format_3_is_upgraded_with_a_warning(start: Start) -> None:
    cell = {"cell_type": "code", "language": "python", "input": "print('old')", "outputs": []}
    old = {
        "metadata": {"name": ""},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [{"cells": [{**cell, "metadata": {}, "prompt_number": 1}], "metadata": {}}],
    }
    run = start({"notebook.ipynb": json.dumps(old)}).wait()

    assert run.outcome["status"] == "succeeded"
    assert "the notebook was upgraded from format 3 to 4" in run.outcome["warnings"]
    assert "old" in run.log


@pytest.mark.parametrize("cells", [[markdown("text")], ["", code("1", "skip-execution")]])
def test_a_notebook_without_anything_to_run_passes_and_says_so(
    run_notebook: Start, cells: list[object]
) -> None:
    run = run_notebook(notebook(*cells))

    assert (run.exit_code, run.outcome["status"]) == (0, "succeeded")
    [warning] = run.outcome["warnings"]
    assert warning.startswith("nothing was executed")


def test_a_cell_tagged_skip_execution_is_not_run(run_notebook: Start) -> None:
    run = run_notebook(notebook(code("1 / 0", "skip-execution"), "print('after')"))

    assert run.outcome["status"] == "succeeded"
    assert run.statuses == ["skipped", "succeeded"]
    assert [e["status"] for e in run.events[1:]] == ["skipped", "succeeded"]


@pytest.mark.parametrize("source", ["import sys; sys.exit(0)", "exit()"])
def test_an_exit_without_fault_ends_the_notebook_early_and_passes(
    run_notebook: Start, source: str
) -> None:
    run = run_notebook(notebook("1", source, "3", "4"))

    assert (run.exit_code, run.outcome["status"]) == (0, "succeeded")
    assert run.statuses == ["succeeded", "succeeded", "not_run", "not_run"]
    assert run.outcome["warnings"] == ["cell 2 ended the notebook early; not run: 3 to 4"]


def test_parameters_are_injected_after_the_tagged_cell(run_notebook: Start) -> None:
    parameters = {"a": None, "b": [True, {"k": 1.5}], "c": "it's"}
    book = notebook("x = 0", code("a = b = c = 1", "parameters"), "print(a, b, c)")
    run = run_notebook(book, parameters=parameters)

    assert run.outcome["warnings"] == []
    assert "None [True, {'k': 1.5}] it's" in run.log
    injected = run.cells[2]
    assert injected.metadata.tags == ["injected-parameters"]
    assert "mlgate" not in injected.metadata
    assert [c.metadata.mlgate.number for c in run.cells if "mlgate" in c.metadata] == [1, 2, 3]
    assert run.events[0]["cells_total"] == 3


def test_a_parameter_that_the_tagged_cell_does_not_define_is_a_finding(
    run_notebook: Start,
) -> None:
    run = run_notebook(notebook(code("alpha = 1", "parameters")), parameters={"alhpa": 2})

    assert run.outcome["status"] == "succeeded"
    assert run.outcome["warnings"] == [
        "parameter `alhpa` is not defined in the cell tagged `parameters`"
    ]


def test_the_page_holds_the_plots_and_runs_nothing(run_notebook: Start) -> None:
    pixel = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
        "Jggg=="
    )
    run = run_notebook(
        notebook(
            markdown("$x^2$"),
            f"from IPython.display import *\nimport base64\nImage(base64.b64decode('{pixel}'))",
            "HTML('<b>bold</b>')",
        )
    )

    head = run.html.index("<head>")
    policy = run.html.index("Content-Security-Policy")
    assert policy - head < 30
    assert (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:" in run.html
    )
    assert "<script" not in run.html
    assert "<link" not in run.html
    assert "data:image/png;base64," in run.html
    assert "<b>bold</b>" in run.html


def test_a_failed_notebook_has_a_page_too(run_notebook: Start) -> None:
    run = run_notebook(notebook("1 / 0"))

    assert "ZeroDivisionError" in run.html


def test_exit_hooks_of_the_kernel_may_still_write_outputs(run_notebook: Start) -> None:
    """As trackers do that flush at the end."""
    source = (
        "import atexit, os\nos.makedirs('outputs')\n"
        "atexit.register(lambda: open('outputs/late.txt', 'w').write('x'))"
    )
    run = run_notebook(notebook(source))

    assert run.outcome["outputs"] == ["outputs/late.txt"]


def test_nothing_that_a_cell_starts_outlives_the_run(run_notebook: Start) -> None:
    """Not even what left the kernel's session."""
    source = (
        "import subprocess as s\n"
        "for new in (False, True):\n"
        "    print('pid', s.Popen(['sleep', '600'], start_new_session=new).pid)"
    )
    run = run_notebook(notebook(source))

    pids = [int(line.split()[1]) for line in run.log.splitlines() if line.startswith("pid")]
    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_run_and_keeps_what_there_is(start: Start, number: int) -> None:
    source = (
        "import os, time\nos.makedirs('outputs')\nopen('outputs/part.txt', 'w').write('x')\n"
        "print('pid', os.getpid(), flush=True)\ntime.sleep(600)"
    )
    run = start({"notebook.ipynb": notebook("1", source, "3")})
    run.wait_for(lambda run: "pid" in run.log)
    run.process.send_signal(number)
    run.wait()

    assert (run.exit_code, run.outcome["status"]) == (1, "canceled")
    assert run.failure is None
    assert run.outcome["outputs"] == ["outputs/part.txt"]
    assert run.statuses == ["succeeded", "failed", "not_run"]
    assert "pid" in run.html
    pid = next(line.split()[1] for line in run.log.splitlines() if line.startswith("pid"))
    assert not Path(f"/proc/{pid}").exists()


def test_a_signal_before_the_first_cell_cancels_too(start: Start) -> None:
    run = start({"notebook.ipynb": notebook("1")})
    run.wait_for(lambda run: (run.output / "executed.ipynb").exists())
    run.process.send_signal(signal.SIGTERM)
    run.wait()

    assert (run.exit_code, run.outcome["status"]) == (1, "canceled")
    assert run.statuses == ["not_run"]


def test_a_launcher_that_is_killed_takes_its_kernel_along_and_leaves_evidence(
    start: Start,
) -> None:
    source = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)"
    run = start({"notebook.ipynb": notebook("first = 1", source)})
    run.wait_for(lambda run: "pid" in run.log)

    def saved(run: Run) -> bool:
        return len(run.cells) == 2 and bool(run.cells[1].outputs)

    run.wait_for(saved)
    pid = next(line.split()[1] for line in run.log.splitlines() if line.startswith("pid"))
    os.kill(run.process.pid, signal.SIGKILL)
    run.wait()

    assert not (run.output / "outcome.json").exists()
    assert run.statuses == ["succeeded", "not_run"]
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    pytest.fail("the kernel lives on")


def test_an_environment_without_jupyter_is_named_as_what_is_wrong(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    (tmp_path / "root").mkdir()

    run = Run(tmp_path, {}, {}, tmp_path / "bare" / "bin" / "python").wait()

    assert (run.exit_code, run.failure["kind"]) == (1, "environment")
    assert "needs nbclient, nbformat, nbconvert, ipykernel" in run.failure["message"]


def test_a_warm_process_may_fork_and_run(tmp_path: Path) -> None:
    """Importing the launcher has no effect, so imports can be paid for once."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "warm.ipynb").write_text(json.dumps(notebook("print('warm')")))
    script = f"""
import os, nbclient
from mlgate import launcher
launcher.prepare_rendering()
pid = os.fork()
if not pid:
    task = '{{"kind": "notebook", "path": "warm.ipynb"}}'
    os._exit(launcher.main(["--task", task, "--root", {str(tmp_path / "root")!r},
                            "--output", {str(tmp_path / "output")!r}]))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=LIMIT)

    assert "warm" in (tmp_path / "output" / "log.txt").read_text()
    assert json.loads((tmp_path / "output" / "outcome.json").read_text())["failure"] is None


def test_a_task_that_cannot_be_read_is_no_failed_run(tmp_path: Path) -> None:
    """The exit code tells that there is no outcome."""
    arguments = ["--task", "missing.json", "--root", str(tmp_path), "--output", str(tmp_path)]
    command = [sys.executable, str(LAUNCHER), *arguments]
    process = subprocess.run(command, capture_output=True, check=False)

    assert process.returncode == 3
    assert not (tmp_path / "outcome.json").exists()


def test_many_displayed_values_are_all_kept(run_notebook: Start) -> None:
    """More than the queue of a socket holds by default."""
    run = run_notebook(notebook("for i in range(3000): display(i)"))

    assert len(run.cells[0].outputs) == 3000


def test_a_flood_of_text_is_kept_in_the_log_alone(run_notebook: Start) -> None:
    run = run_notebook(notebook("for _ in range(120): print('x' * 100_000)", "print('after')"))

    assert len(run.log) > 12_000_000
    assert sum(len(output.text) for output in run.cells[0].outputs) <= 10_000_000
    assert run.cells[1].outputs[0].text == "after\n"
    assert len(run.outcome["warnings"]) == 1
