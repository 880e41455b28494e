"""Where the versions of models and their logs are kept; the implementation of `ModelsPort`.

One algorithm (`store`), and the places that it can be carried out in: `folder`, and `container`,
which is imported where it is used because it loads Azure's SDK.
"""

from handlers.models_handler.answering import Answering
from handlers.models_handler.folder import Folder
from handlers.models_handler.store import ModelStore

__all__ = ["Answering", "Folder", "ModelStore"]
