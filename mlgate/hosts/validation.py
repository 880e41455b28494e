"""`mlgate validate`: all problems in a message and, with `--checkout`, in its repository."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from mlgate.hosts.locally import allowed_here, localized
from mlgate.hosts.settings import Settings
from mlgate.hosts.usage import read_message
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import BadMessage, Finding, Permanent, Temporary
from mlgate.orchestration.findings import Code, finding
from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.planning.preflight import (
    Added,
    added,
    kernel_warnings,
    preflight,
    warnings,
)
from mlgate.orchestration.wire.messages import StartMessage


@dataclass(frozen=True, slots=True)
class Validation:
    """A message with only warnings is valid; `adds` are runs that mlgate adds to it."""

    findings: Sequence[Finding] = ()
    warnings: Sequence[Finding] = ()
    adds: Sequence[Added] = ()


def validate(options: argparse.Namespace) -> Validation:
    """Collect all findings; a repository that cannot be fetched is one of them."""
    try:
        message, _ = localized(options, read_message(options.message))
    except BadMessage as error:
        return Validation(error.findings)
    if not isinstance(message, StartMessage):
        return Validation(warnings=warnings(message))
    try:
        return _checked_out(message) if options.checkout else _alone(message)
    except BadMessage as error:
        return Validation(error.findings, warnings(message))


def _alone(message: StartMessage) -> Validation:
    return Validation((), warnings(message), added(message, plan(message, None)))


def _checked_out(message: StartMessage) -> Validation:
    from handlers.repository_handler import GitCredential, RepositoryHandler
    from mlgate.hosts.assembly import devops_identity_token

    settings = Settings.read()
    repository = RepositoryHandler(
        home=settings.home,
        allowed=allowed_here(settings, message),
        credentials=[GitCredential(*entry) for entry in settings.git_credentials],
        host_identity=devops_identity_token,
    )
    wanted = message.repository
    request = RepositoryRequest(
        wanted.url, wanted.ref, wanted.subdirectory, wanted.submodules, wanted.lfs
    )
    try:
        with repository.checkout(request) as tree:
            planned = plan(message, tree)
            warned = [*warnings(message), *kernel_warnings(planned, tree)]
            return Validation(preflight(planned, tree), warned, added(message, planned))
    except (Permanent, Temporary) as error:
        remedy = "Correct its URL or ref, or leave out --checkout."
        found = finding(Code.UNAVAILABLE_REPOSITORY, "/repository", str(error), remedy)
        return Validation([found], warnings(message))
