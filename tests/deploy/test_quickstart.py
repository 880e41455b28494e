"""The quickstart, command by command, in a fresh clone and with an empty home."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import PATIENCE, environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGE = (ROOT / "docs/quickstart.md").read_text("utf-8")
LAPTOP, _, REST = PAGE.partition("## A worker on a queue\n")
WORKER, _, _ = REST.partition("## A pipeline\n")

# What the page says does not end with 0.
EXPECTED = {
    "mlgate run examples/failing/message.json --repository . --output build/failing": 1,
    ".venv/bin/mlgate run examples/failing/message.json --repository . --output build/failing": 1,
    "mlgate validate message.json --repository . --checkout": 2,
}


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Kind and content of each fenced block."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


class Terminal:
    """A shell that keeps its folder and variables from one command to the next."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment(home, PATH=f"{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, command: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(command + "\n")
        self._shell.stdin.flush()

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of a command and all that it printed."""
        self.type(f'{command}\necho "ended with $?"')
        return self.read_until("ended with ")

    def read_until(self, mark: str) -> tuple[int, str]:
        assert self._shell.stdout is not None
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(mark):
                return int(re.sub(r"\D", "", line) or 0), "".join(lines)
            lines.append(line)
        raise AssertionError("the shell ended:\n" + "".join(lines))

    def close(self) -> None:
        self._shell.communicate(timeout=PATIENCE)


def follow(terminal: Terminal, page: str) -> None:
    """Do what the page says; a message goes into its file, a text must have been printed."""
    printed = ""
    for kind, content in blocks(page):
        if kind == "json":
            assert terminal.run(f"cat > message.json <<'END'\n{content}END")[0] == 0
        elif kind == "text":
            assert content.strip() in printed
        else:
            for command in commands(content):
                code, printed = terminal.run(command)
                expected = EXPECTED.get(command, 0)
                if command.startswith("mlgate validate") and "The message is valid." in content:
                    expected = 0  # the second time, corrected
                assert code == expected, f"{command}\n{printed}"


@pytest.mark.slow
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "mlgate"], check=True)
    terminal = Terminal(tmp_path, tmp_path / "mlgate")
    follow(terminal, README.partition("\n## The message\n")[0])
    terminal.close()

    assert (tmp_path / "mlgate/build/example/report.html").is_file()


@pytest.mark.slow
def test_each_command_does_what_the_page_says(tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "mlgate"], check=True)
    first = Terminal(tmp_path, tmp_path)
    follow(first, LAPTOP)
    path = f'export PATH="{tmp_path}/mlgate/.venv/bin:$PATH"'
    queue, worker, user = (Terminal(tmp_path, tmp_path / "flowers") for _ in range(3))
    for each in (queue, worker, user):
        each.run(path)
    [emulate, serve, publish] = [commands(content) for kind, content in blocks(WORKER)]
    queue.type("trap : INT; " + emulate[0] + " & echo $! > queue.pid; wait")
    deadline = time.monotonic() + PATIENCE
    while "Endpoint=" not in first.run("cat connection.txt")[1]:
        assert time.monotonic() < deadline
    for command in serve[:-1]:
        assert worker.run(command)[0] == 0
    worker.type(serve[-1] + " & echo $! > worker.pid; wait")
    worker.read_until("mlgate worker: receiving from function-queue")
    for command in publish:
        code, printed = user.run(command)
        assert code == 0, f"{command}\n{printed}"
    while "1 of 1 run passed" not in (told := user.run("mlgate builds | head -1")[1]):
        assert time.monotonic() < deadline, told
    first.run("kill -INT $(cat worker.pid) && kill $(cat queue.pid)")

    for each in (first, queue, worker, user):
        each.close()
