"""The calls of the operating system that a store in a folder stands on."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# What says that a file system has no links: SMB, and some that are made of object storage.
NO_LINKS = (
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
    errno.EINVAL,
)
_NO_FILE = (errno.ELOOP, errno.ENXIO)  # a symbolic link, a socket
_PART = 1 << 20  # bytes


class Disk:
    """Files by their paths; a symbolic link is never followed. Raises OSError."""

    def create(self, path: Path) -> int:
        """A descriptor to write to; FileExistsError when there is something."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, descriptor: int, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]

    def close(self, descriptor: int) -> None:
        """Once its content is on the disk: what either says of it counts."""
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def open(self, path: Path) -> int | None:
        """A descriptor to read from; None for what is no file. FileNotFoundError for nothing."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return descriptor

    def read(self, descriptor: int) -> bytes:
        """The next part; b"" at the end."""
        return os.read(descriptor, _PART)

    def link(self, path: Path, to: Path) -> None:
        """FileExistsError when there is something."""
        os.link(path, to, follow_symlinks=False)

    def rename(self, path: Path, to: Path) -> None:
        """Over what is there."""
        os.rename(path, to)  # noqa: PTH104 -- as its name says

    def unlink(self, path: Path) -> None:
        os.unlink(path)  # noqa: PTH108 -- likewise

    def sync(self, folder: Path) -> None:
        """Have its names on the disk, where that can be asked for."""
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.fsync(descriptor)
        except OSError:
            pass
        finally:
            os.close(descriptor)
