"""dulwich over http, with the behavior of git under our settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dulwich.client import Urllib3HttpGitClient
from dulwich.errors import GitProtocolError

from handlers.repository_handler.client import Limits, Unspoken
from handlers.repository_handler.faults import fault
from handlers.repository_handler.http import connections, read, words_of
from handlers.repository_handler.remote import Remote

if TYPE_CHECKING:
    from dulwich.client import HTTPResponse


def heeded(data: bytes) -> bytes:
    """Raise the error of git's error packet (gitprotocol-pack, `ERR`), which dulwich ignores."""
    if data.startswith(b"ERR "):
        raise GitProtocolError(data.removeprefix(b"ERR ").decode("utf-8", "replace"))
    return data


class HttpClient(Urllib3HttpGitClient):
    """Smart http only. Follows no redirects; turns statuses into our errors."""

    def __init__(self, remote: Remote, limits: Limits) -> None:
        super().__init__(remote.url, pool_manager=connections(remote, limits))
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
            raise self._fault(response)
        if not (response.headers.get("Content-Type") or "").startswith("application/x-git-"):
            raise self._remote.unavailable("the server does not answer like a git server")
        return response, lambda size: self._read(response, size)

    def _read(self, response: Any, size: int) -> bytes:
        return heeded(read(self._remote, self._limits, response, size))

    def _fault(self, response: Any) -> Exception:
        said = words_of(self._remote, self._limits, response)
        if response.status == 400:  # Azure Repos refuse a client that lacks required features
            detail = ": ".join(part for part in ("HTTP 400", said) if part)
            why = f"its server refuses the requests of a host without git ({detail})"
            return Unspoken(detail, self._remote.failed(f"{why}; install git on the host"))
        return fault(self._remote, f"HTTP {response.status}", said=said)

    def close(self) -> None:
        self.pool_manager.clear()
        super().close()
