"""Access to the workspace's storage: with the key that Azure ML gives, if storage accepts it.

If storage accepts no keys, the host's identity has access instead: Azure ML then gives no key, or
one that storage refuses (MicrosoftDocs/azure-ai-docs, how-to-disable-local-auth-storage.md;
Azure/azure-sdk-for-python#36603).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError

from handlers.azureml_handler import lazily
from handlers.azureml_handler.control import Control, reason
from handlers.azureml_handler.transport import Transport
from handlers.azureml_handler.workspace import STORE
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import UnfitHost

if TYPE_CHECKING:
    from handlers.azureml_handler.storage import Outputs

LIFETIME = timedelta(hours=1)  # a key expires after two; a new one costs two requests

T = TypeVar("T")


def upload(
    place: tuple[str, str | None],
    credential: TokenCredential,
    files: Mapping[str, Path],
    pool: Executor,
    clock: Clock,
) -> None:
    """Upload the files to a container; `place` is its address, and, if any, the address with a
    signature.

    Raises UnfitHost if neither the signature nor the host's identity may write there.
    """
    storage = lazily.storage()
    _write(place, credential, lambda *to: storage.upload(*to, files, pool, clock))


def try_to_upload(place: tuple[str, str | None], credential: TokenCredential, clock: Clock) -> None:
    """Like `upload`, but uploads nothing that anybody sees."""
    storage = lazily.storage()
    _write(place, credential, lambda *to: storage.stage_block(*to, clock))


def _write(
    place: tuple[str, str | None],
    credential: TokenCredential,
    write: Callable[[str, TokenCredential | None], None],
) -> None:
    uri, signed = place
    account = urlsplit(uri).hostname or uri
    if signed is not None:
        try:
            write(signed, None)
        except HttpResponseError as error:
            if not _is_refused(error):
                raise
            if not _takes_no_key(error):
                raise _key_refused(account, error) from error
        else:
            return
    try:
        write(uri, credential)
    except HttpResponseError as error:
        if not _is_refused(error):
            raise
        raise _identity_refused(account, error) from error


class Access:
    """Access to the datastore with the runs' files, renewed when it expires or is refused.

    Safe for threads.
    """

    def __init__(
        self, control: Control, credential: TokenCredential, clock: Clock, transport: Transport
    ) -> None:
        self._control = control
        self._credential = credential
        self._clock = clock
        self._lock = threading.Lock()
        self._store: Outputs | None = None
        self._until: datetime | None = None
        self._transport = transport

    def use(self, act: Callable[[Outputs], T]) -> T:
        """Return what `act` returns; it may be called twice, since a key may have changed.

        Raises UnfitHost if storage refuses the host, and what `act` raises.
        """
        store = self._outputs()
        try:
            return act(store)
        except HttpResponseError as error:
            if not _is_refused(error):
                raise
            if not store.has_key:
                raise _identity_refused(store.account, error) from error
        fresh = self._outputs(instead_of=store)
        try:
            return act(fresh)
        except HttpResponseError as error:
            if not _is_refused(error):
                raise
            refused = _key_refused if fresh.has_key else _identity_refused
            raise refused(fresh.account, error) from error

    def _outputs(self, instead_of: Outputs | None = None) -> Outputs:
        with self._lock:
            store, until = self._store, self._until
            if store is None or store is instead_of or not until or self._clock.now() >= until:
                found, secrets = self._control.datastore(STORE)
                self._store = store = lazily.storage().Outputs(
                    found, secrets, self._credential, self._clock, self._transport
                )
                self._until = self._clock.now() + LIFETIME
            return store


def _is_refused(error: HttpResponseError) -> bool:
    return error.status_code == HTTPStatus.FORBIDDEN


def _takes_no_key(error: HttpResponseError) -> bool:
    """Whether storage accepts neither keys nor signatures made with them."""
    return "KeyBasedAuthenticationNotPermitted" in str(getattr(error, "error_code", ""))


def _key_refused(account: str, error: HttpResponseError) -> UnfitHost:
    return UnfitHost(
        f"The storage account {account} refuses a key that Azure ML has just given. Let this host "
        "in by the account's network rules. If the account accepts no keys, set the workspace to "
        f"identity-based access. ({reason(error)})"
    )


def _identity_refused(account: str, error: HttpResponseError) -> UnfitHost:
    return UnfitHost(
        f"The storage account {account}, which has the workspace's files, refuses the host's "
        "identity. Give that identity the role Storage Blob Data Contributor on the account, and "
        f"let this host in by the account's network rules. ({reason(error)})"
    )
