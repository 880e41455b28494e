"""Which kernel executes a notebook, and what it gets when there is none."""

from __future__ import annotations

import json
import sys
import venv
from pathlib import Path

from tests.contract.launcher.harness import Run, Start, notebook


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


# Twice as fast as a launcher reads, so that in the end thousands wait: more than its queue would
# hold if it had a limit. After every fifty it waits for the threads that carry them, because
# ipykernel's own socket drops what comes while a thousand wait to be sent.
PRINTS = """
import threading, time
kernel = get_ipython().kernel
pack = kernel.session.serialize
messages = []
for i in range(12_000):
    content = {"data": {"text/plain": str(i)}, "metadata": {}, "transient": {}}
    message = kernel.session.msg("display_data", content=content, parent=kernel.get_parent())
    messages.append([b"display_data", *pack(message)])
for i, message in enumerate(messages):
    kernel.iopub_thread.send_multipart(message)
    if i % 50 == 0:
        sent = threading.Event()
        kernel.iopub_thread.schedule(sent.set)
        sent.wait()
        time.sleep(0.01)
"""


def test_a_kernel_that_does_not_wait_for_its_reader_loses_nothing(
    start: Start, tmp_path: Path
) -> None:
    """An installed one publishes as ipykernel does, which drops what its queue has no room for."""
    spec = tmp_path / "jupyter" / "kernels" / "stock"
    spec.mkdir(parents=True)
    arguments = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    fields = {"argv": arguments, "language": "python", "display_name": "Stock"}
    (spec / "kernel.json").write_text(json.dumps(fields))
    book = notebook(PRINTS, kernelspec={"name": "stock", "display_name": "Stock"})

    run = start({"notebook.ipynb": book}, {"JUPYTER_PATH": str(tmp_path / "jupyter")}).wait()

    shown = [output.data["text/plain"] for output in run.cells[0].outputs]
    assert shown == [str(i) for i in range(12_000)]


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


def test_an_environment_without_jupyter_is_named_as_what_is_wrong(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    (tmp_path / "root").mkdir()

    run = Run(tmp_path, {}, {}, tmp_path / "bare" / "bin" / "python").wait()

    assert (run.exit_code, run.failure["kind"]) == (1, "environment")
    assert "needs nbclient, nbformat, nbconvert, ipykernel" in run.failure["message"]
