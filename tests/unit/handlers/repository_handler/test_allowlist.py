"""Which URLs lie within which prefixes, and which are no URLs for us at all."""

from __future__ import annotations

import pytest

from mlgate.orchestration.addresses.allowlist import collection_allowed, parse_url, url_allowed

AZURE = "https://dev.azure.com/org"
LOOPBACK = "http://127.0.0.1:8080/org"


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        (AZURE, AZURE),
        (f"{AZURE}/", AZURE),
        (AZURE, f"{AZURE}/"),
        (f"{AZURE}/project/_git/repo", AZURE),
        (f"{AZURE}/My%20Project/_git/repo", AZURE),
        (f"{AZURE}/My%20Project/_git/repo", f"{AZURE}/My%20Project"),
        (f"{AZURE}/caf%C3%A9/_git/repo", f"{AZURE}/caf%c3%a9"),
        (f"{AZURE}/%70roject", f"{AZURE}/project"),
        ("HTTPS://Dev.Azure.COM/org/x", AZURE),
        ("https://dev.azure.com:443/org/x", AZURE),
        ("https://dev.azure.com/org/x", "https://dev.azure.com"),
        ("https://dev.azure.com/org/x", "https://dev.azure.com:443/"),
        ("https://git.example.com:8443/a.git", "https://git.example.com:8443"),
        ("https://[2001:DB8:0::1]/a", "https://[2001:db8::1]"),
        (f"{LOOPBACK}/x", LOOPBACK),
        ("http://127.8.9.10/x", "http://127.8.9.10"),
        ("http://[::1]:99/x", "http://[0:0:0:0:0:0:0:1]:99"),
        ("ssh://git@github.com/org/x.git", "ssh://git@github.com/org"),
        ("ssh://git@github.com:22/org/x.git", "ssh://git@github.com/org"),
    ],
)
def test_within(url: str, prefix: str) -> None:
    assert url_allowed(url, ["https://unrelated.example", prefix], schemes=("https", "ssh"))


@pytest.mark.parametrize(
    "url",
    [
        # another host that looks the same
        "https://dev.azure.com.evil/org/x",
        "https://dev.azure.comx/org/x",
        "https://dev.azure.com./org/x",
        "https://xdev.azure.com/org/x",
        "https://dev-azure.com/org/x",
        "https://dev.azure.com@evil.example/org/x",
        "https://dev.azure.com:443@evil.example/org/x",
        "https://evil.example#@dev.azure.com/org/x",
        "https://evil.example?@dev.azure.com/org/x",
        "https://evil.example\\@dev.azure.com/org/x",
        "https://dev.azure.com\\@evil.example/org/x",
        "https://dev.azure.com%2eevil.example/org/x",
        "https://dev.azure.com%00.evil.example/org/x",
        "https://dev\uff0eazure\uff0ecom/org/x",
        "https://dev\u3002azure.com/org/x",
        "https://d\u0435v.azure.com/org/x",
        "https://dev..azure.com/org/x",
        "https://.dev.azure.com/org/x",
        "https://-dev.azure.com/org/x",
        # another port, scheme or way in
        "https://dev.azure.com:8443/org/x",
        "https://dev.azure.com:0443/org/x",
        "https://dev.azure.com:/org/x",
        "https://dev.azure.com:65979/org/x",
        "https://dev.azure.com:4 43/org/x",
        "http://dev.azure.com/org/x",
        "http://dev.azure.com:443/org/x",
        "ftp://dev.azure.com/org/x",
        "git://dev.azure.com/org/x",
        "ext::sh -c x https://dev.azure.com/org",
        "file:///https://dev.azure.com/org",
        "https:dev.azure.com/org/x",
        "https:/dev.azure.com/org/x",
        "https:///dev.azure.com/org/x",
        "//dev.azure.com/org/x",
        "dev.azure.com/org/x",
        "https://user@dev.azure.com/org/x",
        "https://user:password@dev.azure.com/org/x",
        "https://@dev.azure.com/org/x",
        "ssh://-oProxyCommand=x@dev.azure.com/org/x",
        "ssh://-oProxyCommand=x/org/x",
        "git@dev.azure.com:org/x",
        "--upload-pack=https://dev.azure.com/org/x",
        # another folder
        "https://dev.azure.com",
        "https://dev.azure.com/",
        "https://dev.azure.com/organization",
        "https://dev.azure.com/or",
        "https://dev.azure.com/Org/x",
        "https://dev.azure.com/other/../org/x",
        "https://dev.azure.com/org/../other",
        "https://dev.azure.com/org/%2e%2e/other",
        "https://dev.azure.com/org/.%2E/other",
        "https://dev.azure.com/org/%252e%252e/other",
        "https://dev.azure.com/org/./x",
        "https://dev.azure.com//org/x",
        "https://dev.azure.com/org//x",
        "https://dev.azure.com/org%2Fx",
        "https://dev.azure.com/org/x%5c..%5cy",
        "https://dev.azure.com/org\\x",
        "https://dev.azure.com/org;/../x",
        "https://dev.azure.com/org?x",
        "https://dev.azure.com/org/x?a=b",
        "https://dev.azure.com/org/x#y",
        "https://dev.azure.com/org/%zz",
        "https://dev.azure.com/org/%ff",
        "https://dev.azure.com/org/%0a",
        "https://dev.azure.com/org/%00",
        # what a terminal or a parser may swallow
        " https://dev.azure.com/org/x",
        "https://dev.azure.com/org/x ",
        "https://dev.azure.com/org/x\n",
        "https://dev.azure.com/org/x\r\nHost: evil",
        "https://dev.azure.com/org/\tx",
        "https://dev.azure.com/org/x\0",
        "ht\ntps://dev.azure.com/org/x",
        "https://dev.azure.com/org/\u202ex",
        "",
    ],
)
def test_not_within(url: str) -> None:
    assert not url_allowed(url, [AZURE], schemes=("https", "ssh"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1.example.com",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "[::1%25lo]",
        "example.com",
    ],
)
def test_http_is_for_loopback_literals_only(host: str) -> None:
    assert not url_allowed(f"http://{host}/x", [f"http://{host}"])


