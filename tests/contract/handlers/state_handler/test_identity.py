"""A host that has no signature shows a token of its identity, over TLS."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from pydantic import SecretStr

from handlers.blobs.address import ContainerAddress
from handlers.blobs.container import Container
from handlers.state_handler.blobs import BlobState
from mlgate.emulators.azure_ml import Azurite
from mlgate.emulators.azure_ml.certificates import make_certificates
from mlgate.orchestration.errors import OrchestrationError, Temporary, UnfitHost
from tests.unit.orchestration.engine.builders import build
from tests.unit.orchestration.engine.twins import HandClock

ENTRA = "https://sts.windows.net/00000000-0000-0000-0000-000000000000/"


class Identity:
    """A token for what is asked, without a signature, or why there is none."""

    def __init__(self, fault: Exception | None = None, **claims: Any) -> None:
        self._fault = fault
        self._claims = claims

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if self._fault is not None:
            raise self._fault
        now = int(time.time())
        audience = scopes[0].removesuffix("/.default")
        times = {"nbf": now - 60, "iat": now - 60, "exp": now + 600}
        claims = {"aud": audience, "iss": ENTRA, **times, **self._claims}
        return AccessToken(".".join((_part({"alg": "none"}), _part(claims), "none")), now + 600)


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def place(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerAddress]:
    """In a storage emulator that asks for an identity; it is there where the other one is."""
    certificates = make_certificates(tmp_path_factory.mktemp("tls"), ("localhost",))
    with Azurite(server=certificates.server) as storage, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
        name = f"state-{uuid.uuid4().hex[:12]}"
        yield ContainerAddress.parse(f"{storage.url}/{storage.account}/{name}")


def container(address: ContainerAddress, identity: Identity) -> Container:
    return Container(address, identity, HandClock())


def test_a_token_is_taken_where_there_is_no_signature(place: ContainerAddress) -> None:
    mine = Identity()
    state = BlobState(container(place, mine), container(place.secrets(), mine), HandClock())
    assert state.create(build(), SecretStr("radioactive"))
    assert state.token(build().key) == SecretStr("radioactive")
    assert [due.key for due in state.due()] == [build().key]


AWAY = ClientAuthenticationError("Authentication failed: <urlopen error>")
REFUSED = ClientAuthenticationError("Authentication failed: AADSTS7000215: Invalid client secret.")
NONE = CredentialUnavailableError("EnvironmentCredential: not configured")


@pytest.mark.parametrize(
    ("identity", "kind", "told"),
    [
        (Identity(aud="https://vault.azure.net"), UnfitHost, "role Storage Blob Data Contributor"),
        (Identity(NONE), UnfitHost, "Give it a managed identity"),
        (Identity(REFUSED), UnfitHost, "AADSTS7000215: Invalid client secret"),
        (Identity(AWAY), Temporary, "identity service does not answer"),
    ],
    ids=["without a right", "none", "refused", "away"],
)
def test_an_identity_that_does_not_do_is_told_with_the_remedy(
    identity: Identity, kind: type[OrchestrationError], told: str, place: ContainerAddress
) -> None:
    with pytest.raises(kind, match=told):
        container(place, identity).check()
