"""Check one repository out many times at once, as a process of its own.

    python -m tests.contract.handlers.repository_handler.many HOME URL git|dulwich TIMES [SHA]

Each tries again while it is not its turn. Prints the number of files, or the error, of each.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import Busy, OrchestrationError


def main(home: str, url: str, program: str, times: str, sha: str | None = None) -> None:
    allowed = [url.rpartition("/")[0]]
    handler = RepositoryHandler(home=Path(home), allowed=allowed, use_git=program == "git")
    together = threading.Barrier(int(times))

    def check_out(_: int) -> str:
        together.wait(60)
        while True:
            try:
                with handler.checkout(RepositoryRequest(url, sha)) as checkout:
                    return str(len(checkout.files()))
            except Busy:
                time.sleep(0.05)  # as a later look would come
            except OrchestrationError as error:
                return f"{type(error).__name__} {error}"

    with ThreadPoolExecutor(int(times)) as pool:
        told = list(pool.map(check_out, range(int(times))))
    sys.stdout.write("\n".join(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
