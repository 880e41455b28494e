"""`mlgate load`: locust on a served model, and limits that what it measured has to hold."""

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

from mlgate.hosts.terminal import complain, say
from mlgate.hosts.usage import UsageError
from mlgate.load.callers import STATS, TOLD, Callers, variables
from mlgate.load.pins import PINS
from mlgate.load.stats import Limits, Measured, NoStats, Told, faults, measured, shown, told

OK, BROKEN, COULD_NOT_RUN = 0, 1, 3

_ANSWER_SECONDS = 10.0  # for GET /model
_ENDING_SECONDS = 5.0
_GUARD = 'read _; kill -KILL "-$0"; rm -rf "$1"'
_HERE = ("127.0.0.1", "::1", "localhost")
# Beside these, locust has what this command was started with: a locustfile may want any of it.
_NOT_PASSED = ("MLGATE_", "LOCUST_", "serviceBus", "PYTHON", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Load:
    """`users` callers, all there within a second, for so many seconds.

    `key` is the name of a variable that holds a function app's key.
    """

    url: str
    users: int
    seconds: int
    locustfile: str | None = None
    key: str | None = None


class _CannotRun(Exception):
    """The sentence for people; nothing was measured."""


def load(home: Path, asked: Load, limits: Limits) -> int:
    """Make the load and say what came of it; the exit code.

    Raises UsageError, and OrchestrationError when locust's environment cannot be made.
    """
    from handlers.local_handler.tools import tool

    _heed_signals()
    url = _checked(asked.url)
    if asked.locustfile is not None and not Path(asked.locustfile).is_file():
        raise UsageError(f"there is no file {asked.locustfile}")
    key = _key(asked, url)
    try:
        body = None if asked.locustfile is not None else _example(url, key)
        if asked.locustfile is None and body is None:
            why = f"the model at {url} has no example. Say with --locustfile what callers do."
            complain(f"mlgate: No request was made: {why}")
            return BROKEN
        with tempfile.TemporaryDirectory(prefix="mlgate-load-") as folder:
            made = tool(home, PINS, Path(folder))
            callers = Callers(asked.users, asked.users, asked.seconds)
            complain(f"asking {url}: {callers}")
            code = _locust(made.python, url, asked, callers, body, key, Path(folder))
            found, reported = _measured(Path(folder), asked, code)
            return _judged(found, reported, limits, code, _last(Path(folder)), key)
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


def _key(asked: Load, url: str) -> str | None:
    """What the variable that is named holds. Raises UsageError, which never shows it."""
    if asked.key is None:
        return None
    if asked.locustfile is not None:
        raise UsageError("a locustfile reads the key from its variable itself: leave out --key")
    key = os.environ.get(asked.key, "")
    if not key or not (key.isascii() and key.isprintable()) or key != key.strip():
        raise UsageError(f"the variable {asked.key} holds no key of a function app: set it")
    if url.startswith("http:") and urlsplit(url).hostname not in _HERE:
        raise UsageError("a key is sent over https alone, but for this machine")
    return key


def _example(url: str, key: str | None) -> bytes | None:
    """The body of a request, from GET /model; None where the model has none."""
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


def _locust(
    python: Path,
    url: str,
    asked: Load,
    callers: Callers,
    body: bytes | None,
    key: str | None,
    folder: Path,
) -> int:
    """Its exit code; its files are in the folder. Raises _CannotRun when it does not end."""
    file = None if asked.locustfile is None else Path(asked.locustfile).absolute()
    command = callers.command(python, folder, url, body or b"", file)
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_PASSED) and (key is None or name != asked.key)
    }
    # Where a configuration of locust's lies is where the user's own file is started from.
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
    """A child that leads a session of its own, and ends with all of it when this does.

    Where this is killed, a guard kills the session and removes the folder: its input ends then.
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
    """To the whole group, which may hold more than the child, or nothing any more."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _heed_signals() -> None:
    """Ends as with Ctrl-C; what this was started to ignore, by `nohup` say, it goes on ignoring."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _measured(folder: Path, asked: Load, code: int) -> tuple[Measured, Told]:
    """Raises _CannotRun, and UsageError when the user's own file is why there is nothing."""
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
    """Say what was measured, and what is wrong with it; a server may have repeated the key."""
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
    return BROKEN if wrong else OK


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _last(folder: Path) -> str:
    """The last thing that locust said."""
    lines = (folder / "log.txt").read_text("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
