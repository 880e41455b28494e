"""The calls of the operating system that a store in a folder uses."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# Errors of file systems without hard links: SMB, and some on top of object storage.
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
        """A descriptor to write to; raises FileExistsError when the path is taken."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, descriptor: int, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]

    def close(self, descriptor: int) -> None:
        """Flush the content to the disk, then close; an error of either is raised."""
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def open(self, path: Path) -> int | None:
        """A descriptor to read from; None if it is not a file. Raises FileNotFoundError."""
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
        """Raises FileExistsError when `to` is taken."""
        os.link(path, to, follow_symlinks=False)

    def rename(self, path: Path, to: Path) -> None:
        """Replaces what is there."""
        os.rename(path, to)  # noqa: PTH104 -- the system's call, as in the others

    def unlink(self, path: Path) -> None:
        os.unlink(path)  # noqa: PTH108 -- likewise

    def sync(self, folder: Path) -> None:
        """Flush the folder's names to the disk, where the system supports that."""
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
