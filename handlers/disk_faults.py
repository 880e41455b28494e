"""What the errors of a file system mean to the queue, for the handlers that keep files on one.

An operator can free a full disk and mend a mount, so a build goes on meanwhile. A right that is
missing is this host's own fault. A name that no file can have there will never be one.
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
            f"{place} cannot be {verb}: {why}. Give the user of this host the right to{another}."
        )
    remedy = "Free some space" if error.errno in _FULL else "See that its disk works"
    return Temporary(f"{place} cannot be {verb}: {why}. {remedy}{another}.", _DELAY)
