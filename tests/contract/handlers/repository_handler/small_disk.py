r"""Check repositories out, one after the other, as a process of its own with a disk of its own.

    python -m tests.contract.handlers.repository_handler.small_disk \
        HOME ORIGINS git|dulwich|rest NAME...

Prints a line for each: its name, and the number of files or the error; at last what is left. The
name `-` stands for other files, as many as the disk takes. One that begins with `?` asks whether a
commit that is not there is on the branch `main`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError


def main(home: str, origins: str, program: str, *names: str) -> None:
    handler = RepositoryHandler(home=Path(home), allowed=[origins], use_git=program == "git")
    collection = origins.removesuffix("/flowers/_git") if program == "rest" else None
    for name in names:
        if name == "-":
            fill(Path(home))
            continue
        try:
            request = RepositoryRequest(f"{origins}/{name.removeprefix('?')}")
            if name.startswith("?"):
                tell(name, handler.contains(request, "1" * 40, "main", collection=collection))
                continue
            with handler.checkout(request, collection=collection) as checkout:
                tell(name, len(checkout.files()))
        except OrchestrationError as error:
            tell(name, type(error).__name__, error)
    tell("cached", len(list(Path(home, "repositories").glob("*/HEAD"))))


def fill(folder: Path) -> None:
    with suppress(OSError):
        for number in count():
            (folder / f"other-{number}").touch()


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


main(*sys.argv[1:])
