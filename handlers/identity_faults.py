"""Why the host could not get a token, for any service."""

from __future__ import annotations

import os
import re

from mlgate.orchestration.errors import OrchestrationError, Temporary, UnfitHost

_DELAY = 10.0  # seconds
_ENTRA_REFUSES = re.compile(r"AADSTS\d+: [^\n]{1,300}")
# msal's text for an answer of App Service's endpoint: the status, then the sentence. 400 means that
# the identity is not assigned to the host; every other status is an outage.
_ENDPOINT_REFUSES = re.compile(r"Token request error: \(\w+\) 400, ([^\n]{1,300})")
# azure-identity detects a managed identity by either of these variables.
_ENDPOINTS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")


def without_token(error: Exception, service: str) -> OrchestrationError:
    """What azure-identity's authentication error means: an outage, or no identity for `service`.

    Both have the same class, so only the text distinguishes them. With a secret, the text is
    "Authentication failed" (`wrap_exceptions`) for an outage and for a refusal, but a refusal also
    has a Microsoft Entra code. With a managed identity, it is the endpoint's own text, or even
    says that there is no endpoint although the variable that names it is set.
    """
    text = str(error)
    if refused := _ENTRA_REFUSES.search(text):
        return UnfitHost(
            f"Microsoft Entra refused the host's identity: {refused[0].rstrip('. ')}. Check it, or "
            "the variables that name it: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
        )
    if refused := _ENDPOINT_REFUSES.search(text):
        return UnfitHost(
            f"This managed identity is not assigned to the host: {refused[1].rstrip('. ')}. "
            "Assign one, and set AZURE_CLIENT_ID to its client id if it is user-assigned."
        )
    if "Authentication failed" in text or any(os.environ.get(name) for name in _ENDPOINTS):
        return Temporary("The host's identity service does not answer.", _DELAY)
    return UnfitHost(
        f"The host has no identity that {service} accepts. Give it a managed identity, or sign "
        "in (`az login`), or set AZURE_CLIENT_ID for a user-assigned one."
    )
