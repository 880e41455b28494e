"""What a message may choose: the host's settings decide."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlgate.orchestration.addresses.allowlist import collection_allowed, path_allowed
from mlgate.orchestration.addresses.repository_urls import repository_url_allowed
from mlgate.orchestration.admission.allowed_models import ModelPolicy
from mlgate.orchestration.builds import PipelineAddress
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.findings import Code, finding, pointer
from mlgate.orchestration.wire.messages import Request, StartMessage
from mlgate.orchestration.wire.promotion import VerifyRequest


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The host's settings that messages are held to.

    Workspaces are written `subscription/resource-group/name`, collections as URL prefixes. The
    default backend and workspace are always allowed.
    """

    backend: str = "local"
    allowed_backends: tuple[str, ...] = ()
    workspace: str | None = None
    allowed_workspaces: tuple[str, ...] = ()
    allowed_collections: tuple[str, ...] = ()
    allowed_repositories: tuple[str, ...] = ()
    models: ModelPolicy = field(default_factory=ModelPolicy)

    def backend_of(self, message: StartMessage | None) -> str:
        """The host's default where the message, or its kind, names none."""
        return self.backend if message is None else message.backend or self.backend

    def workspace_of(self, message: StartMessage | None) -> str | None:
        """None on a backend that has no workspaces."""
        if self.backend_of(message) != "azureml":
            return None
        if message is None or message.workspace is None:
            return self.workspace
        return str(message.workspace)


def check(message: Request, policy: HostPolicy, address: PipelineAddress | None) -> list[Finding]:
    """What the message chooses and this host does not allow, each naming the setting.

    What a file of the repository chooses is not known yet: `ModelPolicy.refusal` says it later.
    """
    if isinstance(message, StartMessage):
        url = message.repository.url
        found = [*_of_backend(message, policy), *_of_repository(url, policy)]
        if message.promote is not None:
            found += _of_model(message.promote.model, url, "/promote/model", policy)
            found += _of_service(message.promote.verify, "/promote/verify/url", policy)
    else:
        found = _of_model(message.model, None, "/model", policy)
        found += _of_service(message.verify, "/verify/url", policy)
    if address is not None and not collection_allowed(address.plan_url, policy.allowed_collections):
        found.append(
            finding(
                Code.COLLECTION_NOT_ALLOWED,
                pointer("application-properties", "PlanUrl"),
                f"This host does not send callbacks to `{address.plan_url}`.",
                "Add its URL to MLGATE_ALLOWED_COLLECTIONS on the host.",
            )
        )
    return found


def _of_model(model: str, url: str | None, where: str, policy: HostPolicy) -> list[Finding]:
    refusal = policy.models.refusal(model, url, where)
    return [] if refusal is None else [refusal]


def _of_service(verify: VerifyRequest | None, where: str, policy: HostPolicy) -> list[Finding]:
    refusal = None if verify is None else policy.models.service_refusal(verify.url, where)
    return [] if refusal is None else [refusal]


def _of_repository(url: str, policy: HostPolicy) -> list[Finding]:
    allowed = policy.allowed_repositories
    if url.startswith("/"):
        fine = path_allowed(url, allowed)
    else:
        fine = repository_url_allowed(url, allowed)
    if fine:
        return []
    return [
        finding(
            Code.REPOSITORY_NOT_ALLOWED,
            "/repository/url",
            "This host does not clone that repository.",
            "Add its URL or path to MLGATE_ALLOWED_REPOSITORIES on the host.",
        )
    ]


def _of_backend(message: StartMessage, policy: HostPolicy) -> list[Finding]:
    backend = policy.backend_of(message)
    if backend not in (policy.backend, *policy.allowed_backends):
        return [
            finding(
                Code.BACKEND_NOT_ALLOWED,
                "/backend",
                f"This host does not allow the backend `{backend}`.",
                "Leave the field out, or add it to MLGATE_ALLOWED_BACKENDS on the host.",
            )
        ]
    if backend != "azureml":
        return []
    workspace = policy.workspace_of(message)
    if workspace is None:
        return [
            finding(
                Code.NO_WORKSPACE,
                "/workspace",
                "Neither the message nor this host names an Azure ML workspace.",
                "Give `workspace`, or set MLGATE_WORKSPACE on the host.",
            )
        ]
    allowed = {each.lower() for each in (policy.workspace, *policy.allowed_workspaces) if each}
    # Azure compares the three names without regard to case.
    if workspace.lower() not in allowed:
        return [
            finding(
                Code.WORKSPACE_NOT_ALLOWED,
                "/workspace",
                f"This host does not allow the workspace `{workspace}`.",
                "Leave the field out, or add it to MLGATE_ALLOWED_WORKSPACES on the host.",
            )
        ]
    return []
