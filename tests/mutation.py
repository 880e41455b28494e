"""Change the deciding code in small ways, one at a time, and list the changes that no test notices.

`[tool.mutmut]` in `pyproject.toml` says which modules and which tests. Of the thousands of changes
a few of each module are tried, the same ones every time for the same seed. Only what is inside
functions is changed: not the limits and tables at the top of a module.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import get_mutant_name

_MUTMUT = Path(sys.executable).with_name("mutmut")
_SURVIVED = (0, 33, None)  # mutmut's codes: the tests passed; no test executes it; it was not tried
_DEPTH = 3  # of a room: mlgate/orchestration/<room>


def main() -> int:
    """1 if a change survived."""
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    parser.add_argument("--each", type=int, default=9, help="changes of each module; default 9")
    parser.add_argument("--seed", type=int, default=1, help="another one draws others; default 1")
    parser.add_argument("names", nargs="*", help="only these changes, by name")
    options = parser.parse_args()
    names = options.names or [
        name for path in walk_mutatable_files() for name in _drawn(path, options.each, options.seed)
    ]
    subprocess.run([_MUTMUT, "run", "--max-children", "1", *names], check=True)
    survivors = _reported(names)
    for name in survivors:
        subprocess.run([_MUTMUT, "show", name], check=True)
    return int(bool(survivors))


def _drawn(path: Path, most: int, seed: int) -> Iterable[str]:
    names = mutate_file_contents(str(path), path.read_text()).mutant_names
    draw = random.Random(f"{seed} {path.as_posix()}")
    return [get_mutant_name(path, name) for name in draw.sample(names, min(most, len(names)))]


def _reported(names: Iterable[str]) -> list[str]:
    """Print a line for each room; returns the survivors."""
    codes: dict[str, int | None] = {}
    for path in walk_mutatable_files():
        meta = Path("mutants", f"{path}.meta")
        codes |= json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else {}
    rooms: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for name in names:
        rooms[".".join(name.split(".")[:_DEPTH])][codes[name] in _SURVIVED] += 1
    for room, count in sorted(rooms.items()):
        sys.stdout.write(f"{room}: {count[False]} of {count.total()} changes were noticed\n")
    sys.stdout.flush()
    return [name for name in names if codes[name] in _SURVIVED]


if __name__ == "__main__":
    sys.exit(main())
