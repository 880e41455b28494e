"""Shared access signatures, checked as in Service Bus.

A token is `SharedAccessSignature sr=URI&sig=SIGNATURE&se=EXPIRY&skn=KEYNAME`; the signature is
base64(HMAC-SHA256(key, sr + "\\n" + se)), over `sr` as it is quoted in the token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

LISTEN, SEND, MANAGE = "Listen", "Send", "Manage"
ALL_RIGHTS = frozenset({LISTEN, SEND, MANAGE})


class Refused(Exception):
    """The token is not valid; the message says why, without showing the token."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights to everything at and below a path, until a time (seconds since 1970)."""

    path: str
    expires_at: float
    rights: frozenset[str] = ALL_RIGHTS

    def covers(self, path: str, right: str | None = None) -> bool:
        """Whether it grants that right, or with None any right, at a path."""
        if right is not None and right not in self.rights:
            return False
        return not self.path or path == self.path or path.startswith(f"{self.path}/")


@dataclass(frozen=True, slots=True)
class SharedKey:
    """The key that signs tokens, and the rights that they grant."""

    name: str
    value: str
    rights: frozenset[str] = ALL_RIGHTS

    def check(self, token: str, now: float) -> Grant:
        """What a token grants. Raises Refused."""
        scheme, _, rest = token.partition(" ")
        fields = dict(pair.partition("=")[::2] for pair in rest.split("&"))
        if scheme != "SharedAccessSignature" or not {"sr", "sig", "se", "skn"} <= fields.keys():
            raise Refused("The token is not a shared access signature.")
        signed = f"{fields['sr']}\n{fields['se']}".encode()
        digest = hmac.new(self.value.encode(), signed, hashlib.sha256).digest()
        signature = base64.b64encode(digest)
        # `+` is legal in base64, and quoting may leave it unchanged.
        claimed = unquote(fields["sig"]).encode()
        is_key = hmac.compare_digest(unquote_plus(fields["skn"]).encode(), self.name.encode())
        if not hmac.compare_digest(signature, claimed) or not is_key:
            raise Refused("The token has an invalid signature.")
        if not fields["se"].isdecimal() or int(fields["se"]) <= now:
            raise Refused("The token has expired.")
        path = entity_path(unquote_plus(fields["sr"]))
        return Grant(path, float(fields["se"]), self.rights)


def entity_path(address: str) -> str:
    """The path of a node, in lower case: of `amqps://host:port/Queue`, of `Queue`, of `$cbs`."""
    _, has_scheme, rest = address.partition("://")
    path = rest.partition("/")[2] if has_scheme else address
    return path.strip("/").lower()
