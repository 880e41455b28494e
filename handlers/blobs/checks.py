"""Checks that this host may write, read and delete in a container."""

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
    """A check that writes, reads and deletes a blob of its own. It creates no container: for a
    while, Azure does not free the name of one that is removed."""

    def look() -> str:
        container = open_container()
        name, content = f"check-{uuid.uuid4().hex}", b"{}"
        if not container.put_if_there(name, content):
            return f"There is no container {container.url} yet: the first write creates it."
        try:
            found = container.read(name)
            if found is None or found.content != content:
                raise Wrong(f"{container.url} does not return what was just written to it.")
        finally:
            container.delete(name)
        return f"This host can write, read and delete in {container.url}."

    return look
