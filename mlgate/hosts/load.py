"""`mlgate load`: locust on a served model, and limits that what it measured has to hold."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from mlgate.hosts.terminal import complain, say
from mlgate.hosts.usage import UsageError
from mlgate.load import EXAMPLE_USER, PROGRAM
from mlgate.load.pins import PINS
from mlgate.load.stats import Limits, Measured, NoStats, measured, reasons

OK, BROKEN, COULD_NOT_RUN = 0, 1, 3

_ANSWER_SECONDS = 10.0  # for GET /model
_STOP_SECONDS = 10  # for requests under way when the time is up
_PATIENCE_SECONDS = 60.0  # beyond all that
_ENDING_SECONDS = 5.0
# Beside these, locust has what this command was started with: a locustfile may want any of it.
_NOT_PASSED = ("MLGATE_", "LOCUST_", "serviceBus", "PYTHON", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Load:
    """`users` callers, all there within a second, for so many seconds."""

    url: str
    users: int
    seconds: int
    locustfile: str | None = None


class _CannotRun(Exception):
    """The sentence for people; nothing was measured."""


def load(home: Path, asked: Load, limits: Limits) -> int:
    """Make the load and say what came of it; the exit code.

    Raises UsageError, and OrchestrationError when locust's environment cannot be made.
    """
    from handlers.local_handler.tools import tool

    url = _checked(asked.url)
    if asked.locustfile is not None and not Path(asked.locustfile).is_file():
        raise UsageError(f"there is no file {asked.locustfile}")
    try:
        body = None if asked.locustfile is not None else _example(url)
        if asked.locustfile is None and body is None:
            why = f"the model at {url} has no example. Say with --locustfile what callers do."
            complain(f"mlgate: No request was made: {why}")
            return BROKEN
        with tempfile.TemporaryDirectory(prefix="mlgate-load-") as folder:
            made = tool(home, PINS, Path(folder))
            callers = "1 caller" if asked.users == 1 else f"{asked.users} callers"
            complain(f"asking {url}: {callers} for {asked.seconds} s")
            code = _locust(made.python, url, asked, body, Path(folder))
            return _told(_measured(Path(folder), asked, code), limits, code, Path(folder))
    except _CannotRun as error:
        complain(f"mlgate: {error}")
        return COULD_NOT_RUN


def _checked(url: str) -> str:
    """Without the last `/`. Raises UsageError."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment:
        raise UsageError("the URL is not one of a server: write it as https://host or http://host")
    if parts.username or parts.password:
        raise UsageError("the URL holds a user or a password, which would be shown: leave it out")
    return url.rstrip("/")


def _example(url: str) -> bytes | None:
    """The body of a request, from GET /model; None where the model has none."""
    where = f"{url}/model"
    try:
        answer = requests.get(where, timeout=_ANSWER_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise _CannotRun(f"{where} does not answer: {type(error).__name__}.") from None
    if answer.status_code != requests.codes.ok:
        raise _CannotRun(
            f"{where} answers {answer.status_code}: a model has to be served there, or say with "
            "--locustfile what callers do."
        )
    try:
        model = answer.json()
    except ValueError:
        model = None
    if not isinstance(model, dict):
        raise _CannotRun(f"{where} is not one of `mlgate serve`: it answers no JSON object.")
    example = model.get("example")
    return None if example is None else json.dumps(example).encode()


def _locust(python: Path, url: str, asked: Load, body: bytes | None, folder: Path) -> int:
    """Its exit code; its files are in the folder. Raises _CannotRun when it does not end."""
    file = EXAMPLE_USER if asked.locustfile is None else Path(asked.locustfile).absolute()
    sent = folder / "body.json"
    sent.write_bytes(body or b"")
    users = str(asked.users)
    command = [str(python), str(PROGRAM), str(folder), str(asked.seconds), "--headless"]
    command += ["--locustfile", str(file), "--host", url]
    command += ["--users", users, "--spawn-rate", users]
    command += ["--stop-timeout", str(_STOP_SECONDS), "--exit-code-on-error", "0"]
    command += ["--json-file", str(folder / "stats")]  # to which it adds `.json`
    command += ["--only-summary", "--loglevel", "WARNING"]
    own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED)}
    # Where a configuration of locust's lies is where the user's own file is started from.
    where = folder if asked.locustfile is None else Path.cwd()
    variables = {**own, "MLGATE_LOAD_BODY": str(sent), "PYTHONDONTWRITEBYTECODE": "1"}
    limit = asked.seconds + _STOP_SECONDS + _PATIENCE_SECONDS
    with _process(command, where, variables, folder / "log.txt") as process:
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            raise _CannotRun(f"locust did not end within {limit:g} s: {_last(folder)}") from None


@contextmanager
def _process(
    command: Sequence[str], where: Path, variables: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A child that does not outlive this, whatever ends it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=where,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_ENDING_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _measured(folder: Path, asked: Load, code: int) -> Measured:
    """Raises _CannotRun, and UsageError when the user's own file is why there is nothing."""
    try:
        return measured((folder / "stats.json").read_bytes())
    except FileNotFoundError:
        said = f"locust ended with code {code} before it measured anything: {_last(folder)}"
        if asked.locustfile is not None:
            raise UsageError(f"{asked.locustfile}: {said}") from None
        raise _CannotRun(said) from None
    except NoStats as error:
        raise _CannotRun(str(error)) from None


def _told(found: Measured, limits: Limits, code: int, folder: Path) -> int:
    """Say what was measured, and what is wrong with it."""
    say(f"requests             {found.requests:,}")
    say(f"failures             {found.failures:,} ({found.failure_ratio:.2%})")
    say(f"requests per second  {found.requests_per_second:.1f}")
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        value = getattr(found, name)
        say(f"{name.replace('_', ' '):<20} {'-' if value is None else f'{value:g}'}")
    for reason in reasons(_content(folder / "reasons.json")):
        complain(f"  {reason}")
    broken = limits.broken(found)
    if code:  # a locustfile may judge for itself
        broken.append(f"locust ended with code {code}: {_last(folder)}")
    for sentence in broken:
        complain(f"mlgate: {sentence}")
    return BROKEN if broken else OK


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _last(folder: Path) -> str:
    """The last thing that locust said."""
    lines = (folder / "log.txt").read_text("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
