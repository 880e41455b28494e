"""How a notebook is executed, and what it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.launcher.harness import LIMIT, Start, code, markdown, notebook, put_launcher


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
    """Else a cell that never ran would show results; a failed notebook has its page, too."""
    stale = code("1 / 0")
    later = code("2")
    later.execution_count = 7
    later.outputs = [{"output_type": "stream", "name": "stdout", "text": "stale"}]

    run = run_notebook(notebook(stale, later))

    assert run.cells[1].outputs == []
    assert run.cells[1].execution_count is None
    assert run.cells[1].metadata.mlgate == {"number": 2, "status": "not_run", "seconds": None}
    assert "ZeroDivisionError" in run.html
    assert "stale" not in run.html


def test_it_runs_in_its_directory_with_the_caller_s_variables(start: Start) -> None:
    book = notebook("import os, helper\nprint(os.getcwd(), helper.x, os.environ['MLGATE_INPUT_A'])")
    run = start(
        {"sub/book.ipynb": book, "sub/helper.py": "x = 'found'"},
        {"MLGATE_INPUT_A": "/inputs/a"},
        path="sub/book.ipynb",
        directory="sub",
    ).wait()

    assert f"{run.root / 'sub'} found /inputs/a" in run.log


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


@pytest.mark.parametrize(
    "source",
    [
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "raise SystemExit(False)",
        "class Quit(SystemExit): pass\nraise Quit",
        "exit()",
        "exit(0)",
    ],
)
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


def test_the_folder_outputs_is_there_before_a_notebook_and_exit_hooks_may_still_write(
    run_notebook: Start,
) -> None:
    """As trackers do that flush at the end."""
    source = "import atexit, os\natexit.register(lambda: open('outputs/late.txt', 'w').write('x'))"
    run = run_notebook(notebook(f"open('outputs/first.txt', 'w').close()\n{source}"))

    assert run.outcome["outputs"] == ["outputs/first.txt", "outputs/late.txt"]


def test_a_warm_process_may_fork_and_run(tmp_path: Path) -> None:
    """Importing the launcher has no effect, so imports can be paid for once."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "warm.ipynb").write_text(json.dumps(notebook("print('warm')")))
    script = f"""
import os, nbclient
from mlgate.launcher import page, run
list(page.prepare_rendering())
pid = os.fork()
if not pid:
    task = '{{"kind": "notebook", "path": "warm.ipynb"}}'
    os._exit(run.main(["--task", task, "--root", {str(tmp_path / "root")!r},
                       "--output", {str(tmp_path / "output")!r}]))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=LIMIT)

    assert "warm" in (tmp_path / "output" / "log.txt").read_text()
    assert json.loads((tmp_path / "output" / "outcome.json").read_text())["failure"] is None


def test_a_task_that_cannot_be_read_is_no_failed_run(tmp_path: Path) -> None:
    """The exit code tells that there is no outcome."""
    arguments = ["--task", "missing.json", "--root", str(tmp_path), "--output", str(tmp_path)]
    command = [sys.executable, str(put_launcher(tmp_path)), *arguments]
    process = subprocess.run(command, capture_output=True, check=False)

    assert process.returncode == 3
    assert not (tmp_path / "outcome.json").exists()


def test_many_displayed_values_are_all_kept(run_notebook: Start) -> None:
    """More than the queue of a socket holds by default."""
    run = run_notebook(notebook("for i in range(3000): display(i)"))

    assert len(run.cells[0].outputs) == 3000


def test_of_a_flood_of_text_the_notebook_has_the_beginning(run_notebook: Start) -> None:
    flood = "for _ in range(120): print('x' * 99_999, flush=True)"
    run = run_notebook(notebook("print('before')", flood, "print('after')"))

    assert len(run.log) > 12_000_000
    assert sum(len(output.text) for output in run.cells[1].outputs) == 10_000_000
    assert run.cells[2].outputs[0].text == "after\n"
    assert run.outcome["warnings"] == [
        "a cell prints too much: the notebook has only the first of its output"
    ]


def test_what_is_printed_waits_for_its_reader_and_not_in_memory(run_notebook: Start) -> None:
    peak = "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    flood = "for _ in range(4000): print('x' * 99_999)"  # 400 MB
    before, _, after = run_notebook(notebook(peak, flood, peak)).cells

    assert int(after.outputs[0].text) - int(before.outputs[0].text) < 200  # MiB


def test_one_long_text_is_one_output(run_notebook: Start) -> None:
    [output] = run_notebook(notebook("print('é' * 3_500_000)")).cells[0].outputs

    assert output.text == "é" * 3_500_000 + "\n"


def test_a_thread_that_prints_for_ever_keeps_no_kernel_from_its_end(run_notebook: Start) -> None:
    endless = (
        "import threading\n"
        "import time\n"
        "def chatter():\n    while True: print('x' * 99_999); time.sleep(0.001)\n"
        "threading.Thread(target=chatter, daemon=True).start()"
    )
    run = run_notebook(notebook(endless, "print('done')"))

    assert run.outcome["status"] == "succeeded"
    assert not [each for each in run.outcome["warnings"] if "killed" in each]


def test_many_small_pieces_are_one_output_in_their_order(run_notebook: Start) -> None:
    source = (
        "import sys\nfor i in range(3000): print(i, flush=True)\nprint('e', file=sys.stderr)\n"
        "display(1)\nfor i in range(3000): print(i, flush=True)"
    )
    outputs = run_notebook(notebook(source)).cells[0].outputs
    numbers = "".join(f"{i}\n" for i in range(3000))

    assert [output.get("text") for output in outputs] == [numbers, "e\n", None, numbers]


def test_what_is_printed_after_an_output_was_cleared_stays(run_notebook: Start) -> None:
    source = (
        "from IPython.display import clear_output\nfor wait in (False, True):\n"
        "    print('gone', flush=True); print('too', flush=True)\n    clear_output(wait=wait)\n"
        "print('stays', flush=True); print('also', flush=True)"
    )
    [output] = run_notebook(notebook(source)).cells[0].outputs

    assert output.text == "stays\nalso\n"


# A kernel that loses its last message of a cell, which says that there is no more to come.
SILENT = """
kernel = get_ipython().kernel
send = kernel.session.send
def lossy(stream, kind, *args, **more):
    content = args[0] if args else more.get("content") or {}
    if kind == "status" and content.get("execution_state") == "idle":
        kernel.session.send = send
        return None
    return send(stream, kind, *args, **more)
kernel.session.send = lossy
print("said")
"""


def test_a_kernel_that_falls_silent_is_waited_for_as_long_as_it_says_something(
    tmp_path: Path,
) -> None:
    """And then there is a warning that outputs may be missing."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "n.ipynb").write_text(json.dumps(notebook(SILENT, "print('went on')")))
    script = (
        "import sys; from mlgate.launcher import client, run; client.QUIET_SECONDS = 1.0; "
        "sys.exit(run.main(sys.argv[1:]))"
    )
    task = json.dumps({"kind": "notebook", "path": "n.ipynb"})
    command = [sys.executable, "-c", script, "--task", task, "--root", str(tmp_path / "root")]
    subprocess.run([*command, "--output", str(tmp_path / "output")], check=True, timeout=LIMIT)
    outcome = json.loads((tmp_path / "output" / "outcome.json").read_text())

    assert outcome["warnings"] == ["outputs of a cell may be missing: the kernel stopped sending"]
    assert "went on" in (tmp_path / "output" / "log.txt").read_text()
