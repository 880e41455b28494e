"""An address that no host can clone is found when the message is read, not when it runs."""

from __future__ import annotations

import pytest

from handlers.repository_handler.remote import Remotes
from mlgate.orchestration.addresses.repository_urls import shown
from mlgate.orchestration.errors import Permanent
from tests.unit.orchestration.wire.samples import body, refused, request

SECRET = "hunter2hunter2"

REFUSED = [
    # address, code, words of the remedy
    ("sales", "bad-format", "https://"),
    ("github.com/a/b", "bad-format", "https://"),
    ("git@github.com:a/b", "bad-format", "ssh://git@host/path"),
    ("--upload-pack=x", "bad-format", "https://"),
    ("https://", "bad-format", "https://"),
    ("/srv/a\nb", "bad-format", "https://"),
    (f"https://u:{SECRET}@github.com/a/b", "secret-in-url", "revoke"),
    (f"https://:{SECRET}@github.com/a/b", "secret-in-url", "revoke"),
    (f"http://u:{SECRET}@127.0.0.1/a/b", "secret-in-url", "revoke"),
    (f"https://u:{SECRET}@x@github.com/a/b", "secret-in-url", "revoke"),
    (f"ssh://git:{SECRET}@github.com/a/b", "secret-in-url", "MLGATE_GIT_CREDENTIALS"),
    (f"ftp://u:{SECRET}@github.com/a/b", "secret-in-url", "MLGATE_GIT_CREDENTIALS"),
    (f"https://ghp_{SECRET}@github.com/a/b", "secret-in-url", "revoke"),
    (f"https://{SECRET * 4}@dev.azure.com/o/p/_git/r", "secret-in-url", "revoke"),
    (f"https://github.com/a/b?token={SECRET}", "secret-in-url", "revoke"),
    (f"https://github.com/a/b?v=1&access_token={SECRET}", "secret-in-url", "revoke"),
    (f"https://x.blob.core.windows.net/a?sv=1&SIG={SECRET}", "secret-in-url", "revoke"),
    ("file:///srv/repositories/sales", "bad-format", "absolute path"),
    ("git://github.com/a/b", "bad-format", "https or ssh"),
    ("ftp://github.com/a/b", "bad-format", "https or ssh"),
    ("ext::sh -c x https://github.com/a", "bad-format", "https://"),
    ("http://github.com/a/b", "bad-format", "https"),
    ("http://localhost:8080/a/b", "bad-format", "127.0.0.1"),
    ("https://dev.azure.com/o/p/_git/r?version=GBmain&path=/x", "bad-format", "`ref`"),
    ("https://github.com/a/b#readme", "bad-format", "`ref`"),
    ("https://me@github.com/a/b", "bad-format", "user name"),
    ("https://me@dev.azure.com/contoso/p/_git/r", "bad-format", "user name"),
    ("https://dev.azure.com/contoso/My Project/_git/r", "bad-format", "%20"),
    ("https://dev.azure.com/contoso/Über/_git/r", "bad-format", "Percent-encode"),
    ("https://github.com/a/../b", "bad-format", "`..`"),
    ("https://github.com//a/b", "bad-format", "doubled"),
    ("https://github.com:99999/a/b", "bad-format", "port"),
    ("ssh://-oProxyCommand=x/a", "bad-format", "path"),
    ("ssh://git@host/srv/x';touch%20pwned;'", "bad-format", "https"),
    ("ssh://git@host/srv/%27;id;%27", "bad-format", "Rename"),
    ("ssh://git@host/it's/b", "bad-format", "quotation mark"),
    ("ssh://git@host/a%22b", "bad-format", "quotation mark"),
    ("ssh://git@host/a/%60id%60", "bad-format", "quotation mark"),
]

TAKEN = [
    "https://github.com/a/b.git",
    "HTTPS://GitHub.com:443/a/b/",
    "https://contoso@dev.azure.com/contoso/p/_git/r",
    "https://dev.azure.com/contoso/My%20Project/_git/r",
    "https://git.example.org/~me/@team/b",
    "http://127.0.0.1:8080/a/b",
    "http://[::1]/a",
    "ssh://git@github.com/a/b",
    "ssh://git@ssh.dev.azure.com/v3/contoso/p/r",
    "ssh://github.com:2222/a",
    "https://git.example.org/it's/b",
    "/srv/my repositories/sales?#@",
]


@pytest.mark.parametrize(("url", "code", "words"), REFUSED)
def test_an_address_that_cannot_be_cloned_is_one_finding_without_its_secret(
    url: str, code: str, words: str
) -> None:
    [found] = refused(body(request(repository={"url": url})))

    assert (found.code, found.pointer) == (code, "/repository/url")
    assert words in f"{found.message} {found.remedy}"
    assert SECRET not in str(found)


@pytest.mark.parametrize("url", [url for url, *_ in REFUSED if not url.startswith("/")])
def test_what_a_message_may_not_name_the_handler_does_not_clone(url: str) -> None:
    with pytest.raises(Permanent, match="cannot be cloned") as refused:
        Remotes([url], (), None).open(url, None, None)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", TAKEN)
def test_what_a_message_may_name_the_handler_clones_where_the_host_allows_it(url: str) -> None:
    prefix = url.replace("contoso@", "")

    assert refused(body(request(repository={"url": url}))) == ()
    assert Remotes([prefix], (), None).open(url, None, None)
    with pytest.raises(Permanent, match="MLGATE_ALLOWED_REPOSITORIES"):
        Remotes(["https://unrelated.example"], (), None).open(url, None, None)


@pytest.mark.parametrize(
    "url",
    [
        f"user:{SECRET}@host:path",
        f"https://user:{'x' * 300}{SECRET}@host/path",
        f"https://u:{SECRET}/x@host/path",
        f"https://host/path?q={SECRET}",
        f"https://host/path#{SECRET}",
    ],
)
def test_a_refused_address_is_shown_without_what_may_be_secret(url: str) -> None:
    assert SECRET not in shown(url)
    assert "***" in shown(url)


def test_a_refused_address_is_shown_without_control_characters() -> None:
    assert shown("https://host/\x1b[31m\n") == r"'https://host/\x1b[31m\n'"
