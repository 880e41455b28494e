"""Stores the files of builds: the implementations of `BuildFiles`."""

from handlers.files_handler.folder import FolderFiles

__all__ = ["FolderFiles"]
