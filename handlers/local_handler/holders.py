"""Finds what keeps certain objects, and puts others in their place."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Sequence
from typing import Any

_UNKNOWN = object()


def restore(
    fakes: list[Any], originals: Sequence[Any], staying: type
) -> tuple[list[tuple[Any, Any, Any]], object | None]:
    """Give each original to whatever keeps the fake that replaced it.

    Those of the type `staying` stay: what keeps them is returned, with the name and what is kept
    (see `put`). Then what else is still kept, in a way that is not known.
    """
    real_of = {id(fake): real for fake, real in zip(fakes, originals, strict=True)}
    number = {id(fake): at for at, fake in enumerate(fakes)}
    stay: dict[tuple[int, Any], tuple[Any, Any, int]] = {}
    for owner, name, fake in _kept(fakes):
        if isinstance(fake, staying) and name is not _UNKNOWN:
            stay[id(owner), name] = (owner, name, number[id(fake)])
        elif name is not _UNKNOWN and real_of[id(fake)] is not None:
            real = real_of[id(fake)]
            static = isinstance(owner, dict) and isinstance(owner[name], staticmethod)
            put(owner, name, staticmethod(real) if static else real)
    sys._clear_type_cache()  # noqa: SLF001 -- some of them may be of classes
    for collected in (False, True):
        left = [each for each in _kept(fakes) if (id(each[0]), each[1]) not in stay]
        if not left:
            return [(owner, name, fakes[at]) for owner, name, at in stay.values()], None
        if not collected:
            gc.collect()
    return [], f"{left[0][2]!r} in a {type(left[0][0]).__name__}"


def put(owner: Any, name: Any, value: Any) -> None:
    """Set what an owner keeps under a name: an entry, a function's default, or an attribute."""
    if isinstance(owner, (dict, list)):
        owner[name] = value
    elif isinstance(owner, types.FunctionType) and isinstance(name, int):
        defaults = list(owner.__defaults__ or ())
        defaults[name] = value
        owner.__defaults__ = tuple(defaults)
    else:
        setattr(owner, name, value)


def _kept(fakes: list[Any]) -> list[tuple[Any, Any, Any]]:
    """What keeps any of them, under which name, and which; `_UNKNOWN` if it is none."""
    ids = {id(fake): fake for fake in fakes}
    found: list[tuple[Any, Any, Any]] = []
    holders = gc.get_referrers(*fakes)
    for holder in holders:
        if holder is fakes or holder is ids or isinstance(holder, types.FrameType):
            continue
        if isinstance(holder, tuple) and list(map(id, holder)) == list(ids):
            continue  # the arguments of `get_referrers`, which Python 3.13 finds, too
        owners, items = [holder], []
        if isinstance(holder, dict):
            items = list(holder.items())
        elif isinstance(holder, list):
            items = list(enumerate(holder))
        elif isinstance(holder, staticmethod):
            for each in gc.get_referrers(holder):
                if isinstance(each, dict):
                    kept = [name for name, value in each.items() if value is holder]
                    found += [(each, name, ids[id(holder.__func__)]) for name in kept]
            continue
        elif isinstance(holder, tuple):
            owners = [
                each
                for each in gc.get_referrers(holder)
                if isinstance(each, types.FunctionType) and each.__defaults__ is holder
            ]
            items = list(enumerate(holder))
        elif hasattr(holder, "__dict__"):
            owners, items = [vars(holder)], list(vars(holder).items())
        kept = [(name, ids[id(value)]) for name, value in items if id(value) in ids]
        found += [(owner, name, fake) for owner in owners for name, fake in kept]
        if not kept or not owners:
            found.append((holder, _UNKNOWN, fakes[0]))
    return found
