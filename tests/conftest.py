"""What holds for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from mlgate.emulators.azure_ml import Azurite, StorageUnavailable

# A shell that starts the suite in the background has it, and so all that it starts, ignore an
# interrupt; the programs under test are interrupted as at a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs under test keep what they print in a buffer, as they do for most users.
os.environ.pop("PYTHONUNBUFFERED", None)

# No test fails because the machine is busy.
settings.register_profile(
    "any machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One storage emulator for all stand-ins of a test process; each has containers of its own."""
    with ExitStack() as stack:
        try:
            storage = stack.enter_context(Azurite())
        except StorageUnavailable as missing:
            if "CI" in os.environ:
                raise
            pytest.skip(str(missing))
        yield storage
