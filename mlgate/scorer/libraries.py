"""The libraries that formats need, from the model's environment."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from mlgate.scorer.errors import MissingLibrary

# Modules that models often use, and whose distribution has another name.
_CALLED = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "mlflow": "mlflow-skinny",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def library(module: str, what: str, *also: str) -> Any:
    """Import the module, after checking that it and `also` are installed.

    Raises MissingLibrary; its message begins with `what`, the thing that needs the module.
    """
    for top in (module.partition(".")[0], *also):
        if not has(top):
            raise MissingLibrary(what, distribution_of(top))
    return importlib.import_module(module)


def has(module: str) -> bool:
    """Whether the environment has the module, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def distribution_of(module: str) -> str:
    """The distribution to install for a missing module, judging by its name."""
    top = module.partition(".")[0]
    return _CALLED.get(top, top)
