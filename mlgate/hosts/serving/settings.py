"""The settings of a process that serves a model."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlgate.hosts.usage import SettingsError, UsageError, WrongSetting
from mlgate.orchestration.models import FORMATS, is_id, is_name


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """`refresh` and `swap_wait` are in seconds, `most` is in bytes; `pinned` is a version's id."""

    model: str | None
    pinned: str | None
    refresh: float
    swap_wait: float
    formats: frozenset[str]
    most: int

    @classmethod
    def read(
        cls, named: str | None = None, environ: Mapping[str, str] | None = None
    ) -> ServingSettings:
        """Read the settings; `named`, a command's `MODEL[@ID]`, overrides `MLGATE_MODEL`.

        Raises `UsageError` for `named`, `SettingsError` for a setting.
        """
        found = os.environ if environ is None else environ
        name = named or found.get("MLGATE_MODEL", "").strip()
        model, at, pinned = name.partition("@")
        if name and (not is_name(model) or (at and not is_id(pinned))):
            what = (
                f"{name[:80]!a} is not MODEL or MODEL@ID, the name of a model and the 12 "
                "hexadecimal digits of a version"
            )
            if named:
                raise UsageError(f"MODEL: {what}")
            remedy = "take it from what `mlgate models` prints"
            raise SettingsError(WrongSetting("MLGATE_MODEL", what, remedy))
        formats = frozenset(
            each.strip()
            for each in found.get("MLGATE_MODEL_FORMATS", "").split(",")
            if each.strip()
        )
        if unknown := formats - FORMATS:
            what = f"{', '.join(sorted(unknown))} is unknown"
            remedy = f"choose from {', '.join(sorted(FORMATS))}"
            raise SettingsError(WrongSetting("MLGATE_MODEL_FORMATS", what, remedy))
        return cls(
            model=model or None,
            pinned=pinned or None,
            refresh=_number(found, "MLGATE_MODEL_REFRESH", 10),
            swap_wait=_number(found, "MLGATE_SWAP_WAIT", 30),
            formats=formats or FORMATS,
            most=math.ceil(_number(found, "MLGATE_MAX_REQUEST", 10 << 20)),
        )


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip()
    try:
        value = float(text) if text else float(default)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e12:
        remedy = f"write such a number; without it, it is {default}"
        raise SettingsError(WrongSetting(name, f"{text[:80]!a} is not a number above 0", remedy))
    return value
