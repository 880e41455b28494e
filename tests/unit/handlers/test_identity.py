"""The host's identity, as far as its variables go."""

from __future__ import annotations

import pytest

from handlers.identity_handler import credential
from mlgate.orchestration.errors import UnfitHost


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AZURE_CLIENT_SECRET", "", "secret should be"),
        ("AZURE_TENANT_ID", "no such/tenant", "Invalid tenant ID"),
    ],
)
def test_variables_that_make_no_sense_are_told_without_their_values(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(each, "confidential")
    monkeypatch.setenv(name, value)
    credential.cache_clear()
    with pytest.raises(UnfitHost, match=f"cannot be used: {told}.*Check the variables") as error:
        credential()
    assert "confidential" not in str(error.value)
    assert not value or value not in str(error.value)
