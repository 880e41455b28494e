r"""Check one repository out, as a process of its own whose memory can be told.

    python -m tests.contract.handlers.repository_handler.weighed \
        HOME URL git|dulwich SUBDIRECTORY SUBMODULES

Prints the number of files or the error, then the most memory that this process or one of those that
it started had, in MiB.
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

from handlers.repository_handler import RepositoryHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError


def main(home: str, url: str, program: str, subdirectory: str, submodules: str) -> None:
    allowed = [url.rpartition("/")[0]]
    handler = RepositoryHandler(home=Path(home), allowed=allowed, use_git=program == "git")
    request = RepositoryRequest(
        url, subdirectory=subdirectory, submodules=submodules == "submodules"
    )
    try:
        with handler.checkout(request) as checkout:
            told = str(len(checkout.files()))
    except OrchestrationError as error:
        told = f"{type(error).__name__} {error}"
    status = Path("/proc/self/status").read_text("ascii")
    most = re.search(r"^VmHWM:\s*([0-9]+) kB$", status, re.MULTILINE)
    assert most is not None
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    sys.stdout.write(f"{told}\n{max(int(most[1]), others) >> 10}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
