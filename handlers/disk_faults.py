"""What a file system's errors mean to the queue, for handlers that keep files on a disk.

A full disk or a lost mount is `Temporary`: the build goes on while an operator repairs it. A
missing permission is `UnfitHost`. `NO_NAME` has the errors for a name that no file can have there;
handlers raise `Permanent` for it.
"""

from __future__ import annotations

import errno
from pathlib import Path

from mlgate.orchestration.errors import Temporary, UnfitHost

NO_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DELAY = 30.0  # seconds


def fault_of_disk(
    place: Path, verb: str, error: OSError, elsewhere: str | None
) -> UnfitHost | Temporary:
    """What `error` means for the file at `place`; `verb`: read or written.

    `elsewhere` names the setting that chooses another place, if there is one.
    """
    why = error.strerror or type(error).__name__
    another = f", or set {elsewhere} to another place" if elsewhere else ""
    if error.errno in _NO_RIGHT:
        return UnfitHost(
            f"{place} cannot be {verb}: {why}. Give this host's user permission{another}."
        )
    remedy = "Free some space" if error.errno in _FULL else "Check its disk"
    return Temporary(f"{place} cannot be {verb}: {why}. {remedy}{another}.", _DELAY)
