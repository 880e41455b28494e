"""Stores the files of builds: the implementations of `BuildFiles`."""

from handlers.files_handler.folder import FolderFiles
from handlers.files_handler.separate import SeparateFiles

__all__ = ["FolderFiles", "SeparateFiles"]
