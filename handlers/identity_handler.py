"""The host's own identity, as `azure-identity` finds it; imported only where it is used."""

from __future__ import annotations

from functools import cache

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import DefaultAzureCredential
from pydantic import SecretStr

from handlers.identity_faults import without_token
from mlgate.orchestration.errors import Temporary, UnfitHost

# The application id of Azure DevOps, the same in every tenant.
_AZURE_DEVOPS_SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"


@cache
def credential(client_id: str | None = None) -> DefaultAzureCredential:
    """The host's credential, which caches its tokens; `client_id` names a user-assigned one.

    Raises `UnfitHost` when the variables that name an identity are invalid.
    """
    try:
        if client_id:
            return DefaultAzureCredential(managed_identity_client_id=client_id)
        return DefaultAzureCredential()
    except ValueError as error:  # its text says what is expected, not what was given
        raise UnfitHost(
            f"The host's identity cannot be used: {error}. Check the variables that name it: "
            "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
        ) from error


def devops_token() -> SecretStr:
    """The host's own token for Azure DevOps; raises `UnfitHost` without one, or `Temporary`."""
    try:
        return SecretStr(credential().get_token(_AZURE_DEVOPS_SCOPE).token)
    except ClientAuthenticationError as error:
        raise without_token(error, "Azure DevOps") from error
    except AzureError as error:
        raise Temporary("The host's identity service does not answer.") from error
