"""`mlgate validate`: everything wrong with a message and, if asked, with its repository."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mlgate.hosts.locally import localized
from mlgate.hosts.settings import Settings
from mlgate.orchestration.allowlist import without_azure_user
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import BadMessage, Finding, Permanent, Temporary
from mlgate.orchestration.findings import Code, finding
from mlgate.orchestration.messages import StartMessage
from mlgate.orchestration.plan import plan
from mlgate.orchestration.preflight import preflight


def validate(options: argparse.Namespace) -> Sequence[Finding]:
    """All findings; a repository that cannot be had is one."""
    try:
        message, _ = localized(options)
        return _checked_out(message) if options.checkout else _alone(message)
    except BadMessage as error:
        return error.findings


def _alone(message: StartMessage) -> Sequence[Finding]:
    plan(message, None)
    return ()


def _checked_out(message: StartMessage) -> Sequence[Finding]:
    from handlers.repository_handler import GitCredential, RepositoryHandler

    settings = Settings.read()
    repository = RepositoryHandler(
        home=settings.home,
        allowed=(without_azure_user(message.repository.url),),
        credentials=[GitCredential(*entry) for entry in settings.git_credentials],
    )
    asked = message.repository
    request = RepositoryRequest(
        asked.url, asked.ref, asked.subdirectory, asked.submodules, asked.lfs
    )
    try:
        with repository.checkout(request) as tree:
            return preflight(plan(message, tree), tree)
    except (Permanent, Temporary) as error:
        remedy = "Correct its address or ref, or leave out --checkout."
        return [finding(Code.UNAVAILABLE_REPOSITORY, "/repository", str(error), remedy)]
