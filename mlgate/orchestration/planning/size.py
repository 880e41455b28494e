"""How much the runs of a build hold: a build is stored as a whole, and moved at each look."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from mlgate.orchestration.findings import Code, Findings
from mlgate.orchestration.runs import RunSpec

MOST_BYTES = 4_000_000


def check_size(specs: Sequence[RunSpec], where: str, findings: Findings) -> None:
    """Add a finding when the runs hold too much; an object that several hold counts once."""
    held: Counter[str] = Counter()
    counted: set[int] = set()
    for spec in specs:
        for each in fields(spec):
            value = getattr(spec, each.name)
            if isinstance(value, str) or id(value) not in counted:
                counted.add(id(value))
                held[each.name] += _bytes(value)
    if (total := held.total()) <= MOST_BYTES:
        return
    [(largest, share)] = held.most_common(1)
    findings.add(
        Code.PLAN_TOO_LARGE,
        where,
        f"The {len(specs)} runs hold {_megabytes(total)} in all, of which `{largest}` "
        f"{_megabytes(share)}; a build holds at most {_megabytes(MOST_BYTES)}.",
        "Put large values into files of the repository, values that all runs have in common "
        "into `defaults`, or send several messages.",
    )


def _bytes(value: Any) -> int:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
