"""The requests that this backend sends itself, without the SDK.

Importing `azure.ai.ml` costs over a second and 60 MB in every process, and its job list parses each
job into a schema. So the requests that every look and every end of a run needs are made here:

- Jobs - List and Jobs - Get: the state of a build's jobs, a page of them with one request;
- `rundata` of the run history, which the SDK's own download reads: when a run began and ended, and
  the error that a job does not show;
- Datastores - Get and - List Secrets: where outputs are (`storage` reads them).

Code is registered here, too (Code Versions - Get, Create Or Get Start Pending Upload, Create Or
Update): the SDK has no public call for that, uploads again from each of several threads, and
follows links. Jobs are submitted and canceled through the SDK (`submission`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
)
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RedirectPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest, HttpResponse

from handlers.azureml_handler.answers import mapping, part, text, unreadable
from handlers.azureml_handler.transport import ARM, Transport, seconds_asked
from handlers.azureml_handler.workspace import Workspace
from handlers.identity_faults import without_token
from mlgate.orchestration.errors import Permanent, Temporary, Throttled, UnfitHost

log = logging.getLogger("mlgate")

_SCOPE = f"{ARM}/.default"
# The API versions that the SDK 1.35 sends for the same resources.
_JOBS = "2024-01-01-preview"
_CODES = "2023-04-01"
_STORES = "2024-10-01-preview"
_WORKSPACES = "2024-10-01-preview"
_COMPUTES = "2023-08-01-preview"
_ENVIRONMENTS = "2023-04-01-preview"
_CANCELS = "2023-04-01-preview"
_MODELS = "2023-08-01-preview"
_HISTORY = "v1.0"
_ACCESS_HOURS = 2
_MOST_PAGES = 20
# For requests about models, since a verdict waits for them.
_BRIEFLY: Mapping[str, Any] = {"read_timeout": 30, "retry_total": 1}
_DELAY = 10.0  # seconds, if the service does not say how long to wait


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

    def workspace(self) -> Mapping[str, Any]:
        """Raises UnfitHost if it does not exist."""
        workspace = self._get("", _WORKSPACES)
        if workspace is None:
            raise UnfitHost(f"There is no workspace {self._workspace}.")
        return workspace

    def compute(self, name: str) -> Mapping[str, Any] | None:
        """The `properties` of a compute; None if it does not exist."""
        found = self._get(f"computes/{name}", _COMPUTES)
        return None if found is None else mapping(found.get("properties"), "properties")

    def has_environment(self, name: str, version: str) -> bool:
        return self._get(f"environments/{name}/versions/{version}", _ENVIRONMENTS) is not None

    def try_to_cancel(self, name: str) -> None:
        """Cancel a job that does not exist; raises UnfitHost without the right to cancel jobs."""
        self._found(self._request("POST", f"jobs/{name}/cancel", _CANCELS))

    def jobs_with_tag(self, tag: str) -> Iterator[list[Mapping[str, Any]]]:
        """Pages of jobs that have the tag, the newest first."""
        query = {"api-version": _JOBS, "listViewType": "All", "tag": tag}
        for page in self._pages("jobs", query, missing=()):
            yield [_job(job) for job in page]

    def model_versions(self, model: str) -> list[Mapping[str, Any]]:
        """The versions of a model, archived ones as well; none if the model does not exist."""
        query = {"api-version": _MODELS, "listViewType": "All"}
        pages = self._pages(f"models/{model}/versions", query, missing=(404,), **_BRIEFLY)
        return [mapping(each, "a model") for page in islice(pages, _MOST_PAGES) for each in page]

    def put_model(self, model: str, version: str, properties: Mapping[str, Any]) -> None:
        """Create a model's version, or change those of its properties that can change."""
        path = f"models/{model}/versions/{version}"
        request = self._request("PUT", path, _MODELS, {"properties": properties})
        self._found(request, missing=(), **_BRIEFLY)

    def _pages(
        self, path: str, query: Mapping[str, str], missing: Collection[int], **options: Any
    ) -> Iterator[list[Mapping[str, Any]]]:
        """The pages of a list; none for a status in `missing`."""
        url, params = f"{ARM}{self._workspace.path}/{path}", dict(query)
        seen = {""}
        while url not in seen:
            seen.add(url)
            page = self._found(HttpRequest("GET", url, params=params), missing, **options)
            if page is None:
                return
            found = page.get("value")
            if not isinstance(found, list):
                raise unreadable("it is not a list")
            yield found
            url, params = text(page, "nextLink") if page.get("nextLink") else "", {}
            if url and not _is_arm(url):
                log.warning("Azure ML's next page, %s, is not followed", url.split("?")[0])
                return

    def job(self, name: str) -> Mapping[str, Any] | None:
        """None if it does not exist."""
        found = self._get(f"jobs/{name}", _JOBS)
        return None if found is None else _job(found)

    def run(self, name: str) -> Mapping[str, Any] | None:
        """The `runMetadata` of a job's run: status, times (UTC, ISO 8601), error."""
        body = {"runId": name, "selectRunMetadata": True}
        url = f"{self._history_url()}/history/v1.0{self._workspace.path}/rundata"
        request = HttpRequest("POST", url, params={"api-version": _HISTORY}, json=body)
        found = self._found(request)
        if found is None:
            return None
        text(found, "runMetadata", "status")
        return mapping(found["runMetadata"], "runMetadata")

    def code_id(self, name: str) -> str | None:
        """The id of a code version; None if it does not exist."""
        found = self._get(f"codes/{name}/versions/1", _CODES)
        return None if found is None else text(found, "id")

    def start_upload(self, name: str) -> tuple[str, str | None]:
        """A container for a code version's files: its address, and the address with a signature to
        write there, or None if storage accepts identities alone."""
        path = f"codes/{name}/versions/1/startPendingUpload"
        request = self._request(
            "POST", path, _CODES, {"pendingUploadType": "TemporaryBlobReference"}
        )
        place = self._sent(request).get("blobReferenceForConsumption")
        return text(place, "blobUri"), part(place, "credential", "sasUri") or None

    def put_code(self, name: str, uri: str) -> str:
        """Register the uploaded files; returns the id. If several hosts do so, the first counts."""
        body = {"properties": {"codeUri": uri, "isAnonymous": True}}
        try:
            found = self._sent(self._request("PUT", f"codes/{name}/versions/1", _CODES, body))
        except Permanent:
            if there := self.code_id(name):
                return there
            raise
        return text(found, "id")

    def datastore(self, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """A blob datastore's properties, and its secrets: none if the host's own identity has
        access.

        Follows the SDK's rule (azure-ai-ml, `get_datastore_info` of `_artifact_utilities.py`).
        """
        store = self._get(f"datastores/{name}", _STORES)
        if store is None:
            raise UnfitHost(f"The workspace {self._workspace} has no datastore {name}.")
        properties = mapping(store.get("properties"), "properties")
        if part(properties, "credentials", "credentialsType") in (None, "None"):
            return properties, {}
        body = {"expirableSecret": True, "expireAfterHours": _ACCESS_HOURS}
        request = self._request("POST", f"datastores/{name}/listSecrets", _STORES, body)
        try:
            secrets = self._sent(request)
        except Permanent:
            return properties, {}
        text(secrets, "secretsType")
        return properties, secrets

    def _history_url(self) -> str:
        """The URL of the run history in the workspace's region; requested once."""
        if self._history is None:
            request = HttpRequest("GET", text(self.workspace(), "properties", "discoveryUrl"))
            self._history = text(self._sent(request), "api").rstrip("/")
        return self._history

    def _get(self, path: str, version: str) -> Mapping[str, Any] | None:
        return self._found(self._request("GET", path, version))

    def _request(
        self, method: str, path: str, version: str, body: Mapping[str, Any] | None = None
    ) -> HttpRequest:
        url = f"{ARM}{self._workspace.path}" + (f"/{path}" if path else "")
        return HttpRequest(method, url, params={"api-version": version}, json=body)

    def _sent(self, request: HttpRequest) -> Mapping[str, Any]:
        """The answer, a JSON object."""
        found = self._found(request, missing=())
        assert found is not None
        return found

    def _found(
        self, request: HttpRequest, missing: Collection[int] = (404,), **options: Any
    ) -> Mapping[str, Any] | None:
        """The answer, a JSON object; None for a status in `missing`."""
        with translated(str(self._workspace)):
            response = self._client.send_request(request, **options)
            if response.status_code in missing:
                return None
            response.raise_for_status()
            try:
                found = response.json()
            except (ValueError, RecursionError) as error:
                raise unreadable("it is not JSON") from error
        return mapping(found, "it")


def _job(value: Any) -> Mapping[str, Any]:
    text(value, "name")
    text(value, "properties", "status")
    return mapping(value, "a job")


def _is_arm(url: str) -> bool:
    """Whether the host's token may be sent there."""
    try:
        there, port = urlsplit(url), urlsplit(url).port
    except ValueError:  # not a URL
        return False
    arm = urlsplit(ARM)
    same = (there.scheme, there.hostname) == (arm.scheme, arm.hostname)
    return same and port in (None, 443)


@contextmanager
def translated(workspace: str) -> Iterator[None]:
    """Raise Azure's errors as mlgate's own; their texts hold no token, but some requests do."""
    try:
        yield
    except HttpResponseError as error:
        if isinstance(error, ClientAuthenticationError) and error.response is None:
            raise without_token(error, "Azure ML") from error
        status = error.status_code or 0
        if isinstance(error, DecodeError) or 200 <= status < 400:
            raise unreadable(type(error).__name__) from error
        if status in (401, 403):
            raise UnfitHost(
                f"The host's identity may not do that in the workspace {workspace}. Give it the "
                f"role AzureML Data Scientist there. Azure ML says: {reason(error)}"
            ) from error
        if status == 404:
            raise UnfitHost(
                f"Something is missing in the workspace {workspace}. Check that MLGATE_WORKSPACE, "
                f"or the message, names the right one. Azure ML says: {reason(error)}"
            ) from error
        if status == 429:
            raise Throttled("Azure ML does not answer (429).", _delay(error)) from error
        if status in (408, 409) or status >= 500 or not status:
            raise Temporary(f"Azure ML does not answer ({status}).", _delay(error)) from error
        raise Permanent(f"Azure ML refuses ({status}): {reason(error)}") from error
    except (AzureError, requests.RequestException) as error:
        raise Temporary(f"Azure ML cannot be reached: {type(error).__name__}.", _DELAY) from error


def reason(error: HttpResponseError) -> str:
    """The service's own sentence."""
    text = error.error.message if error.error is not None else error.reason
    return " ".join(str(text or "no reason").split())[:500]


def _delay(error: HttpResponseError) -> float:
    return max(_DELAY, seconds_asked(getattr(error.response, "headers", None) or {}))
