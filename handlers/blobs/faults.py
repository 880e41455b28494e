"""What blob storage's errors mean to the queue.

Each is raised without its cause, which would show the requested address with its signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from handlers.blobs.address import ContainerAddress
from handlers.identity_faults import without_token
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary, UnfitHost

_DELAY = 10.0  # seconds
# Two uploads of one file at once: the one that ends last finds its parts gone.
_PASSING = ("InvalidBlockList",)


def code_of(error: HttpResponseError) -> str:
    """The service's code for an error, such as `BlobNotFound`."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


@contextmanager
def translated(address: ContainerAddress) -> Iterator[None]:
    """Raise Azure's errors as mlgate's own."""
    try:
        yield
    except HttpResponseError as error:
        raise _fault(address, error) from None
    except AzureError as error:
        raise Temporary(
            f"The container {address.url} cannot be reached: {type(error).__name__}.", _DELAY
        ) from None


def _fault(address: ContainerAddress, error: HttpResponseError) -> OrchestrationError:
    if isinstance(error, ClientAuthenticationError) and error.response is None:
        return without_token(error, "blob storage")
    status, code = error.status_code or 0, code_of(error)
    said = f"{status} {code}".strip()
    if status in (401, 403) and address.signature is not None:
        return UnfitHost(
            f"The signature in the URL does not give access to {address.url} ({said}). Use an "
            "account's signature for containers and objects that has the permissions read, add, "
            "create, write, delete and list, and has not expired. Check that the account's network "
            "rules let this host in."
        )
    if status in (401, 403):
        return UnfitHost(
            f"The host's identity may not do that in {address.url} ({said}). Give it the role "
            "Storage Blob Data Contributor there, and let this host in by the account's network "
            "rules."
        )
    if status in (408, 409, 412, 429) or status >= 500 or not status or code in _PASSING:
        return Temporary(f"The container {address.url} is not available now ({said}).", _DELAY)
    return Permanent(f"The container {address.url} refuses the request ({said}).")
