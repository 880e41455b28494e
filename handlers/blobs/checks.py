"""Whether this host may write, read and delete in a container."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from handlers.blobs.container import Container
from mlgate.orchestration.checks import Wrong

ROLE = (
    "Give the host's identity the role Storage Blob Data Contributor on the container, and let "
    "this host through the account's network rules."
)


def tried(open_container: Callable[[], Container]) -> Callable[[], str]:
    """One blob of a name of its own is written, read and deleted. No container is made for it, for
    Azure keeps the name of one that is removed for a while."""

    def look() -> str:
        container = open_container()
        name, content = f"check-{uuid.uuid4().hex}", b"{}"
        if not container.put_if_there(name, content):
            return f"There is no container {container.url} yet: the first write makes it."
        try:
            found = container.read(name)
            if found is None or found.content != content:
                raise Wrong(f"{container.url} does not give back what was just written to it.")
        finally:
            container.delete(name)
        return f"{container.url} can be written, read and deleted from."

    return look
