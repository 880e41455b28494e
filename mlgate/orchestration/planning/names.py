"""Names for runs that were given none: valid, unique, and the same whatever their order.

Two names are the same when they differ in `-` and `_` only, because `MLGATE_INPUT_<NAME>` cannot
distinguish them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

MAX_LENGTH = 63


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A run to be named after its file, and after the name of the glob that found it, if any."""

    path: str
    prefix: str = ""

    def candidates(self) -> tuple[str, str, str]:
        """From the shortest to one that no other file can have."""
        short = _slug(PurePosixPath(self.path).stem)
        long = _slug(self.path)
        start = f"{self.prefix}-" if self.prefix else ""
        digest = _digest(self.path)
        return (
            _fitted(start + (short or long or digest)),
            _fitted(start + (long or digest)),
            f"{_fitted(start + long, MAX_LENGTH - 9)}-{digest}".lstrip("-_"),
        )


def check_name(model: str) -> str:
    """The name of the run that tries the model that a build offers.

    Fitted as other names are, so that models with long names have different ones.
    """
    return _fitted(f"check-{model}")


def same(name: str) -> str:
    """Equal for two names that may not be used together."""
    return name.replace("_", "-")


def unique_names(unnamed: Sequence[Unnamed], taken: Iterable[str]) -> list[str]:
    """A name for each, in order; none is `taken`, and two are the same for the same file only.

    All that collide move on to their next candidate together, so the order does not matter.
    """
    reserved = {same(name) for name in taken}
    candidates = [each.candidates() for each in unnamed]
    level = [0] * len(unnamed)
    while True:
        names = [choice[at] for choice, at in zip(candidates, level, strict=True)]
        uses = Counter(same(name) for name in names)
        colliding = [
            index
            for index, name in enumerate(names)
            if level[index] < 2 and (uses[same(name)] > 1 or same(name) in reserved)
        ]
        if not colliding:
            return names
        for index in colliding:
            level[index] += 1


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", ascii_text).strip("-_")


def _fitted(name: str, limit: int = MAX_LENGTH) -> str:
    """The name, or its beginning and a hash of it."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - 9].rstrip('-_')}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
