"""The stand-in of Azure Repos under the service's own address, for whoever starts from here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlgate.emulators.azure_ml.certificates import make_certificates
from mlgate.emulators.azure_ml.proxy import Proxy
from tests.servers.azure_repos import AzureReposServer, azure_repos_server

HOST = "dev.azure.com"


@contextmanager
def azure_repos_at_home(
    root: Path, secrets: Path, variables: pytest.MonkeyPatch
) -> Iterator[AzureReposServer]:
    """`https://dev.azure.com` leads here, over TLS, by the proxy and the authority of `variables`.

    No other host can be reached by https, and it is a failure to ask for one.
    """
    certificates = make_certificates(secrets, (HOST,))
    with azure_repos_server(root, certificates.server_context()) as running:
        refused = list[str]()
        proxy = Proxy((HOST,), running.port, refused.append)
        proxy.start()
        for name in ("NO_PROXY", "no_proxy", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"):
            variables.delenv(name, raising=False)
        for name in ("HTTPS_PROXY", "https_proxy"):
            variables.setenv(name, proxy.url)
        variables.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
        try:
            yield running
        finally:
            proxy.stop()
        assert refused == []
