"""Imports Jupyter from the run's environment."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

JUPYTER = ("nbclient", "nbformat", "nbconvert", "ipykernel")


def jupyter(module: str) -> Any:
    """A module of the run's environment, untyped, because this may be checked in another one."""
    return importlib.import_module(module)


def installed_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
