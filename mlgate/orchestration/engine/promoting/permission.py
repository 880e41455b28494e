"""Whether a commit may change a model: the host's setting says so, and the repository itself."""

from __future__ import annotations

from mlgate.orchestration.admission.allowed_models import ANY, SETTING, ModelPolicy
from mlgate.orchestration.builds import Build
from mlgate.orchestration.errors import BadMessage, Permanent, UnfitHost
from mlgate.orchestration.findings import Code, finding
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.promotions import Verify


def require_service(policy: ModelPolicy, verify: Verify | None, where: str) -> None:
    """Raises `BadMessage` unless the host may ask the server; `where` points to its URL."""
    if verify is not None and (refusal := policy.service_refusal(verify.url, where)):
        raise BadMessage([refusal])


def require(
    ports: Ports, policy: ModelPolicy, asks: Build, source: Build, model: str, where: str
) -> None:
    """Raises `BadMessage` unless the commit of `source` may change the model.

    The repository is asked for its branches, not the message, with the token of `asks`, the build
    that wants the change. `where` points to the model's name.
    """
    repository, commit = source.repository, source.commit
    assert repository is not None
    assert commit is not None
    if refusal := policy.refusal(model, repository.url, where):
        raise BadMessage([refusal])
    branches = policy.branches(model, repository.url)
    if branches is None or branches is ANY:
        return
    collection = asks.pipeline.plan_url if asks.pipeline else None
    token = ports.state.token(asks.key) if asks.pipeline else None
    absent: Permanent | None = None
    for branch in sorted(branches):
        try:
            if ports.repository.contains(
                repository, commit, branch, collection=collection, token=token
            ):
                return
        except UnfitHost:
            raise
        except Permanent as error:  # perhaps there is no such branch, and another one has it
            absent = error
    if absent is not None:
        raise absent
    names = " or ".join(f"`{branch}`" for branch in sorted(branches))
    raise BadMessage(
        [
            finding(
                Code.MODEL_NOT_ALLOWED,
                where,
                f"The commit {commit[:12]} is not on {names}, and only commits there may change "
                f"the model `{model}`.",
                f"Merge it first, or change {SETTING} on the host.",
            )
        ]
    )
