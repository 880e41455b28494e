"""The generators of random numbers of numpy, if it is imported: how they were seeded, and whether
numpy's own was drawn from.

Attributes that numpy does not document are read; the tests hold them to the versions in use.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Set
from typing import Any


def state_of_own() -> tuple[bytes, int] | None:
    """The state of the Mersenne Twister that functions of `numpy.random` draw from."""
    own = _own()
    return None if own is None else _state(own)


def state_as_seeded() -> tuple[bytes, int] | None:
    """The state that its seed gave it."""
    own = _own()
    if own is None:
        return None
    seeds = _seeds(own)
    return _state(type(own)(type(seeds)(seeds.entropy)))


def seeded_with(numbers: Set[int]) -> list[Any]:
    """The living generators that were seeded with one of these numbers."""
    numpy = sys.modules.get("numpy.random")
    if numpy is None:
        return []
    living = (each for each in gc.get_objects() if isinstance(each, numpy.BitGenerator))
    return [each for each in living if _entropy(each) in numbers]


def _own() -> Any:
    numpy: Any = sys.modules.get("numpy.random")
    return None if numpy is None else numpy.mtrand._rand._bit_generator  # noqa: SLF001 -- the way to it


def _entropy(generator: Any) -> Any:
    entropy = getattr(_seeds(generator), "entropy", None)
    return entropy if isinstance(entropy, int) else None


def _seeds(generator: Any) -> Any:
    """What a generator was seeded from; the attribute was private in older versions."""
    return getattr(generator, "seed_seq", None) or getattr(generator, "_seed_seq", None)


def _state(generator: Any) -> tuple[bytes, int]:
    state = generator.state["state"]
    return state["key"].tobytes(), state["pos"]
