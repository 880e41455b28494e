"""Executes cases with the Python it is started by, and prints what the launcher makes of each.

    python judge.py LAUNCHER CASES SCRATCH

LAUNCHER is the launcher's archive, CASES a file of JSON, SCRATCH a folder for the trees. It prints
a line of JSON for each. A script is executed as the launcher does it, in a process of its own; a
cell by IPython in a fork of this one, which is quicker than a kernel and shows exceptions alike.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servers import bad_server  # type: ignore[import-not-found]  # beside this file

REFUSED = "http://127.0.0.1:9"
PROLOGUE = {
    "rich": "from rich.traceback import install; install()",
    "rich with locals": "from rich.traceback import install; install(show_locals=True, width=60)",
    "behind a bar": "import sys; sys.stdout.write('\\r 33%|###    | 1/3 [00:01<00:02, 1.2s/it]');"
    " sys.stdout.flush()",
}
TYPER = """import typer
app = typer.Typer()
@app.command()
def main(rows: int = 3) -> None:
{}
app()
"""


def shown(source: str, drawn: str) -> str:
    """The source with what it takes to draw its traceback so."""
    if drawn == "typer":
        return TYPER.format(textwrap.indent(source, "    "))
    return f"{PROLOGUE[drawn]}\n{source}" if drawn in PROLOGUE else source


def place_of(folder: Path) -> Any:
    from mlgate.launcher.values import Place

    return Place(folder, folder, folder, None, os.environ, None)


def judge_script(folder: Path, command: str) -> tuple[str, str]:
    from mlgate.launcher.exits import command_failure
    from mlgate.launcher.origins import Origins
    from mlgate.launcher.text import plain

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if not done.returncode:
        return "passed", ""
    tail = plain(done.stdout.decode("utf-8", "replace")[-65_536:])
    failed = command_failure(done.returncode, tail, False, Origins(place_of(folder)))
    return failed.kind, failed.message


def judge_cell(folder: Path, source: str, shell: Any) -> tuple[str, str]:
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            nowhere = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nowhere, number)
            os.chdir(folder)
            sys.path[0] = ""
            os.write(writing, json.dumps(judged_cell(folder, source, shell)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    kind, message = json.loads(text) if text else ("died", "")
    return kind, message


def judged_cell(folder: Path, source: str, shell: Any) -> tuple[str, str]:
    from mlgate.launcher.origins import Origins
    from mlgate.launcher.reasons import classify
    from mlgate.launcher.recording import record
    from mlgate.launcher.values import Raised

    sys.last_value = None
    shell.run_cell(source)
    if sys.last_value is None:
        return "passed", ""
    error = Raised.read(json.loads(json.dumps(record(sys.last_value))))
    return classify(error, Origins(place_of(folder), [source])), str(error)


def make_shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    return InteractiveShell.instance(config=config)


def main(cases: list[Mapping[str, Any]], scratch: Path) -> None:
    url = bad_server()

    def at_home(text: str) -> str:
        return text.replace("{url}", url).replace("{refused}", REFUSED)

    shell = make_shell()
    sys.path.insert(0, "")
    for number, case in enumerate(cases):
        if not all(map(installed, case["needs"])):
            continue
        for where in case["places"]:
            folder = scratch / f"{number}-{where}"
            source = at_home(case["source"])
            command = case["command"] or "python case.py"
            if case["drawn"] == "ipython":
                command = "python -m IPython --colors=NoColor case.py"
            files = {**case["files"], "case.py": shown(source, case["drawn"])}
            if where == "cell" or case["command"]:
                del files["case.py"]
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(at_home(content).encode())
            folder.mkdir(parents=True, exist_ok=True)
            judged = (
                judge_cell(folder, source, shell)
                if where == "cell"
                else judge_script(folder, command)
            )
            answer = {"number": number, "place": where, "kind": judged[0], "message": judged[1]}
            print(json.dumps(answer), flush=True)


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


if __name__ == "__main__":
    del sys.path[0]
    launcher, cases, scratch = (Path(argument).resolve() for argument in sys.argv[1:])
    sys.path.append(str(launcher))
    main(json.loads(cases.read_text("utf-8")), scratch)
