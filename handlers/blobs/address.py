"""The URL of a blob container, as a setting gives it: where it is, and perhaps a right to it.

Nothing of Azure is imported here, so that settings can be checked for nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from pydantic import SecretStr

from mlgate.orchestration.addresses.allowlist import parse_url

# learn.microsoft.com, "Naming and referencing containers, blobs, and metadata".
_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_SECRETS = "-secrets"


@dataclass(frozen=True, slots=True)
class ContainerAddress:
    """`url` names the container alone; `signature` is what the URL held to give access to it."""

    url: str
    signature: SecretStr | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with what it should be; that repeats nothing of `text`."""
        plain, _, query = text.partition("?")
        address = parse_url(plain)
        if address is None or address.scheme not in ("https", "http"):
            raise ValueError(
                "is not the URL of a blob container; write it as "
                "https://ACCOUNT.blob.core.windows.net/CONTAINER"
            )
        # On a literal address, as emulators have it, the account's name comes first in the path.
        if len(address.segments) != (2 if address.loopback else 1):
            raise ValueError("does not end with one container's name; folders cannot be chosen")
        if not _NAME.fullmatch(address.segments[-1]):
            raise ValueError(
                "names a container as Azure does not: 3 to 63 lower-case letters, digits and "
                "single hyphens"
            )
        if query and not re.search(r"(?:^|&)sig=[^&]+", query):
            raise ValueError("has a query that is no shared access signature; leave it out")
        if address.scheme == "http" and not address.loopback:
            raise ValueError("is http, which is only for a loopback address such as 127.0.0.1")
        if address.scheme == "http" and not query:
            raise ValueError("is http without a signature, and no identity shows itself over http")
        return cls(plain.rstrip("/"), SecretStr(query) if query else None)

    def secrets(self) -> ContainerAddress:
        """The container beside it for what the host alone may read.

        Raises ValueError where its name would be too long.
        """
        place, _, name = self.url.rpartition("/")
        if not _NAME.fullmatch(name + _SECRETS):
            raise ValueError(
                f"names a container of more than {63 - len(_SECRETS)} characters, which leaves no "
                f"room for the one beside it, whose name ends with {_SECRETS}"
            )
        return ContainerAddress(f"{place}/{name}{_SECRETS}", self.signature)
