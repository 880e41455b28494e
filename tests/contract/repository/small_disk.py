"""Check repositories out, one after the other, as a process of its own with a disk of its own.

    python -m tests.contract.repository.small_disk HOME ORIGINS git|dulwich NAME...

Prints a line for each: its name, and the number of files or the error; at last what is left.
"""

from __future__ import annotations

import sys
from pathlib import Path

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError


def main(home: str, origins: str, program: str, *names: str) -> None:
    handler = RepositoryHandler(home=Path(home), allowed=[origins], use_git=program == "git")
    for name in names:
        try:
            with handler.checkout(RepositoryRequest(f"{origins}/{name}")) as checkout:
                tell(name, len(checkout.files()))
        except OrchestrationError as error:
            tell(name, type(error).__name__, error)
    cached = Path(home, "repositories").iterdir()
    tell("cached", len([path for path in cached if path.suffix != ".lock"]))


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


main(*sys.argv[1:])
