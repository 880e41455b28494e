"""Which names a branch may have: one rule for the host's settings and for requests to a server."""

from __future__ import annotations

import re

_LONGEST = 1000  # bytes; servers take far less
# git-check-ref-format(1). Of what it refuses some means more than a name to git: a pattern, another
# revision, a refspec.
_REFUSED = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]"
    r"|\.\.|@\{|//"
    r"|(?:^|/)\."
    r"|\.lock(?:/|$)"
    r"|^[-/]|[/.]$"
)


def is_branch_name(name: str) -> bool:
    """Whether git allows a branch of this name, which is without `refs/heads/`."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:  # lone surrogates
        return False
    if not 0 < len(raw) <= _LONGEST or name in ("HEAD", "@"):
        return False
    return _REFUSED.search(name) is None
