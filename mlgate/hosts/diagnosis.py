"""`mlgate doctor`: makes this host's checks and shows each as it ends."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

from handlers.servicebus_handler import ServiceBusQueue
from mlgate.hosts.assembly import make_doctor, make_queue
from mlgate.hosts.exit_codes import FAILED, OK
from mlgate.hosts.locally import address_of
from mlgate.hosts.settings import Settings
from mlgate.hosts.terminal import say, say_json
from mlgate.hosts.usage import SettingsError
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.checks import Check, CheckStatus, conclusion
from mlgate.orchestration.ports import Asked
from mlgate.orchestration.verdict.result import checks as as_json_values

_BESIDE = 24  # columns
_MARKS = {CheckStatus.OK: "✓", CheckStatus.WRONG: "✗", CheckStatus.NOT_APPLICABLE: "-"}


def diagnose(repository: str | None, *, as_json: bool) -> int:
    """Make the checks and show them; returns the exit code. Raises `UsageError`."""
    request = None if repository is None else RepositoryRequest(address_of(repository))
    made: list[Check] = []
    for check in _checks(request):
        made.append(check)
        if not as_json:
            _show(check)
    if as_json:
        say_json({"checks": as_json_values(made)})
    else:
        say()
        say(conclusion(made))
    return FAILED if any(check.wrong for check in made) else OK


def _checks(request: RepositoryRequest | None) -> Iterator[Check]:
    try:
        settings = Settings.read()
    except SettingsError as error:
        for wrong in error.settings:
            yield Check("settings", CheckStatus.WRONG, wrong.finding, wrong.advice)
        return
    yield Check("settings", CheckStatus.OK, "The settings are valid.")
    with ExitStack() as stack:

        @cache
        def queue() -> ServiceBusQueue:
            made = make_queue(settings.service_bus)
            stack.callback(made.close)
            return made

        asked = Asked(settings.policy.backend, settings.policy.workspace, request)
        yield from make_doctor(settings, queue).examine(asked)


def _show(check: Check) -> None:
    """Print the check's name with its result and remedy beside it."""
    columns = min(max(shutil.get_terminal_size((100, 0)).columns, 60), 120)
    width = columns - _BESIDE
    lines = [*textwrap.wrap(check.says, width), *textwrap.wrap(check.remedy, width)]
    head = f"{_MARKS[check.status]} {check.name}"
    for line in lines:
        say(f"{head:<{_BESIDE}}{line}")
        head = ""
