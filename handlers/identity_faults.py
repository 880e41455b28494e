"""Why the host has no token, whatever it wanted one for."""

from __future__ import annotations

import os
import re

from mlgate.orchestration.errors import OrchestrationError, Temporary, UnfitHost

_DELAY = 10.0  # seconds
_ENTRA_REFUSES = re.compile(r"AADSTS\d+: [^\n]{1,300}")
# How msal words an answer of App Service's endpoint: its status, then its sentence. 400 is for an
# identity that is not assigned to the host; every other status is an outage.
_ENDPOINT_REFUSES = re.compile(r"Token request error: \(\w+\) 400, ([^\n]{1,300})")
# By either of these azure-identity knows that the host is given a managed identity.
_ENDPOINTS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")


def without_token(error: Exception, service: str) -> OrchestrationError:
    """What azure-identity's authentication error says: an outage, or no identity for `service`.

    It raises the same for both, so its words must tell. Of an outage they are "Authentication
    failed" (`wrap_exceptions`) where the host has a secret, as of a refusal, which has a code of
    Microsoft Entra's besides. Where it has a managed identity they are whatever its endpoint says,
    or even that there is none, though the variable that names the endpoint is set.
    """
    text = str(error)
    if refused := _ENTRA_REFUSES.search(text):
        return UnfitHost(
            f"The host's identity is refused: {refused[0].rstrip('. ')}. Check it, or the "
            "variables that name it: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
        )
    if refused := _ENDPOINT_REFUSES.search(text):
        return UnfitHost(
            f"The host is not given that managed identity: {refused[1].rstrip('. ')}. Assign one, "
            "and set AZURE_CLIENT_ID to its client id if it is user-assigned."
        )
    if "Authentication failed" in text or any(os.environ.get(name) for name in _ENDPOINTS):
        return Temporary("The host's identity service does not answer.", _DELAY)
    return UnfitHost(
        f"The host has no identity that {service} takes. Give it a managed identity, or sign "
        "in (`az login`), or set AZURE_CLIENT_ID for a user-assigned one."
    )
