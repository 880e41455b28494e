"""The libraries that formats need, as the model's environment has them."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from mlgate.scorer.errors import MissingLibrary

# Distributions whose modules are called otherwise, of those that models are made with.
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
    """The module, once it is known that those beside it are there as well.

    Raises MissingLibrary, which begins with `what` needs it.
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
    """What to install for a module that is missing, as far as its name tells."""
    top = module.partition(".")[0]
    return _CALLED.get(top, top)
