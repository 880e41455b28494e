"""locust, as it is started: the same from a shell and in a run."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STATS, TOLD = "stats.json", "told.json"  # what locust leaves in its folder
STOP_SECONDS = 10  # for requests under way when the time is up
_PATIENCE_SECONDS = 60.0  # beyond all that
_PROGRAM, _EXAMPLE_USER, _BODY = "program.py", "example_user.py", "body.json"


@dataclass(frozen=True)
class Callers:
    """`users` of them, `spawn_rate` more each second, for so many seconds."""

    users: int
    spawn_rate: float
    seconds: float

    def __str__(self) -> str:
        count = "1 caller" if self.users == 1 else f"{self.users} callers"
        return f"{count} for {self.seconds:g} s"

    @property
    def limit(self) -> float:
        """Seconds within which locust has ended, unless it hangs."""
        return self.seconds + STOP_SECONDS + _PATIENCE_SECONDS

    def command(
        self, python: Path, folder: Path, url: str, body: bytes, locustfile: Path | None
    ) -> list[str]:
        """How locust is started, which leaves its files in `folder`.

        `python` is the interpreter that has it. Without a `locustfile` callers send `body`.
        """
        for name in (_PROGRAM, _EXAMPLE_USER):
            (folder / name).write_bytes(pkgutil.get_data("mlgate.load", name) or b"")
        (folder / _BODY).write_bytes(body)
        command = [str(python), str(folder / _PROGRAM), str(folder), str(self.seconds)]
        command += ["--headless", "--locustfile", str(locustfile or folder / _EXAMPLE_USER)]
        command += ["--host", url, "--users", str(self.users)]
        command += ["--spawn-rate", str(self.spawn_rate)]
        command += ["--stop-timeout", str(STOP_SECONDS), "--exit-code-on-error", "0"]
        command += ["--json-file", str(folder / STATS.removesuffix(".json"))]  # which it adds
        return [*command, "--only-summary", "--loglevel", "WARNING"]


def variables(passed: Mapping[str, str], folder: Path, key: str | None = None) -> dict[str, str]:
    """locust's variables: what is passed on, and what callers send; `key` opens a function app."""
    own = {"MLGATE_LOAD_BODY": str(folder / _BODY), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**passed, **own, **({"MLGATE_LOAD_KEY": key} if key else {})}
