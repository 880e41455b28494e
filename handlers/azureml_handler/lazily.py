"""Imports of packages that cost too much where nothing is submitted or read.

Both functions raise UnfitHost if the packages are not installed.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from mlgate.orchestration.errors import UnfitHost

if TYPE_CHECKING:
    from handlers.azureml_handler.submission import Submission


def submission() -> type[Submission]:
    """Imports `azure-ai-ml`."""
    try:
        from handlers.azureml_handler.submission import Submission
    except ImportError as error:
        raise _not_installed(error) from error
    return Submission


def storage() -> ModuleType:
    """Imports `azure-storage-blob`."""
    try:
        from handlers.azureml_handler import storage
    except ImportError as error:
        raise _not_installed(error) from error
    return storage


def _not_installed(error: ImportError) -> UnfitHost:
    return UnfitHost(
        "The backend azureml needs packages that are not installed. Install mlgate with the extra "
        f"`azureml`. ({error})"
    )
