"""Connects to untrusted web servers: follows no redirects, and limits silence and answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy
from urllib3 import PoolManager, ProxyManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from handlers.repository_handler.client import Limits
from handlers.repository_handler.remote import Remote
from mlgate.orchestration.errors import Temporary

_WORDS = 4096  # bytes of an error's body that are read
_SHOWN = 200  # characters of it that are shown


def read(remote: Remote, limits: Limits, response: Any, size: int) -> bytes:
    """Read `size` bytes, or fewer at the end.

    The connection's timeout is for each wait, so a server that sends very slowly is stopped here.
    """
    chunks = []
    while size > 0:
        if limits.over:
            raise remote.silent("its answer took too long")
        chunk = response.read1(size)
        if not chunk:
            break
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def words_of(remote: Remote, limits: Limits, response: Any) -> str:
    """The message in an error's body, on one line; empty for an HTML page."""
    kind = (response.headers.get("Content-Type") or "").partition(";")[0]
    if kind not in ("application/json", "text/plain"):
        return ""
    try:
        body = read(remote, limits, response, _WORDS).decode("utf-8", "replace")
        said = json.loads(body)["message"] if kind == "application/json" else body
    except (HTTPError, OSError, Temporary, ValueError, KeyError, TypeError):
        return ""  # the status says enough
    return remote.redact(" ".join(str(said).split()))[:_SHOWN].rstrip(". ")


class _Pool(PoolManager):
    """Returns redirects instead of following them with the credential."""

    def urlopen(self, method: str, url: str, *_: Any, **kw: Any) -> Any:
        return super().urlopen(method, url, **(kw | {"redirect": False}))


class _Proxy(ProxyManager):
    def urlopen(self, method: str, url: str, *_: Any, **kw: Any) -> Any:
        return super().urlopen(method, url, **(kw | {"redirect": False}))


def connections(remote: Remote, limits: Limits) -> PoolManager:
    """Connections that use the standard variables for proxies and certificate authorities."""
    options: dict[str, Any] = {
        "timeout": Timeout(min(limits.stall, limits.left)),
        "retries": False,
        "headers": {"User-Agent": "git/mlgate"},  # GitHub insists on "git/"
        "cert_reqs": "CERT_REQUIRED",
    }
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle:
        options["ca_cert_dir" if Path(bundle).is_dir() else "ca_certs"] = bundle
    proxy = select_proxy(remote.url, get_environ_proxies(remote.url))
    if not proxy:
        return _Pool(**options)
    user = urlsplit(proxy)
    if user.username:
        pair = f"{unquote(user.username)}:{unquote(user.password or '')}"
        options["proxy_headers"] = make_headers(proxy_basic_auth=pair)
    return _Proxy(proxy, **options)
