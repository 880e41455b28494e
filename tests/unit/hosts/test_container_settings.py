"""The URLs of blob containers in the settings: what is taken, and what is told of the others."""

from __future__ import annotations

import pytest

from handlers.blobs.address import ContainerAddress
from mlgate.hosts.settings import Settings
from mlgate.hosts.usage import SettingsError

AZURE = "https://contoso.blob.core.windows.net"
SIGNED = "sv=2025-01-01&ss=b&sig=radio%2Factive"


@pytest.mark.parametrize(
    ("url", "container", "signed"),
    [
        (f"{AZURE}/state", f"{AZURE}/state", False),
        (f"{AZURE}/state/", f"{AZURE}/state", False),
        (f"{AZURE}/state?{SIGNED}", f"{AZURE}/state", True),
        ("https://storage.corp:8443/ml-gate-2", "https://storage.corp:8443/ml-gate-2", False),
        (f"http://127.0.0.1:10000/dev/state?{SIGNED}", "http://127.0.0.1:10000/dev/state", True),
        ("https://[::1]:10000/dev/state", "https://[::1]:10000/dev/state", False),
    ],
)
def test_the_url_of_a_container_is_taken(url: str, container: str, signed: bool) -> None:
    settings = Settings.read({"MLGATE_STATE": url, "MLGATE_BUILDS": url})
    address = ContainerAddress.parse(settings.state)

    assert (address.url, address.signature is not None) == (container, signed)
    assert address.secrets() == ContainerAddress(f"{container}-secrets", address.signature)
    assert "radio" not in repr(settings) + repr(address)


@pytest.mark.parametrize("name", ["MLGATE_STATE", "MLGATE_BUILDS"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://somewhere/state", "https://ACCOUNT.blob.core.windows.net/CONTAINER"),
        (f"{AZURE.replace('://', '://me:radioactive@')}/state", "is not the URL of a blob"),
        (AZURE, "does not end with one container's name"),
        (f"{AZURE}/state/folder", "does not end with one container's name"),
        (f"http://127.0.0.1:10000/state?{SIGNED}", "does not end with one container's name"),
        (f"{AZURE}/State", "name that Azure does not allow"),
        (f"{AZURE}/a--b", "name that Azure does not allow"),
        (f"{AZURE}/ab", "name that Azure does not allow"),
        (f"{AZURE}/state?x=1", "not a shared access signature"),
        (f"{AZURE}/state?sig=", "not a shared access signature"),
        (f"http://contoso.blob.core.windows.net/state?{SIGNED}", "loopback"),
        (f"http://localhost:10000/state?{SIGNED}", "loopback"),
        ("http://127.0.0.1:10000/dev/state", "http without a signature"),
    ],
)
def test_another_url_is_told_with_what_it_should_be(url: str, told: str, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({name: url})

    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert told in line
    assert "radio" not in line


def test_the_state_s_container_leaves_room_for_the_one_of_its_secrets() -> None:
    assert Settings.read({"MLGATE_STATE": f"{AZURE}/{'a' * 55}"})
    assert Settings.read({"MLGATE_BUILDS": f"{AZURE}/{'a' * 63}"})
    with pytest.raises(SettingsError, match="more than 55 characters"):
        Settings.read({"MLGATE_STATE": f"{AZURE}/{'a' * 56}"})
