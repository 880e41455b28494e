"""What pytest is told for this run: clients without TLS, tests out of scope, a line per file."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient
from azure.servicebus.aio import ServiceBusClient as AsyncServiceBusClient

from tests.conformance.out_of_scope import OUT_OF_SCOPE


def _without_tls(client: type[Any]) -> None:
    """Let clients that are made from a bare host name talk to the emulator."""
    make = client.__init__

    @functools.wraps(make)
    def init(self: Any, *arguments: Any, **keywords: Any) -> None:
        make(self, *arguments, **{"use_tls": False, **keywords})

    client.__init__ = init


_without_tls(ServiceBusClient)
_without_tls(AsyncServiceBusClient)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is out of scope; raises UsageError for a name that no test has."""
    names = {
        item: f"{item.path.name}::{getattr(item, 'originalname', item.name)}" for item in items
    }
    if stale := OUT_OF_SCOPE.keys() - set(names.values()):
        raise pytest.UsageError(f"out_of_scope.py names tests that are not there: {sorted(stale)}")
    for item, name in names.items():
        if reason := OUT_OF_SCOPE.get(name):
            item.add_marker(pytest.mark.skip(reason=f"out of scope: {reason}"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How each file did."""
    files: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            name = Path(report.nodeid.split("::")[0]).name
            files.setdefault(name, Counter())[outcome] += 1
    for name, counts in sorted(files.items()):
        told = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        terminalreporter.write_line(f"{name}: {told}")
