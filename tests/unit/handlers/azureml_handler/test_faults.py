"""Azure's errors, sorted by what the queue must do about them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)

from handlers.azureml_handler.control import translated
from mlgate.orchestration.errors import Permanent, Temporary, Throttled, UnfitHost

DEFAULT = "DefaultAzureCredential failed to retrieve a token.\nAttempted credentials:\n\t"
UNAVAILABLE = (
    f"{DEFAULT}EnvironmentCredential: authentication unavailable.\n\tAzureCliCredential: x"
)
REFUSED = f"{DEFAULT}EnvironmentCredential: Authentication failed: AADSTS7000215: Invalid key.\n"
OUTAGE = f"{DEFAULT}EnvironmentCredential: Authentication failed: ('Unable to connect to proxy')"


def answer(
    status: int, kind: type[HttpResponseError] = HttpResponseError, after: str = ""
) -> HttpResponseError:
    response = SimpleNamespace(status_code=status, reason="why", headers={"Retry-After": after})
    return kind(response=response)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (ClientAuthenticationError(UNAVAILABLE), UnfitHost, "The host has no identity that Azure"),
        (ClientAuthenticationError(REFUSED), UnfitHost, "host's identity: AADSTS7000215: Invalid"),
        (ClientAuthenticationError(OUTAGE), Temporary, "identity service does not answer"),
        (answer(401, ClientAuthenticationError), UnfitHost, "Give it the role AzureML Data Scien"),
        (answer(401), UnfitHost, "Give it the role AzureML Data Scientist"),
        (answer(403), UnfitHost, "Give it the role AzureML Data Scientist there.*: why"),
        (answer(404), UnfitHost, "workspace s/g/n. Check that MLGATE_WORKSPACE.*: why"),
        (answer(404, ResourceNotFoundError), UnfitHost, "MLGATE_WORKSPACE"),
        (answer(400), Permanent, r"refuses \(400\): why"),
        (answer(408), Temporary, r"does not answer \(408\)"),
        (answer(409), Temporary, r"does not answer \(409\)"),
        (answer(429), Throttled, r"does not answer \(429\)"),
        (answer(503), Temporary, r"does not answer \(503\)"),
        (HttpResponseError("cut"), Temporary, r"does not answer \(0\)"),
        (ServiceRequestError("https://x?sig=secret"), Temporary, "reached: ServiceRequestError"),
        (AzureError("sig=secret"), Temporary, "cannot be reached: AzureError"),
    ],
    ids=repr,
)
def test_an_error_is_sorted_and_told(
    error: AzureError, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence) as told, translated("s/g/n"):
        raise error
    assert type(told.value) is kind
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(("after", "delay"), [("7", 10), ("30", 30), ("soon", 10), ("", 10)])
def test_a_wait_that_is_asked_for_is_kept(after: str, delay: float) -> None:
    with pytest.raises(Temporary) as told, translated("s/g/n"):
        raise answer(429, after=after)
    assert told.value.delay == delay
