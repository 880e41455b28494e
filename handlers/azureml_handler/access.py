"""Access to the datastore where runs leave their files, renewed when it expires or is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError

from handlers.azureml_handler import lazily
from handlers.azureml_handler.control import Control, reason
from handlers.azureml_handler.transport import Transport
from handlers.azureml_handler.workspace import STORE
from mlgate.orchestration.errors import UnfitHost
from mlgate.orchestration.ports import Clock

if TYPE_CHECKING:
    from handlers.azureml_handler.storage import Outputs

LIFETIME = timedelta(hours=1)  # what gives access expires after two; a fresh one costs two requests

T = TypeVar("T")


class Access:
    """Safe for threads."""

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
        """What `act` returns, which may be called twice: a key may have been changed meanwhile.

        Raises UnfitHost where the host's own identity may not do it, and what `act` raises.
        """
        store = self._outputs()
        try:
            return act(store)
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.FORBIDDEN:
                raise
            if not store.has_key:
                raise _refused(store, error) from error
        fresh = self._outputs(instead_of=store)
        try:
            return act(fresh)
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.FORBIDDEN:
                raise
            raise _refused(fresh, error) from error

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


def _refused(store: Outputs, error: HttpResponseError) -> UnfitHost:
    if store.has_key:
        return UnfitHost(
            f"The storage account {store.account}, where runs leave their files, refuses a key "
            "that Azure ML has just handed out: see that its network rules let this host in, and "
            f"that it takes keys. ({reason(error)})"
        )
    return UnfitHost(
        f"The host's identity may not read {store.account}, where runs leave their files: it needs "
        f"the role Storage Blob Data Reader there. ({reason(error)})"
    )
