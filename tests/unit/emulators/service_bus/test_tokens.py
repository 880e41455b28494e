"""Shared access signatures: who holds the key comes in, until the token's end, and no further."""

from urllib.parse import quote_plus

import pytest
from azure.servicebus._pyamqp.utils import generate_sas_token

from mlgate.emulators.service_bus.tokens import Refused, SharedKey, entity_path

KEY = SharedKey("Root", "c2VjcmV0")
EXPIRY = 1_000


def token(
    *, uri: str = "sb://127.0.0.1:5672/Jobs", name: str = "Root", key: str = "c2VjcmV0"
) -> str:
    return str(generate_sas_token(uri, name, key, EXPIRY))


def test_the_sdks_token_grants_its_entity_and_what_is_below() -> None:
    grant = KEY.check(token(), EXPIRY - 1)
    assert grant.expires_at == EXPIRY
    assert grant.covers("jobs")
    assert grant.covers("jobs/$deadletterqueue")
    assert not grant.covers("jobs2")
    assert not grant.covers("other")


def test_a_token_for_the_namespace_grants_everything_in_it() -> None:
    assert KEY.check(token(uri="sb://127.0.0.1:5672/"), 0).covers("jobs")


@pytest.mark.parametrize(
    ("made", "now", "why"),
    [
        (token(key="b3RoZXI="), 0, "signature"),
        (token(name="Other"), 0, "signature"),
        (token(), EXPIRY, "expired"),
        (token().replace("Jobs", "Else"), 0, "signature"),
        (token().replace("se=1000", "se=9999"), 0, "signature"),
        ("SharedAccessSignature sr=a&sig=b&se=c", 0, "not a shared access signature"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.x", 0, "not a shared access signature"),
        ("", 0, "not a shared access signature"),
    ],
)
def test_other_tokens_are_refused_with_the_reason(made: str, now: float, why: str) -> None:
    with pytest.raises(Refused, match=why) as caught:
        KEY.check(made, now)
    assert quote_plus("c2VjcmV0") not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("amqps://127.0.0.1:5672/Jobs", "jobs"),
        ("Jobs/$management", "jobs/$management"),
        ("sb://127.0.0.1:5672/jobs/$DeadLetterQueue", "jobs/$deadletterqueue"),
        ("$cbs", "$cbs"),
        ("/a/b/", "a/b"),
    ],
)
def test_addresses_are_paths_without_case(address: str, path: str) -> None:
    assert entity_path(address) == path
