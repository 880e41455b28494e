"""A client that says exactly what a test wants said, mistakes included."""

from __future__ import annotations

from typing import Any

import requests

from mlgate.emulators.azure_ml import AzureML

ARM = "https://management.azure.com"
ENVIRONMENT = "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33"


class Client:
    """Speaks to one workspace through its proxy, with a good token unless told otherwise."""

    def __init__(self, server: AzureML) -> None:
        self.server = server
        variables = server.environment
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies = {"https": variables["HTTPS_PROXY"]}
        self.session.verify = variables["REQUESTS_CA_BUNDLE"]
        self.variables = variables
        self.workspace = ARM + server.workspace.path
        self.history = f"https://westeurope.api.azureml.ms/history/v1.0{server.workspace.path}"
        self.token = self.sign_in().json()["access_token"]

    def sign_in(self, tenant: str | None = None, **changes: str) -> requests.Response:
        form = {
            "client_id": self.variables["AZURE_CLIENT_ID"],
            "client_secret": self.variables["AZURE_CLIENT_SECRET"],
            "grant_type": "client_credentials",
            "client_info": "1",
            "scope": "https://management.azure.com/.default",
            **changes,
        }
        tenant = tenant or self.variables["AZURE_TENANT_ID"]
        url = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
        return self.session.post(url, data=form, timeout=30)

    def send(
        self, method: str, url: str, version: str | None = None, **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        params = {**options.pop("params", {}), **({"api-version": version} if version else {})}
        timeout = options.pop("timeout", 30)
        return self.session.request(
            method, url, headers=headers, params=params, timeout=timeout, **options
        )

    def read(self, url: str) -> requests.Response:
        """As whoever has the address alone."""
        return self.session.get(url, timeout=30)

    def put_job(
        self, name: str, command: str | None = "true", *, within: Any = None, **changes: Any
    ) -> requests.Response:
        """`within` are members beside `properties`."""
        properties = {
            "jobType": "Command",
            "command": command,
            "environmentId": ENVIRONMENT,
            "experimentName": "tests",
            **changes,
        }
        return self.send(
            "PUT",
            f"{self.workspace}/jobs/{name}",
            "2025-01-01-preview",
            json={"properties": properties, **(within or {})},
        )

    def get_job(self, name: str) -> requests.Response:
        return self.send("GET", f"{self.workspace}/jobs/{name}", "2024-01-01-preview")

    def list_jobs(self, **params: str) -> requests.Response:
        return self.send("GET", f"{self.workspace}/jobs", "2024-01-01-preview", params=params)

    def cancel_job(self, name: str) -> requests.Response:
        return self.send("POST", f"{self.workspace}/jobs/{name}/cancel", "2023-04-01-preview")

    def run(self, name: str) -> Any:
        """What run history tells of a job."""
        body = {"runId": name, "selectRunMetadata": True}
        return self.send("POST", f"{self.history}/rundata", "v1.0", json=body).json()["runMetadata"]
