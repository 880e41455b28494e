"""The URL of a blob container, as a setting has it: perhaps with a signature that gives access.

No package of Azure's is imported here, so that checking the settings costs nothing.
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
    """`url` names the container alone; `signature` is the query that gives access to it."""

    url: str
    signature: SecretStr | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with what is wrong, which quotes nothing of `text`, and the remedy."""
        plain, _, query = text.partition("?")
        address = parse_url(plain)
        if address is None or address.scheme not in ("https", "http"):
            raise ValueError(
                "is not the URL of a blob container",
                "write it as https://ACCOUNT.blob.core.windows.net/CONTAINER",
            )
        # At a literal address, as of emulators, the account's name comes first in the path.
        if len(address.segments) != (2 if address.loopback else 1):
            raise ValueError(
                "does not end with one container's name", "leave out folders, if there are any"
            )
        if not _NAME.fullmatch(address.segments[-1]):
            raise ValueError(
                "has a container name that Azure does not allow",
                "use 3 to 63 lower-case letters, digits and single hyphens",
            )
        if query and not re.search(r"(?:^|&)sig=[^&]+", query):
            raise ValueError("has a query that is not a shared access signature", "remove it")
        if address.scheme == "http" and not address.loopback:
            what = "is http, which only a loopback address may be, such as 127.0.0.1"
            raise ValueError(what, "write it with https")
        if address.scheme == "http" and not query:
            what = "is http without a signature, and identities are not sent over http"
            raise ValueError(what, "write it with https, or with a signature")
        return cls(plain.rstrip("/"), SecretStr(query) if query else None)

    def secrets(self) -> ContainerAddress:
        """The second container, for what only hosts may read.

        Raises ValueError, as `parse` does, if its name would be too long.
        """
        place, _, name = self.url.rpartition("/")
        if not _NAME.fullmatch(name + _SECRETS):
            raise ValueError(
                f"has a container name of more than {63 - len(_SECRETS)} characters, which leaves "
                f"no room for the second container, whose name adds {_SECRETS}",
                "name a container with a shorter name",
            )
        return ContainerAddress(f"{place}/{name}{_SECRETS}", self.signature)
