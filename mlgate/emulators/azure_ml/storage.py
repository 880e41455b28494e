"""The workspace's storage account: its containers and folders, and relaying of clients' requests.

Azurite checks and answers what clients send through the proxy. The compute uses the same API
directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import quote
from xml.etree import ElementTree as ET

import urllib3

from mlgate.emulators.azure_ml.azurite import Azurite
from mlgate.emulators.azure_ml.exchange import Answer, Request
from mlgate.emulators.azure_ml.signatures import account_sas, service_sas

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date"}
BLOBS = "blob.core.windows.net"
_LIFETIME = timedelta(hours=8)
_AT_ONCE = 4

Item = TypeVar("Item")


class StorageRefused(Exception):
    """Azurite answered a request of the emulator with an error, which the message has."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A place in the account; `path` has no slash at either end."""

    container: str
    path: str

    def __truediv__(self, part: str) -> Folder:
        return Folder(self.container, "/".join(each for each in (self.path, part) if each))


def no_key_is_taken() -> Answer:
    """The answer of an account with `allowSharedKeyAccess: false` to a key or a signature of one.

    As quoted in Azure/AI-Landing-Zones#64.
    """
    code = "KeyBasedAuthenticationNotPermitted"
    message = "Key based authentication is not permitted on this storage account."
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    content = f'<?xml version="1.0" encoding="utf-8"?>{body}'.encode()
    return Answer(403, content, {"x-ms-error-code": code}, content_type="application/xml")


class Storage:
    """The account in `azurite`; `authority` is a PEM file with the CA of an Azurite with TLS."""

    def __init__(self, azurite: Azurite, authority: Path) -> None:
        self.account = azurite.account
        self._azurite = azurite
        secure = {"ca_certs": str(authority)} if azurite.url.startswith("https:") else {}
        self._pool = urllib3.connection_from_url(azurite.url, maxsize=32, retries=False, **secure)

    @property
    def host(self) -> str:
        return f"{self.account}.{BLOBS}"

    def close(self) -> None:
        self._pool.close()

    def relay(self, request: Request) -> Answer:
        """Azurite's answer to a client's request."""
        headers = {
            name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP
        }
        answer = self._pool.urlopen(
            request.method,
            request.target,
            body=request.body,
            headers=headers,
            redirect=False,
            decode_content=False,
        )
        kept = {n.title(): v for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP}
        return Answer(answer.status, answer.data, kept, content_type=None)

    def secret(self, lifetime: timedelta = _LIFETIME) -> str:
        """The account's signature, with the question mark of listSecrets' answer."""
        return "?" + self._signature(lifetime)

    def upload_url(self, container: str) -> str:
        """A temporary URL for putting and listing blobs of a container."""
        return f"https://{self.host}/{container}?{self._service(container, 'rcwl')}"

    def read_url(self, folder: Folder) -> str:
        """A temporary URL for reading one blob."""
        name = f"{folder.container}/{folder.path}"
        return f"https://{self.host}/{quote(name)}?{self._service(name, 'r')}"

    def make_container(self, name: str) -> None:
        self._call("PUT", name, "restype=container", expected=(201, 409))

    def put(self, blob: Folder, content: bytes) -> None:
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        self._call("PUT", f"{blob.container}/{blob.path}", "", content, headers, expected=(201,))

    def get(self, blob: Folder) -> bytes:
        return self._call("GET", f"{blob.container}/{blob.path}", "", expected=(200,))

    def list(self, folder: Folder) -> Iterator[str]:
        """The paths of the blobs below `folder`, relative to it; "" for a blob at `folder`."""
        prefix, marker = folder.path, ""
        while True:
            query = f"restype=container&comp=list&prefix={quote(prefix, safe='')}&marker={marker}"
            page = self._call("GET", folder.container, query, expected=(200,))
            found = ET.fromstring(page)  # noqa: S314 -- Azurite's own answer
            for name in found.iterfind("./Blobs/Blob/Name"):
                path = name.text or ""
                if path == prefix or not prefix or path.startswith(prefix + "/"):
                    yield path[len(prefix) :].lstrip("/")
            marker = quote(found.findtext("NextMarker") or "", safe="")
            if not marker:
                return

    def download(self, folder: Folder, into: Path) -> None:
        """Download every blob below `folder`; a blob at `folder` becomes the file `into`."""

        def fetch(path: str) -> None:
            target = into / path if path else into
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.get(folder / path))

        _each(fetch, list(self.list(folder)))

    def upload(self, source: Path, folder: Folder) -> None:
        """Upload every file below `source`; links are followed, as in a mount."""

        def send(path: PurePosixPath) -> None:
            self.put(folder / str(path), (source / path).read_bytes())

        files = (path for path in sorted(source.rglob("*")) if path.is_file())
        _each(send, [PurePosixPath(path.relative_to(source)) for path in files])

    def _call(
        self,
        method: str,
        name: str,
        query: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        expected: tuple[int, ...],
    ) -> bytes:
        parameters = "&".join(part for part in (query, self._signature(_LIFETIME)) if part)
        answer = self._pool.urlopen(
            method,
            f"/{self.account}/{quote(name)}?{parameters}",
            body=body,
            headers={"x-ms-version": "2020-10-02", **(headers or {})},
            redirect=False,
        )
        if answer.status not in expected:
            code = re.search(rb"<Code>(\w+)</Code>", answer.data)
            said = code[1].decode() if code else ""
            raise StorageRefused(f"{method} {name}: {answer.status} {said}".strip())
        return answer.data

    def _signature(self, lifetime: timedelta) -> str:
        return account_sas(self.account, self._azurite.key, datetime.now(UTC) + lifetime)

    def _service(self, resource: str, permissions: str) -> str:
        ends = datetime.now(UTC) + _LIFETIME
        return service_sas(self.account, self._azurite.key, resource, ends, permissions=permissions)


def _each(act: Callable[[Item], None], items: list[Item]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as several:
        for _ in several.map(act, items):
            continue
