"""The message that a command runs or validates on this machine, and what it may use.

The message is the file's, changed by the command's options.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlgate.hosts.settings import Settings
from mlgate.hosts.stores import make_state
from mlgate.hosts.terminal import complain
from mlgate.hosts.usage import UsageError
from mlgate.orchestration.addresses.allowlist import without_azure_user
from mlgate.orchestration.admission.allowed_models import AllowedModel, ModelPolicy
from mlgate.orchestration.admission.policy import HostPolicy
from mlgate.orchestration.engine.promoting.candidates import NotOfferedError, earlier
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.wire.data_contract import unwrap
from mlgate.orchestration.wire.json_text import read_object
from mlgate.orchestration.wire.messages import LookMessage, Request, StartMessage, message_of
from mlgate.orchestration.wire.promotion import PromoteMessage, RollbackMessage


def localized(options: argparse.Namespace, body: bytes) -> tuple[Request, dict[str, Any]]:
    """The message in `body` and its JSON, with the options that replace parts of it applied.

    They are `--repository`, `--ref`, `--worktree` and `--backend`.

    Raises `BadMessage` with all findings, and `UsageError` for options that cannot be applied.
    """
    raw, findings = read_object(unwrap(body))
    replaced = _replaced(options)
    if raw.get("kind") in ("promote", "rollback"):
        if replaced or getattr(options, "backend", None):
            raise UsageError(
                f"a message of kind {raw['kind']} has no repository or backend that an option "
                "could replace"
            )
    else:
        repository = raw.get("repository", {})
        if isinstance(repository, dict):
            raw["repository"] = _chosen(dict(repository), options)
        if getattr(options, "backend", None):
            raw["backend"] = options.backend
    # Drop findings about fields that the command line has replaced.
    places = [f"/repository/{name}" for name in replaced]
    findings.listed = [each for each in findings.listed if each.pointer not in places]
    message = message_of(raw, findings)
    if isinstance(message, LookMessage):
        raise UsageError("this is one of mlgate's own follow-up messages, not a request")
    return message, raw


def allowed_here(settings: Settings, message: StartMessage) -> tuple[str, ...]:
    """What may be cloned for this message: the repository it names, and what this host allows.

    The latter is for submodules, which are in other repositories.
    """
    named = without_azure_user(message.repository.url)
    return (named, *settings.policy.allowed_repositories)


def policy_here(settings: Settings, message: Request) -> HostPolicy:
    """What this host allows, plus what the message names.

    The person who runs the message here could do all of that by hand.
    """
    policy = replace(settings.policy, models=_models_here(settings, message))
    if not isinstance(message, StartMessage):
        return policy
    backend = message.backend or policy.backend
    return replace(
        policy,
        backend=backend,
        allowed_backends=(backend,),
        allowed_workspaces=_named_workspace(message) or policy.allowed_workspaces,
        allowed_repositories=allowed_here(settings, message),
    )


def require_other_folder(settings: Settings, message: Request, output: Path | None) -> None:
    """Raise `UsageError` if `output` has the files of the build that is to be promoted."""
    if output is None or not isinstance(message, PromoteMessage):
        return
    with suppress(NotOfferedError):  # the build will report it
        source = earlier(make_state(settings), message.build, message.run)
        if (Path(settings.builds) / source.key).resolve() == output.resolve():
            raise UsageError(
                f"--output {output} has the files of build {source.build_id}, which is to be "
                "promoted; choose another folder"
            )


def _models_here(settings: Settings, message: Request) -> ModelPolicy:
    """For a start, any model from its repository, where a file may name one; else the message's
    model."""
    policy = settings.policy.models
    if isinstance(message, StartMessage):
        named = AllowedModel(None, without_azure_user(message.repository.url))
    elif isinstance(message, RollbackMessage):
        named = AllowedModel(message.model, "/")
    else:
        prefix = "/"
        with suppress(NotOfferedError):  # the build will report it
            build = earlier(make_state(settings), message.build, message.run)
            assert build.repository is not None
            prefix = without_azure_user(build.repository.url)
        named = AllowedModel(message.model, prefix)
    return replace(policy, allowed=(named, *policy.allowed), services=None)


def _named_workspace(message: StartMessage) -> tuple[str, ...]:
    return () if message.workspace is None else (str(message.workspace),)


def _replaced(options: argparse.Namespace) -> list[str]:
    return [
        *(["url"] if options.repository is not None else []),
        *(["ref"] if options.ref is not None or options.worktree else []),
    ]


def _chosen(repository: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    if options.repository is not None:
        repository["url"] = address_of(options.repository)
    if options.ref is not None:
        repository["ref"] = options.ref
    path = Path(str(repository.get("url", "")))
    if options.worktree and options.ref is not None:
        raise UsageError("--worktree and --ref cannot be used together")
    if options.worktree and not path.is_absolute():
        raise UsageError("--worktree needs a repository on this machine: add --repository PATH")
    if options.worktree:
        from handlers.repository_handler import NoWorkTree, commit_worktree

        try:
            repository["ref"] = commit_worktree(path)
        except NoWorkTree as error:
            raise UsageError(f"--worktree: {error}") from error
    elif path.is_absolute() and (options.repository is not None or "ref" not in repository):
        _warn_of_changes(path)
    return repository


def address_of(text: str) -> str:
    """A URL unchanged, or the absolute path of a repository; raises `UsageError`."""
    if "://" in text or (":" in text and not Path(text).exists()):
        return text
    from handlers.repository_handler import is_repository

    path = Path(text).expanduser().resolve()
    if not is_repository(path):
        raise UsageError(
            f"--repository {path} is not the top folder of a git repository; name that folder or a "
            "URL. For a folder inside it, set `repository.subdirectory` in the message"
        )
    return str(path)


def _warn_of_changes(path: Path) -> None:
    from handlers.repository_handler import uncommitted_changes

    with suppress(OrchestrationError):  # problems with the repository are reported on checkout
        if uncommitted_changes(path):
            complain(
                f"mlgate: {path} has uncommitted changes, which are ignored; "
                "--worktree includes them"
            )
