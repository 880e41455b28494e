"""What the environment says to `mlgate serve`, and what memory it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgate.hosts.serving import memory
from mlgate.hosts.serving.settings import ServingSettings
from mlgate.hosts.usage import SettingsError, UsageError
from mlgate.orchestration.models import FORMATS


def test_defaults() -> None:
    assert ServingSettings.read(None, {}) == ServingSettings(None, None, 10, 30, FORMATS, 10 << 20)


def test_what_is_set() -> None:
    found = ServingSettings.read(
        None,
        {
            "MLGATE_MODEL": "churn@0123456789ab",
            "MLGATE_MODEL_REFRESH": "0.5",
            "MLGATE_SWAP_WAIT": "1",
            "MLGATE_MODEL_FORMATS": "onnx, skops",
            "MLGATE_MAX_REQUEST": "1000",
        },
    )
    formats = frozenset({"onnx", "skops"})
    assert found == ServingSettings("churn", "0123456789ab", 0.5, 1, formats, 1000)


def test_the_command_counts_more() -> None:
    found = ServingSettings.read("iris", {"MLGATE_MODEL": "churn@0123456789ab"})
    assert (found.model, found.pinned) == ("iris", None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLGATE_MODEL", "churn@"),
        ("MLGATE_MODEL", "churn@123"),
        ("MLGATE_MODEL", "../churn"),
        ("MLGATE_MODEL_FORMATS", "onnx,exe"),
        ("MLGATE_MODEL_REFRESH", "0"),
        ("MLGATE_MODEL_REFRESH", "nan"),
        ("MLGATE_SWAP_WAIT", "-1"),
        ("MLGATE_MAX_REQUEST", "ten"),
    ],
)
def test_what_is_wrong_names_its_setting(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        ServingSettings.read(None, {name: value})


def test_the_remedy_has_the_default_as_it_can_be_written() -> None:
    with pytest.raises(SettingsError, match=r"without it, it is 10485760"):
        ServingSettings.read(None, {"MLGATE_MAX_REQUEST": "10 MiB"})


@pytest.mark.parametrize("environ", [{}, {"MLGATE_MODEL": "churn"}])
def test_a_wrong_name_on_the_command_line_is_not_a_wrong_setting(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"^MODEL: 'churn@' is not MODEL or MODEL@ID"):
        ServingSettings.read("churn@", environ)


def test_a_wrong_setting_is_one_beside_a_name_on_the_command_line() -> None:
    with pytest.raises(SettingsError, match=r"^MLGATE_SWAP_WAIT: '-1' is not a number above 0;"):
        ServingSettings.read("churn", {"MLGATE_SWAP_WAIT": "-1"})


def test_a_container_has_what_its_limit_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is but cached counts as free, and no limit leaves what the machine has."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    machine = memory.available()
    assert machine is not None
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (memory.available() or 0) > 500
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.available() == 500
