"""Matches requests to routes: host, method, path, api-version, query keys and body."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlgate.emulators.azure_ml.exchange import REGION, Answer, Refusal, Request
from mlgate.emulators.azure_ml.execution import Compute
from mlgate.emulators.azure_ml.shapes import Complaints, Reader, check
from mlgate.emulators.azure_ml.storage import Storage
from mlgate.emulators.azure_ml.tokens import Tokens
from mlgate.emulators.azure_ml.workspace import PROVIDER, Workspace

ARM = "management.azure.com"
LOGIN = "login.microsoftonline.com"
API = f"{REGION}.api.azureml.ms"
HOSTS = (ARM, LOGIN, API)
WORKSPACE = (
    f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}"
    "/workspaces/{workspace}"
)


@dataclass(frozen=True, slots=True)
class Service:
    """What routes use."""

    workspace: Workspace
    storage: Storage
    compute: Compute
    tokens: Tokens


@dataclass(slots=True)
class Call:
    """A matched request; `body` is the checked JSON, or None if the route accepts none."""

    request: Request
    groups: Mapping[str, str]
    service: Service
    now: datetime
    body: Any = None
    violations: list[str] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return self.service.workspace

    def violation(self, what: str) -> None:
        self.violations.append(what)


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the service; `name` is its name in faults and in the list of requests.

    `versions` are the api-versions that the unmodified SDK 1.35.2 and the recording send, empty if
    they send none. `source` is the recording that shows the request, or "SDK" if only the SDK does.
    """

    name: str
    method: str
    host: str
    path: re.Pattern[str]
    versions: tuple[str, ...]
    source: str
    answer: Callable[[Call], Answer]
    shape: Reader | None
    query: frozenset[str]
    content_type: str | None
    public: bool


def route(
    name: str,
    request: str,
    versions: tuple[str, ...],
    source: str,
    answer: Callable[[Call], Answer],
    *,
    shape: Reader | None = None,
    query: tuple[str, ...] = (),
    host: str = ARM,
    content_type: str | None = None,
    public: bool = False,
) -> Route:
    """A route from `METHOD path`, where `{name}` is a segment; `public` routes need no token."""
    method, template = request.split(" ", 1)
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
    keys = frozenset(query) | ({"api-version"} if versions else set())
    expected = content_type or ("application/json" if shape is not None else None)
    path = re.compile(pattern)
    return Route(name, method, host, path, versions, source, answer, shape, keys, expected, public)


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    groups: Mapping[str, str]


def match_route(routes: tuple[Route, ...], request: Request) -> Match | None:
    for candidate in routes:
        if (candidate.host, candidate.method) != (request.host, request.method):
            continue
        found = candidate.path.fullmatch(request.path)
        if found:
            return Match(candidate, found.groupdict())
    return None


def read_body(call: Call, shape: Reader) -> Any:
    """The JSON body; Refusal 400 as test_command_job_register_output recorded it."""
    complaints = Complaints()
    try:
        body = json.loads(call.request.body)
    except ValueError:
        complaints.add("Unexpected character encountered while parsing value.", "")
        body = None
    else:
        check(body, shape, complaints)
    for detail in complaints.details:
        call.violation(detail.message)
    if complaints.details:
        raise Refusal(
            400,
            "UserError",
            "Request is invalid and/or missing fields.",
            details=tuple(complaints.details),
            inner=("RequestInvalid",),
        )
    return body


def require_workspace(call: Call) -> None:
    """Raise ARM's refusals of an unknown subscription, group or workspace."""
    workspace, groups = call.workspace, call.groups
    if "subscription" in groups and groups["subscription"] != workspace.subscription_id:
        name = groups["subscription"]
        raise Refusal(404, "SubscriptionNotFound", f"The subscription '{name}' could not be found.")
    if "group" in groups and groups["group"].lower() != workspace.resource_group.lower():
        name = groups["group"]
        raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    if "workspace" in groups and groups["workspace"].lower() != workspace.name.lower():
        raise Refusal(
            404,
            "ResourceNotFound",
            f"The Resource '{PROVIDER}/workspaces/{groups['workspace']}' under resource group "
            f"'{groups['group']}' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
        )
