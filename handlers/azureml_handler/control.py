"""The requests that this backend sends itself, without the SDK.

Importing `azure.ai.ml` costs over a second and 60 MB in every process, and its job list reads each
job into a schema. So what every look and every end of a run needs is asked for here:

- Jobs - List and Jobs - Get: how a build's jobs are, a page of them with one request;
- `rundata` of the run history, which the SDK's own download reads: when a run began and ended, and
  the error that a job does not tell;
- Datastores - Get and - List Secrets: where outputs are (`storage` reads them).

Code is registered here, too (Code Versions - Get, Create Or Get Start Pending Upload, Create Or
Update): the SDK has no public call for that, uploads anew from each of several threads, and
follows links. Submission and cancel go through the SDK (`submission`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RedirectPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest, HttpResponse

from handlers.azureml_handler.transport import ARM, Transport, seconds_asked
from handlers.azureml_handler.workspace import Workspace
from handlers.identity_faults import without_token
from mlgate.orchestration.errors import Permanent, Temporary, Throttled, UnfitHost

log = logging.getLogger("mlgate")

_SCOPE = f"{ARM}/.default"
# Those that the SDK 1.35 sends for the same resources.
_JOBS = "2024-01-01-preview"
_CODES = "2023-04-01"
_STORES = "2024-10-01-preview"
_WORKSPACES = "2024-10-01-preview"
_HISTORY = "v1.0"
_ACCESS_HOURS = 2
_DELAY = 10.0  # seconds, where the service does not say how long to wait


class Control:
    """One workspace's control plane and run history; safe for threads."""

    def __init__(
        self, workspace: Workspace, credential: TokenCredential, transport: Transport
    ) -> None:
        self._workspace = workspace
        self._history: str | None = None
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            ARM,
            transport=transport,
            policies=[
                HeadersPolicy(),
                UserAgentPolicy("mlgate"),
                RedirectPolicy(permit_redirects=False),
                RetryPolicy(retry_total=3, retry_backoff_factor=0.4),
                BearerTokenCredentialPolicy(credential, _SCOPE),
            ],
        )

    def jobs_with_tag(self, tag: str) -> Iterator[list[Mapping[str, Any]]]:
        """Pages of jobs that have the tag, the newest first."""
        query = {"api-version": _JOBS, "listViewType": "All", "tag": tag}
        url, params = f"{ARM}{self._workspace.path}/jobs", query
        seen = {""}
        while url not in seen:
            seen.add(url)
            page = self._send(HttpRequest("GET", url, params=params)) or {}
            yield page.get("value") or []
            url, params = page.get("nextLink") or "", {}
            if url and not _is_arm(url):
                log.warning("Azure ML led on to %s, which is not followed", url.split("?")[0])
                return

    def job(self, name: str) -> Mapping[str, Any] | None:
        """None when there is none of that name."""
        return self._get(f"jobs/{name}", _JOBS)

    def run(self, name: str) -> Mapping[str, Any] | None:
        """The `runMetadata` of a job's run: status, times (UTC, ISO 8601), error."""
        body = {"runId": name, "selectRunMetadata": True}
        url = f"{self._history_url()}/history/v1.0{self._workspace.path}/rundata"
        request = HttpRequest("POST", url, params={"api-version": _HISTORY}, json=body)
        found = self._send(request, missing=True)
        return None if found is None else found.get("runMetadata") or {}

    def code_id(self, name: str) -> str | None:
        """The id of a code version that is there already."""
        found = self._get(f"codes/{name}/versions/1", _CODES)
        return None if found is None else str(found["id"])

    def start_upload(self, name: str) -> tuple[str, str]:
        """A container for a code version's files: its address, and the same with the right to
        write there."""
        path = f"codes/{name}/versions/1/startPendingUpload"
        request = self._request(
            "POST", path, _CODES, {"pendingUploadType": "TemporaryBlobReference"}
        )
        place = (self._send(request) or {})["blobReferenceForConsumption"]
        return place["blobUri"], place["credential"]["sasUri"]

    def put_code(self, name: str, uri: str) -> str:
        """Register what was uploaded; returns the id. The first of several to do so counts."""
        body = {"properties": {"codeUri": uri, "isAnonymous": True}}
        try:
            found = self._send(self._request("PUT", f"codes/{name}/versions/1", _CODES, body))
        except Permanent:
            if there := self.code_id(name):
                return there
            raise
        return str((found or {})["id"])

    def datastore(self, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """A blob datastore's properties, and what gives access to it: nothing where it is the
        host's own identity that does.

        By the SDK's rule (azure-ai-ml, `get_datastore_info` of `_artifact_utilities.py`).
        """
        store = self._get(f"datastores/{name}", _STORES)
        if store is None:
            raise UnfitHost(f"The workspace {self._workspace} has no datastore {name}.")
        properties = store["properties"]
        if (properties.get("credentials") or {}).get("credentialsType") in (None, "None"):
            return properties, {}
        body = {"expirableSecret": True, "expireAfterHours": _ACCESS_HOURS}
        request = self._request("POST", f"datastores/{name}/listSecrets", _STORES, body)
        try:
            return properties, self._send(request) or {}
        except Permanent:
            return properties, {}

    def _history_url(self) -> str:
        """Where the workspace's region keeps run history: asked for once."""
        if self._history is None:
            workspace = self._get("", _WORKSPACES)
            if workspace is None:
                raise UnfitHost(f"There is no workspace {self._workspace}.")
            request = HttpRequest("GET", workspace["properties"]["discoveryUrl"])
            self._history = str((self._send(request) or {})["api"]).rstrip("/")
        return self._history

    def _get(self, path: str, version: str) -> Mapping[str, Any] | None:
        return self._send(self._request("GET", path, version), missing=True)

    def _request(
        self, method: str, path: str, version: str, body: Mapping[str, Any] | None = None
    ) -> HttpRequest:
        url = f"{ARM}{self._workspace.path}" + (f"/{path}" if path else "")
        return HttpRequest(method, url, params={"api-version": version}, json=body)

    def _send(self, request: HttpRequest, *, missing: bool = False) -> Mapping[str, Any] | None:
        """The answer's JSON; None for 404 where something may be `missing`."""
        with translated(str(self._workspace)):
            response = self._client.send_request(request)
            if missing and response.status_code == 404:
                return None
            response.raise_for_status()
            found: Mapping[str, Any] | None = response.json() if response.content else None
        return found


def _is_arm(url: str) -> bool:
    """Whether the host's token may go there."""
    there, arm = urlsplit(url), urlsplit(ARM)
    return (there.scheme, there.hostname) == (arm.scheme, arm.hostname) and (
        there.port in (None, 443)
    )


@contextmanager
def translated(workspace: str) -> Iterator[None]:
    """Azure's errors as ours; their texts hold no token, but the request of some does."""
    try:
        yield
    except HttpResponseError as error:
        if isinstance(error, ClientAuthenticationError) and error.response is None:
            raise without_token(error, "Azure ML") from error
        status = error.status_code or 0
        if status in (401, 403):
            raise UnfitHost(
                f"The host's identity may not do that in the workspace {workspace}: it needs the "
                f"role AzureML Data Scientist there. Azure ML says: {reason(error)}"
            ) from error
        if status == 404:
            raise UnfitHost(
                f"Not all is there in the workspace {workspace}: see that MLGATE_WORKSPACE, or the "
                f"message, names the right one. Azure ML says: {reason(error)}"
            ) from error
        if status == 429:
            raise Throttled("Azure ML does not answer (429).", _delay(error)) from error
        if status in (408, 409) or status >= 500 or not status:
            raise Temporary(f"Azure ML does not answer ({status}).", _delay(error)) from error
        raise Permanent(f"Azure ML refuses ({status}): {reason(error)}") from error
    except AzureError as error:
        raise Temporary(f"Azure ML cannot be reached: {type(error).__name__}.", _DELAY) from error


def reason(error: HttpResponseError) -> str:
    """The service's own sentence."""
    text = error.error.message if error.error is not None else error.reason
    return " ".join(str(text or "no reason").split())[:500]


def _delay(error: HttpResponseError) -> float:
    return max(_DELAY, seconds_asked(getattr(error.response, "headers", None) or {}))
