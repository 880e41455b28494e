"""Which repository addresses can be cloned at all, whatever a host allows, and why others cannot.

One rule for all who read an address: the message, the host's settings, and the handler that
clones, which meets further ones in `.gitmodules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mlgate.orchestration.addresses.allowlist import parse_url, url_allowed, without_azure_user
from mlgate.orchestration.findings import Code

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.+)", re.DOTALL)
_SHELL = frozenset("'\"`")
_TOKEN_AS_USER = re.compile(r"gh[a-z]_|github_pat_|glpat-|.{40}")
_SECRET_IN_QUERY = re.compile(
    r"[?&#][^=&#]*(?:token|secret|passw|pwd|sig|key|auth)[^=&#]*=[^&#]", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address cannot be cloned; `message` and `remedy` are sentences without its words."""

    code: Code
    message: str
    remedy: str


_NO_ADDRESS = Refusal(
    Code.BAD_FORMAT,
    "The repository is neither a URL nor an absolute path.",
    "Give it as `https://...` or `ssh://git@host/path`; `git@host:path` is not a URL.",
)
_SECRET = Refusal(
    Code.SECRET_IN_URL,
    "The URL holds a password or token.",
    "Remove it and revoke it: others may have read it. Credentials belong to the host "
    "(`MLGATE_GIT_CREDENTIALS`).",
)
_SCHEME = Refusal(
    Code.BAD_FORMAT,
    "The URL is neither https nor ssh.",
    "Give the repository's https or ssh URL; for one on the host itself its absolute path alone, "
    "without `file://`.",
)
_PLAIN_HTTP = Refusal(
    Code.BAD_FORMAT,
    "The URL is http, which anybody on the way can read and change.",
    "Use https; http is only for a loopback address such as `127.0.0.1`.",
)
_QUERY = Refusal(
    Code.BAD_FORMAT,
    "The URL holds a query or fragment.",
    "Leave out all from `?` or `#` on; a branch, tag or commit is the repository's `ref`.",
)
_QUOTES = Refusal(
    Code.BAD_FORMAT,
    "The path of the ssh URL holds a quotation mark, which the shell at the other end reads.",
    "Rename the repository, or give its https URL.",
)
_USER = Refusal(
    Code.BAD_FORMAT,
    "The URL names a user.",
    "Leave the user name out. Credentials belong to the host (`MLGATE_GIT_CREDENTIALS`).",
)
_NOT_PLAIN = Refusal(
    Code.BAD_FORMAT,
    "The URL's host, port or path is not written plainly.",
    "Percent-encode spaces and what is not ASCII (`My%20Project`), and leave out `..`, doubled "
    "`/` and backslashes.",
)


def refusal(url: str) -> Refusal | None:
    """Why `url` cannot be cloned by any host; None for an absolute path, and for a plain URL of
    https, ssh, or http to a loopback literal."""
    if re.fullmatch("/.*", url):
        return None
    match = _URL.fullmatch(url)
    if match is None:
        return _NO_ADDRESS
    scheme, rest = match["scheme"].lower(), match["rest"]
    user, has_user, _ = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")
    if ":" in user or _TOKEN_AS_USER.match(user) or _SECRET_IN_QUERY.search(rest):
        return _SECRET
    if scheme not in ("https", "ssh", "http"):
        return _SCHEME
    if repository_url_allowed(url, [without_azure_user(url)]):
        return None
    address = parse_url(url)
    if address is not None:
        return _QUOTES if address.scheme == "ssh" else _PLAIN_HTTP
    if "?" in rest or "#" in rest:
        return _QUERY
    return _USER if has_user and scheme != "ssh" else _NOT_PLAIN


def repository_url_allowed(url: str, prefixes: Iterable[str]) -> bool:
    """Whether `url` can be cloned and lies within one of `prefixes`, which are plain URLs.

    An ssh URL's path becomes part of a command on the server, so it must not end a quotation there.
    """
    address = parse_url(url)
    if address is not None and address.scheme == "ssh" and _SHELL & set("".join(address.segments)):
        return False
    return url_allowed(without_azure_user(url), prefixes, schemes=("https", "ssh"))


def shown(url: str) -> str:
    """A refused address as it may be repeated, in quotes: without user, password and query, which
    may be secrets, and without control characters."""
    if not url.startswith("/"):
        url = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", url, flags=re.DOTALL)
        url = re.sub(r"[?#].*", "?***", url, flags=re.DOTALL)
    return ascii(url[:200])
