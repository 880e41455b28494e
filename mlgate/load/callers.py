"""How locust is started, both by `mlgate load` and in a run."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STATS, TOLD = "stats.json", "reasons.json"  # what locust leaves in its folder
STOP_SECONDS = 10  # for requests in flight when the time is up
_PATIENCE_SECONDS = 60.0  # on top of that
_PROGRAM, _EXAMPLE_USER, _BODY = "program.py", "example_user.py", "body.json"


@dataclass(frozen=True)
class Callers:
    """`users` callers, started at `spawn_rate` per second, for `seconds`."""

    users: int
    spawn_rate: float
    seconds: float

    def __str__(self) -> str:
        count = "1 caller" if self.users == 1 else f"{self.users} callers"
        return f"{count} for {self.seconds:g} s"

    @property
    def limit(self) -> float:
        """Seconds after which locust must have ended, unless it hangs."""
        return self.seconds + STOP_SECONDS + _PATIENCE_SECONDS

    def command(
        self, python: Path, folder: Path, url: str, body: bytes, locustfile: Path | None
    ) -> list[str]:
        """The command that starts locust, which leaves its files in `folder`.

        `python` is the interpreter with locust. Without a `locustfile`, callers send `body`.
        """
        for name in (_PROGRAM, _EXAMPLE_USER):
            (folder / name).write_bytes(pkgutil.get_data("mlgate.load", name) or b"")
        (folder / _BODY).write_bytes(body)
        command = [str(python), str(folder / _PROGRAM), str(folder), str(self.seconds)]
        command += ["--headless", "--locustfile", str(locustfile or folder / _EXAMPLE_USER)]
        command += ["--host", url, "--users", str(self.users)]
        command += ["--spawn-rate", str(self.spawn_rate)]
        command += ["--stop-timeout", str(STOP_SECONDS), "--exit-code-on-error", "0"]
        command += ["--json-file", str(folder / STATS.removesuffix(".json"))]  # locust adds .json
        return [*command, "--only-summary", "--loglevel", "WARNING"]


def variables(passed: Mapping[str, str], folder: Path, key: str | None = None) -> dict[str, str]:
    """locust's variables: `passed`, and those that callers read; `key` is a function app's."""
    own = {"MLGATE_LOAD_BODY": str(folder / _BODY), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**passed, **own, **({"MLGATE_LOAD_KEY": key} if key else {})}
