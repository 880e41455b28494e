"""dulwich over http, behaving as git does with our settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from dulwich.client import Urllib3HttpGitClient
from dulwich.errors import GitProtocolError
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import PoolManager, ProxyManager, Timeout
from urllib3.util import make_headers

from handlers.repository_handler.client import Limits
from handlers.repository_handler.faults import fault
from handlers.repository_handler.remote import Remote

if TYPE_CHECKING:
    from dulwich.client import HTTPResponse


def heeded(data: bytes) -> bytes:
    """dulwich reads past git's error packet (gitprotocol-pack, `ERR`) and then finds silence."""
    if data.startswith(b"ERR "):
        raise GitProtocolError(data.removeprefix(b"ERR ").decode("utf-8", "replace"))
    return data


class HttpClient(Urllib3HttpGitClient):
    """Smart http only; no redirect is followed; statuses become our errors."""

    def __init__(self, remote: Remote, limits: Limits) -> None:
        super().__init__(remote.url, pool_manager=_pool(remote, limits))
        self._remote = remote
        self._limits = limits

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,  # noqa: ARG002 -- dulwich's signature
    ) -> tuple[HTTPResponse, Callable[[int], bytes]]:
        headers = dict(headers or {})
        if self._remote.access.authorization:
            headers["Authorization"] = self._remote.access.authorization.get_secret_value()
        response, _ = super()._http_request(url, headers, data, raise_for_status=False)
        if response.status != 200:  # 203 is Azure DevOps's sign-in page
            raise fault(self._remote, f"HTTP {response.status}", refusal_is_final=False)
        if not (response.headers.get("Content-Type") or "").startswith("application/x-git-"):
            raise self._remote.unavailable("the server does not answer as a git server")
        return response, lambda size: self._read(response, size)

    def _read(self, response: Any, size: int) -> bytes:
        """Up to `size` bytes, less only at the end.

        The pool's time-out is for each wait; only here can a server that trickles be stopped.
        """
        chunks = []
        while size > 0:
            if self._limits.over:
                raise self._remote.silent("no end in time")
            chunk = response.read1(size)
            if not chunk:
                break
            chunks.append(chunk)
            size -= len(chunk)
        return heeded(b"".join(chunks))

    def close(self) -> None:
        self.pool_manager.clear()
        super().close()


class _Pool(PoolManager):
    """Hands a redirect back instead of following it, credential and all."""

    def urlopen(self, method: str, url: str, *_: Any, **kw: Any) -> Any:
        return super().urlopen(method, url, **(kw | {"redirect": False}))


class _Proxy(ProxyManager):
    def urlopen(self, method: str, url: str, *_: Any, **kw: Any) -> Any:
        return super().urlopen(method, url, **(kw | {"redirect": False}))


def _pool(remote: Remote, limits: Limits) -> PoolManager:
    """With the standard variables for proxies and certificate authorities."""
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
