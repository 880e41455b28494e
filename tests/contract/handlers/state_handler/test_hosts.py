"""Containers as hosts know them: by their settings alone."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from mlgate.hosts.history import cancel, show_build, show_builds
from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import check_containers, make_files, make_state
from mlgate.orchestration.errors import UnfitHost
from tests.contract.handlers.state_handler.conftest import Storage
from tests.unit.orchestration.engine.builders import build


@pytest.fixture
def settings(storage: Storage) -> Settings:
    return Settings.read(
        {
            "MLGATE_STATE": storage.relay.container(storage.name),
            "MLGATE_BUILDS": storage.relay.container(f"{storage.name}-files"),
        }
    )


def test_the_history_is_read_from_the_container(
    settings: Settings, capsys: pytest.CaptureFixture[str], storage: Storage
) -> None:
    make_state(settings).create(build(), SecretStr("radioactive"))
    storage.relay.counted()
    show_builds(settings)
    show_build(settings, build().build_id)
    cancel(settings, build().key)

    out = capsys.readouterr().out
    assert f"files: {storage.address.url}-files/{build().key}" in out
    assert "canceling" in out
    assert "sig=" not in out
    asked = storage.relay.counted()
    assert [call for call in asked if call.endswith("secrets")] == []


def test_build_files_go_to_the_container(settings: Settings, storage: Storage) -> None:
    make_files(settings).write("b", "result.json", b"{}")
    assert make_files(settings).read("b", "result.json") == b"{}"
    assert "PUT b" in storage.relay.counted()


def test_a_worker_finds_at_its_start_what_it_lacks(settings: Settings, storage: Storage) -> None:
    check_containers(settings)
    asked = storage.relay.counted()
    assert (asked["PUT check"], asked["PUT secrets"]) == (4, 2), "each container was made"
    storage.relay.fail("PUT secrets", (403, "AuthorizationPermissionMismatch"))
    with pytest.raises(UnfitHost, match=f"{storage.name}-secrets"):
        check_containers(settings)
