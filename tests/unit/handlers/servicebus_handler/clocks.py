"""A broker and a host whose clocks differ; time passes for both when the test says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Clocks:
    """`off` is how many seconds the host's clock is ahead; `now` and `steady` are the host's."""

    off: float = 0.0
    passed: float = 0.0

    @property
    def broker(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def now(self) -> datetime:
        return self.broker + timedelta(seconds=self.off)

    def sleep(self, seconds: float) -> None:
        self.passed += seconds

    def steady(self) -> float:
        return 1234.5 + self.passed

    def ago(self, seconds: float) -> datetime:
        """The broker's time so long ago."""
        return self.broker - timedelta(seconds=seconds)
