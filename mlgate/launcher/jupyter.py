"""Jupyter, as the run's environment has it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

JUPYTER = ("nbclient", "nbformat", "nbconvert", "ipykernel")


def jupyter(module: str) -> Any:
    """A module that the run's environment has, which need not be the one this is checked in."""
    return importlib.import_module(module)


def installed_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
