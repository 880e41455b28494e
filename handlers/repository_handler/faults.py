"""Sorts the complaints of servers, ssh and git itself into our errors.

The texts are those of git 2.30 to 2.50 (LC_ALL=C), OpenSSH, JGit, and Azure Repos (TF...).
"""

from __future__ import annotations

import re

from handlers.repository_handler.client import Broken, Refused
from handlers.repository_handler.remote import Remote

# JGit says "not valid", git's client and server "unadvertised". The object may exist all the same.
_UNADVERTISED = re.compile(r"unadvertised object|want [0-9a-f]{40} not valid")
_NOT_OURS = re.compile(r"not our ref")
_GONE = re.compile(r"TF401035")  # from Azure Repos, which serve any commit that they have
_NO_ANSWER = re.compile(
    r"Could not resolve host|Temporary failure in name resolution|Couldn't connect"
    r"|Failed to connect|Connection (?:refused|reset|timed out|closed)|Operation timed out"
    r"|timed out|too slow|transfer closed|Empty reply|early EOF|unexpected disconnect"
    r"|returned error: (?:429|5\d\d)|HTTP (?:429|5\d\d)|Network is unreachable|No route to host"
    r"|kex_exchange_identification|SSL_ERROR_SYSCALL|TLS connection was|No space left on device",
    re.IGNORECASE,
)
_UNAVAILABLE = re.compile(
    r"not found|does not exist|does not appear to be a git repository|not a git repository"
    r"|Authentication failed|could not read Username|could not read Password|Permission denied"
    r"|Host key verification failed|returned error: (?:3\d\d|4\d\d)|HTTP (?:203|3\d\d|4\d\d)"
    r"|unable to update url base from redirection|not valid: is this a git repository"
    r"|Could not read from remote repository|TF40\d{4}|access denied",
    re.IGNORECASE,
)
# What git says if a server asks for another credential, which git does not have.
_ASKED_AGAIN = re.compile(r"could not read (?:Username|Password) for|Authentication failed for")
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_CERTIFICATE = re.compile(r"certificate", re.IGNORECASE)
_REDIRECT = re.compile(r"redirect|(?:error:|HTTP) 3\d\d", re.IGNORECASE)


def fault(
    remote: Remote, text: str, *, refusal_is_final: bool = False, said: str = ""
) -> Exception:
    """The exception for `text`, the complaint of a failed exchange with `remote`.

    `said` is the server's own message, which is only shown to people.
    """
    detail = ": ".join(part for part in (cause(text), said) if part)
    if _UNADVERTISED.search(text):
        return Refused(final=False)
    if _GONE.search(text):
        return Refused(final=True)
    if _NOT_OURS.search(text):
        return Refused(final=refusal_is_final)
    if no_answer(text):
        return remote.silent(detail)
    if _REDIRECT.search(text) and remote.rest is None:  # Azure Repos redirect to a sign-in page
        return remote.unavailable(
            f"{detail}; it redirects, and mlgate does not follow: name the address it leads to"
        )
    if _UNAVAILABLE.search(text):
        return remote.unavailable(detail)
    if _CERTIFICATE.search(text):
        return remote.failed(
            f"{detail}; if the server's certificate comes from an authority of your own, name its "
            "file in REQUESTS_CA_BUNDLE"
        )
    return Broken(remote.redact(detail))


def no_answer(text: str) -> bool:
    """Whether trying again later may help."""
    return _NO_ANSWER.search(text) is not None


def disk_full(text: str) -> bool:
    """Whether this host's disk is full, and not the server's, whose messages git quotes."""
    lines = [line for line in text.splitlines() if not line.startswith("remote:")]
    return any(_DISK_FULL.search(line) for line in lines)


def cause(text: str) -> str:
    """The line that has the cause: git's last lines are often only advice."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if re.match(r"(?i:fatal|error|remote|ssh)\b", line)]
    known = [line for line in marked or lines if _NO_ANSWER.search(line)]
    line = (known or marked or lines or ["no reason given"])[0]
    if _ASKED_AGAIN.search(line):
        return "HTTP 401"
    return re.sub(r"^(fatal|error|remote): ", "", line)[:300].rstrip(".")