def test_loopback_needs_to_be_listed_too() -> None:
    assert not url_allowed("http://127.0.0.1:8080/x", [AZURE])
    assert not url_allowed("http://127.0.0.1:8081/org", [LOOPBACK])
    assert not url_allowed("https://127.0.0.1:8080/org", [LOOPBACK])


def test_a_scheme_that_was_not_asked_for_is_refused_even_when_listed() -> None:
    assert not url_allowed("ssh://git@github.com/x", ["ssh://git@github.com"])


def test_the_ssh_user_is_part_of_the_address() -> None:
    prefixes = ["ssh://git@github.com/org"]
    for url in ("ssh://github.com/org/x", "ssh://root@github.com/org/x"):
        assert not url_allowed(url, prefixes, schemes=("ssh",))


@pytest.mark.parametrize(
    "prefix", ["", "*", "https://", "dev.azure.com", "https://*.azure.com", "/"]
)
def test_a_prefix_that_is_no_url_allows_nothing(prefix: str) -> None:
    assert not url_allowed(f"{AZURE}/x", [prefix])


NEW, OLD = "https://dev.azure.com/contoso/", "https://contoso.visualstudio.com/"


@pytest.mark.parametrize("prefix", [NEW, OLD, "https://dev.azure.com/Contoso"])
@pytest.mark.parametrize(
    "url", [NEW, OLD, "https://dev.azure.com/CONTOSO/", f"{OLD}DefaultCollection/"]
)
def test_an_organization_is_the_same_however_it_is_written(url: str, prefix: str) -> None:
    assert collection_allowed(url, [prefix])


@pytest.mark.parametrize(
    "url",
    [
        "https://fabrikam.visualstudio.com/",
        "https://dev.azure.com/",
        "https://dev.azure.com/fabrikam/contoso/",
        "https://dev.azure.com/contoso.visualstudio.com/",
        "https://contoso.visualstudio.com.example.org/",
        "https://x.contoso.visualstudio.com/",
        "https://contoso.visualstudio.com:8443/",
        "http://contoso.visualstudio.com/",
        "ssh://contoso.visualstudio.com/",
        "https://me@contoso.visualstudio.com/",
        "https://visualstudio.com/contoso/",
    ],
)
@pytest.mark.parametrize("prefix", [NEW, OLD])
def test_another_organization_is_not(url: str, prefix: str) -> None:
    assert not collection_allowed(url, [prefix])


def test_collections_elsewhere_are_compared_as_any_url() -> None:
    own = "https://devops.example.org/tfs/Collection/"
    assert collection_allowed(own, [own])
    assert not collection_allowed(own.lower(), [own])
    assert collection_allowed("http://127.0.0.1:8080/contoso/", ["http://127.0.0.1:8080/"])
    assert not collection_allowed("https://dev.azure.com/contoso/", ["http://127.0.0.1:8080/"])


def test_all_organizations_are_not_all_that_are_called_alike() -> None:
    every = ["https://dev.azure.com/"]
    assert collection_allowed("https://dev.azure.com/contoso/", every)
    assert not collection_allowed("https://marketplace.visualstudio.com/", every)
    kelvin = "https://dev.azure.com/%E2%84%AAontoso/"  # its lower case is a k
    assert not collection_allowed(kelvin, ["https://dev.azure.com/kontoso/"])


def test_an_address_is_told_apart() -> None:
    address = parse_url("HTTPS://Dev.Azure.com/org/My%20Project/")
    assert address is not None
    assert address.host == "dev.azure.com"
    assert address.port == 443
    assert address.segments == ("org", "My Project")
