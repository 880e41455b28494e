"""Stores the versions of models and their logs: the implementation of `ModelsPort`.

One algorithm (`store`) works in two places: `folder`, and `container`, which is imported only where
it is used because it loads Azure's SDK.
"""

from handlers.models_handler.answering import Answering
from handlers.models_handler.folder import Folder
from handlers.models_handler.store import ModelStore

__all__ = ["Answering", "Folder", "ModelStore"]
