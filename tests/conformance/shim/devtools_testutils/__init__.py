"""In place of Azure's internal package of that name: what the tests of queues use of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from azure.core.credentials import AzureNamedKeyCredential

from tests.conformance import KEY, KEY_NAME

Test = TypeVar("Test", bound=Callable[..., object])


class AzureRecordedTestCase:
    """Nothing is recorded: every request reaches the emulator."""

    @staticmethod
    def await_prepared_test(test: Test) -> Test:
        return test


AzureMgmtRecordedTestCase = AzureRecordedTestCase


def get_credential(*, is_async: bool = False) -> AzureNamedKeyCredential:
    """Both clients, the one that waits and the other, sign their tokens with it."""
    return AzureNamedKeyCredential(KEY_NAME, KEY)
