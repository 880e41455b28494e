"""Where the files that a build leaves go; the implementations of `BuildFiles`."""

from handlers.files_handler.folder import FolderFiles

__all__ = ["FolderFiles"]
