"""Who may ask: the token endpoint, and what a token that is not good (any more) gets."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from mlgate.emulators.azure_ml import AzureML, Azurite
from mlgate.emulators.azure_ml.workspace import BLOB_STORE
from tests.unit.emulators.azure_ml.support import Client


def claims(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    read = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert isinstance(read, dict)
    return read


def test_a_token_is_shaped_as_the_sdk_needs_it(client: Client) -> None:
    told = claims(client.token)
    assert told["tid"] == client.variables["AZURE_TENANT_ID"]
    assert told["aud"] == "https://management.azure.com"
    assert isinstance(told["exp"], int)


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "AADSTS7000215"),
        ({"client_id": "other"}, 400, "AADSTS700016"),
        ({"grant_type": "password"}, 400, "AADSTS70003"),
        ({"tenant": "other"}, 400, "AADSTS90002"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_stranger_gets_no_token(
    change: dict[str, str], status: int, error: str, client: Client
) -> None:
    answer = client.sign_in(**change)
    assert answer.status_code == status
    assert answer.json()["error_description"].startswith(error)


def test_a_token_is_good_for_what_it_was_asked_for(azurite: Azurite) -> None:
    with AzureML(keyless=True) as server:
        client = Client(server)
        container = server.workspace.containers[BLOB_STORE]
        blobs = f"https://{server.storage.host}/{container}?restype=container&comp=list"

        def asked() -> tuple[int, int]:
            version = {"x-ms-version": "2020-10-02"}
            read = client.send("GET", blobs, headers=version).status_code
            return client.list_jobs().status_code, read

        assert asked() == (200, 401)
        answer = client.sign_in(scope="https://storage.azure.com/.default")
        client.token = answer.json()["access_token"]
        assert asked() == (401, 200)
        client.token = "a.b.c"
        assert asked() == (401, 401)


@pytest.mark.usefixtures("azurite")  # which skips where it is not installed
def test_storage_without_keys_takes_nothing_that_a_key_has_signed() -> None:
    with AzureML(keyless=True) as server:
        client = Client(server)
        container = server.workspace.containers[BLOB_STORE]
        signed = f"{server.storage.upload_url(container)}&restype=container&comp=list"
        answer = client.read(signed)
        assert answer.status_code == 403
        assert answer.headers["x-ms-error-code"] == "KeyBasedAuthenticationNotPermitted"
        code = f"{client.workspace}/codes/c/versions/1/startPendingUpload"
        asked = {"pendingUploadType": "TemporaryBlobReference"}
        place = client.send("POST", code, "2023-04-01", json=asked).json()
        assert place["blobReferenceForConsumption"]["credential"] is None


SPOILT: dict[str, tuple[Callable[[Client], None], str]] = {
    "missing": (lambda c: setattr(c, "token", ""), "AuthenticationFailed"),
    "foreign": (lambda c: setattr(c, "token", "a.b.c"), "InvalidAuthenticationToken"),
    "expired": (lambda c: c.server.tokens.expire(), "ExpiredAuthenticationToken"),
}


@pytest.mark.parametrize(("spoil", "code"), SPOILT.values(), ids=SPOILT)
def test_a_token_that_is_not_good_is_401(
    spoil: Callable[[Client], None], code: str, client: Client
) -> None:
    spoil(client)
    answers = [client.put_job("a"), client.send("GET", f"{client.history}/runs/a/details", "v1.0")]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == code
        assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")
    assert len(client.server.jobs) == 0


def test_a_token_lives_as_long_as_it_says(azurite: Azurite) -> None:
    with AzureML(azurite=azurite, token_lifetime=timedelta(0)) as server:
        client = Client(server)
        assert client.sign_in().json()["expires_in"] == 0
        assert client.list_jobs().status_code == 401


def test_the_secret_is_in_no_record_of_requests(client: Client) -> None:
    told = repr(client.server.requests) + repr(client.server.workspace)
    assert client.variables["AZURE_CLIENT_SECRET"] not in told
    assert client.token not in told
