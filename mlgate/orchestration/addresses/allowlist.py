"""Which addresses a message may name: allow-lists are the host's, a message only chooses.

An address is compared after it has been taken apart, never as text: a check that reads a URL
differently from the program that follows it is how allow-lists are bypassed. So the grammar
here is narrower than RFC 3986, and what does not fit it is not allowed: no password, query,
fragment, backslash, empty or dotted segment, encoded separator, nor anything outside ASCII.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote_to_bytes

DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22}

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://"
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?"
    rf"(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?)"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart; `segments` are the decoded parts of its path."""

    scheme: str
    user: str | None  # ssh only
    host: str  # lower case; an IPv6 literal in its shortest form, without brackets
    port: int
    segments: tuple[str, ...]

    @property
    def loopback(self) -> bool:
        """Whether the host is a loopback literal; `localhost` is a name, which may resolve."""
        literal = _literal(self.host)
        if isinstance(literal, IPv4Address):
            return literal.is_loopback
        return literal == IPv6Address("::1")

    def within(self, prefix: Address) -> bool:
        """Whether this is `prefix` or below it, segment by segment."""
        return (
            (self.scheme, self.user, self.host, self.port)
            == (prefix.scheme, prefix.user, prefix.host, prefix.port)
        ) and self.segments[: len(prefix.segments)] == prefix.segments


def parse_url(url: str) -> Address | None:
    """`url` taken apart, or None when it is not a plain https, http or ssh URL."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS or (match["user"] and scheme != "ssh"):
        return None
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    host = match["host"].lower()
    if host.startswith("["):
        literal = _literal(host[1:-1])
        if literal is None:
            return None
        host = str(literal)
    try:
        segments = tuple(_decoded(segment) for segment in match["path"].split("/") if segment)
    except ValueError:
        return None
    return Address(scheme, match["user"], host, port, segments) if port <= 0xFFFF else None


def url_allowed(
    url: str, prefixes: Iterable[str], *, schemes: Collection[str] = ("https",)
) -> bool:
    """Whether `url` lies within one of `prefixes` and may be followed.

    `schemes` are the ones allowed for any host; http is allowed besides for a loopback literal
    (`127.0.0.1`, `[::1]`). A prefix that is not a plain URL allows nothing.
    """
    address = parse_url(url)
    if address is None or not _may_be_followed(address, schemes):
        return False
    return any(address.within(prefix) for prefix in _parsed(prefixes))


def collection_allowed(url: str, prefixes: Iterable[str]) -> bool:
    """As `url_allowed` for https, for the URL of a collection of Azure DevOps.

    An organization may be written in its new form or its old one, in any case: a pipeline's
    `$(System.CollectionUri)` has `https://{organization}.visualstudio.com/` where the organization
    was never changed.
    """
    address = parse_url(url)
    if address is None or not _may_be_followed(address, ("https",)):
        return False
    return any(
        address.within(prefix)
        or (azure_organization(prefix) is not None and _new_form(address).within(_new_form(prefix)))
        for prefix in _parsed(prefixes)
    )


def _may_be_followed(address: Address, schemes: Collection[str]) -> bool:
    return address.scheme in schemes or (address.scheme == "http" and address.loopback)


def _parsed(prefixes: Iterable[str]) -> Iterator[Address]:
    parsed = (parse_url(prefix) for prefix in prefixes)
    return (prefix for prefix in parsed if prefix is not None)


def _new_form(address: Address) -> Address:
    """The address below `https://dev.azure.com/{organization}` in lower case, if it has one."""
    organization = azure_organization(address)
    if organization is None:
        return address
    rest = address.segments
    if address.host == "dev.azure.com" or rest[:1] == ("DefaultCollection",):
        rest = rest[1:]
    return replace(address, host="dev.azure.com", segments=(organization, *rest))


def path_allowed(path: str, prefixes: Iterable[str]) -> bool:
    """Whether an absolute path is written as one of `prefixes` or below it.

    Links are not followed here: the code that opens the path checks them.
    """
    plain = posixpath.normpath(path)
    roots = (posixpath.normpath(prefix) for prefix in prefixes if prefix.startswith("/"))
    return any(plain == root or plain.startswith(root.rstrip("/") + "/") for root in roots)


def same_place(one: str, other: str) -> bool:
    """Whether two URLs of repositories, or absolute paths, name the same one, however spelled."""
    return _place(one) == _place(other)


def _place(url: str) -> object:
    address = parse_url(without_azure_user(url).removesuffix("/").removesuffix(".git"))
    if address is not None:
        return address
    return posixpath.normpath(url).removesuffix(".git") if url.startswith("/") else url


def azure_organization(address: Address) -> str | None:
    """The organization of an Azure Repos URL, in its new form or its old one.

    Its name is ASCII: lower case makes a k of a Kelvin sign, too.
    """
    if (address.scheme, address.port) != ("https", 443):
        return None
    if address.host == "dev.azure.com" and address.segments and address.segments[0].isascii():
        return address.segments[0].lower()
    old = re.fullmatch(r"([a-z0-9-]+)\.visualstudio\.com", address.host)
    return old[1] if old else None


def without_azure_user(url: str) -> str:
    """Azure DevOps shows clone URLs as `https://{organization}@dev.azure.com/{organization}/...`,
    and so does `$(Build.Repository.Uri)`; that user name means nothing."""
    match = re.fullmatch(r"https://([A-Za-z0-9-]+)@(dev\.azure\.com/.+)", url)
    if match:
        plain = f"https://{match[2]}"
        address = parse_url(plain)
        if address and azure_organization(address) == match[1].lower():
            return plain
    return url


def _decoded(segment: str) -> str:
    """One path segment, percent-decoded once; ValueError for what could be read in two ways."""
    text = unquote_to_bytes(segment).decode("utf-8")
    if text in (".", "..") or any(c in "/\\%" or not c.isprintable() for c in text):
        raise ValueError(segment)
    return text


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
