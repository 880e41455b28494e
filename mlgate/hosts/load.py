"""`mlgate load`: a load test of a served model with locust, checked against limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from mlgate.hosts.exit_codes import COULD_NOT_RUN, FAILED, OK
from mlgate.hosts.terminal import complain, say
from mlgate.hosts.usage import UsageError
from mlgate.load.callers import STATS, TOLD, Callers, variables
from mlgate.load.pins import PINS
from mlgate.load.stats import Limits, Measured, NoStats, Told, faults, measured, shown, told

_ANSWER_SECONDS = 10.0  # for GET /model
_ENDING_SECONDS = 5.0
_GUARD = 'read _; kill -KILL "-$0"; rm -rf "$1"'
_HERE = ("127.0.0.1", "::1", "localhost")
# Locust gets all other variables of this command, since a locustfile may need any of them.
_NOT_PASSED = ("MLGATE_", "LOCUST_", "serviceBus", "PYTHON", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Load:
    """A load of `users` callers, all started within a second, for `seconds`.

    `key` is the name of a variable with a function app's key.
    """

    url: str
    users: int
    seconds: int
    locustfile: str | None = None
    key: str | None = None


class _CannotRun(Exception):
    """Nothing was measured; the text is a sentence for people."""


def load(home: Path, asked: Load, limits: Limits) -> int:
    """Run the load test and show its results; returns the exit code.

    Raises UsageError, and OrchestrationError if locust's environment cannot be created.
    """
    from handlers.local_handler.tools import tool

    _end_on_signals()
    url = _checked(asked.url)
    if asked.locustfile is not None and not Path(asked.locustfile).is_file():
        raise UsageError(f"the locustfile {asked.locustfile} does not exist")
    key = _key(asked, url)
    try:
        body = None if asked.locustfile is not None else _example(url, key)
        if asked.locustfile is None and body is None:
            why = f"the model at {url} has no example. Write a locustfile and use --locustfile."
            complain(f"mlgate: No request was made: {why}")
            return FAILED
        with tempfile.TemporaryDirectory(prefix="mlgate-load-") as folder:
            made = tool(home, PINS, Path(folder))
            callers = Callers(asked.users, asked.users, asked.seconds)
            complain(f"sending requests to {url}: {callers}")
            code = _locust(made.python, url, asked, callers, body, key, Path(folder))
            found, reported = _measured(Path(folder), asked, code)
            return _judged(found, reported, limits, code, _last(Path(folder)), key)
    except _CannotRun as error:
        complain(f"mlgate: {error}")
        return COULD_NOT_RUN


def _checked(url: str) -> str:
    """The URL without its last `/`. Raises UsageError."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment:
        raise UsageError("the URL is not valid: write it as https://host or http://host")
    if parts.username or parts.password:
        raise UsageError("the URL contains a user or password, which would be shown: remove it")
    return url.rstrip("/")


def _key(asked: Load, url: str) -> str | None:
    """The key from its variable. Raises UsageError, which never shows the key."""
    if asked.key is None:
        return None
    if asked.locustfile is not None:
        raise UsageError("--key cannot be used with --locustfile: read the variable in that file")
    key = os.environ.get(asked.key, "")
    if not key or not (key.isascii() and key.isprintable()) or key != key.strip():
        raise UsageError(f"the variable {asked.key} does not contain a function app's key: set it")
    if url.startswith("http:") and urlsplit(url).hostname not in _HERE:
        raise UsageError("a key is sent only over https or to this machine: use an https URL")
    return key


def _example(url: str, key: str | None) -> bytes | None:
    """The body of a request, from GET /model; None if the model has no example."""
    where = f"{url}/model"
    headers = {"x-functions-key": key} if key else {}
    try:
        answer = requests.get(
            where, headers=headers, timeout=_ANSWER_SECONDS, allow_redirects=False
        )
    except requests.RequestException as error:
        raise _CannotRun(f"{where} does not answer: {type(error).__name__}.") from None
    if answer.status_code != requests.codes.ok:
        raise _CannotRun(
            f"{where} answered {answer.status_code}, so there is no example to send. Check that a "
            "model is served there, or use --locustfile."
        )
    try:
        model = answer.json()
    except ValueError:
        model = None
    if not isinstance(model, dict):
        raise _CannotRun(f"{where} did not answer with a JSON object, so it is not `mlgate serve`.")
    example = model.get("example")
    return None if example is None else json.dumps(example).encode()


def _locust(
    python: Path,
    url: str,
    asked: Load,
    callers: Callers,
    body: bytes | None,
    key: str | None,
    folder: Path,
) -> int:
    """Run locust, which writes to the folder; returns its exit code.

    Raises _CannotRun if it does not end.
    """
    file = None if asked.locustfile is None else Path(asked.locustfile).absolute()
    command = callers.command(python, folder, url, body or b"", file)
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_PASSED) and (key is None or name != asked.key)
    }
    # The user's own file runs in the current folder, where locust finds their configuration.
    where = folder if file is None else Path.cwd()
    with _process(command, where, variables(own, folder, key), folder) as process:
        try:
            return process.wait(callers.limit)
        except subprocess.TimeoutExpired:
            raise _CannotRun(
                f"locust did not end within {callers.limit:g} s: {_last(folder)}"
            ) from None


@contextmanager
def _process(
    command: Sequence[str], where: Path, variables: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process in a session of its own, which ends with the block.

    If this process is killed, a guard notices that its input ends, kills the session and removes
    the folder.
    """
    with (folder / "log.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=where,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(process.pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                _signal(process, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_ENDING_SECONDS)
            _signal(process, signal.SIGKILL)
            guard.kill()
            guard.communicate()
            process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the whole group, which may have more members than the child, or none any more."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _end_on_signals() -> None:
    """Treat SIGTERM and SIGHUP as Ctrl-C, unless this process was started to ignore them."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _measured(folder: Path, asked: Load, code: int) -> tuple[Measured, Told]:
    """What locust measured and reported.

    If there is nothing, raises UsageError for the user's own locustfile, else _CannotRun.
    """
    try:
        content = (folder / STATS).read_bytes()
        why = told(_content(folder / TOLD))
        return measured(content, why.seconds), why
    except FileNotFoundError:
        said = f"locust ended with code {code} before it measured anything: {_last(folder)}"
        if asked.locustfile is not None:
            raise UsageError(f"{asked.locustfile}: {said}") from None
        raise _CannotRun(said) from None
    except NoStats as error:
        raise _CannotRun(f"locust ended with code {code}, and {error}") from None


def _judged(
    found: Measured, why: Told, limits: Limits, code: int, last: str, key: str | None
) -> int:
    """Show what was measured and which limits it exceeds; returns the exit code.

    A server may repeat the key in its answers, so it is masked.
    """
    say(f"requests             {found.requests:,}")
    say(f"failures             {found.failures:,} ({found.failure_ratio:.2%})")
    say(f"requests per second  {found.requests_per_second:.1f}")
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        value = getattr(found, name)
        say(f"{name.replace('_', ' '):<20} {'-' if value is None else f'{value:g}'}")
    lines = [f"  {reason}" for reason in shown(why)]
    wrong = faults(found, why, code, last)
    if found.requests:
        wrong += limits.broken(found)
    lines += [f"mlgate: {sentence}" for sentence in wrong]
    for line in lines:
        complain(line.replace(key, "***") if key else line)
    return FAILED if wrong else OK


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _last(folder: Path) -> str:
    """The last line that locust logged."""
    lines = (folder / "log.txt").read_text("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it logged nothing")
