"""The message that a command runs or validates here: the file's, with the command line's word."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlgate.hosts.usage import UsageError, read_message
from mlgate.orchestration.datacontract import unwrap
from mlgate.orchestration.errors import OrchestrationError
from mlgate.orchestration.jsontext import read_object
from mlgate.orchestration.messages import StartMessage, parse_object


def localized(options: argparse.Namespace) -> tuple[StartMessage, dict[str, Any]]:
    """The message and its JSON after `--repository`, `--ref`, `--worktree` and `--backend`.

    Raises `BadMessage` with all findings, and `UsageError` for options that cannot be followed.
    """
    raw, findings = read_object(unwrap(read_message(options.message)))
    repository = raw.get("repository", {})
    if isinstance(repository, dict):
        raw["repository"] = _chosen(dict(repository), options)
    if getattr(options, "backend", None):
        raw["backend"] = options.backend
    # What was wrong with a field that the command line replaces is wrong no more.
    replaced = [f"/repository/{name}" for name in _replaced(options)]
    message = parse_object(raw, [each for each in findings if each.pointer not in replaced])
    if not isinstance(message, StartMessage):
        raise UsageError("this is one of mlgate's own follow-up messages, not a request")
    return message, raw


def _replaced(options: argparse.Namespace) -> list[str]:
    return [
        *(["url"] if options.repository is not None else []),
        *(["ref"] if options.ref is not None or options.worktree else []),
    ]


def _chosen(repository: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    if options.repository is not None:
        repository["url"] = _address(options.repository)
    if options.ref is not None:
        repository["ref"] = options.ref
    path = Path(str(repository.get("url", "")))
    if options.worktree and options.ref is not None:
        raise UsageError("--worktree and --ref exclude each other")
    if options.worktree and not path.is_absolute():
        raise UsageError("--worktree needs a repository on this machine: add --repository PATH")
    if options.worktree:
        from handlers.repository_handler import NoWorkTree, commit_worktree

        try:
            repository["ref"] = commit_worktree(path)
        except NoWorkTree as error:
            raise UsageError(f"--worktree: {error}") from error
    elif path.is_absolute() and "ref" not in repository:
        _warn_of_changes(path)
    return repository


def _address(text: str) -> str:
    """A URL as it is, a repository's path made absolute."""
    if "://" in text or (":" in text and not Path(text).exists()):
        return text
    from handlers.repository_handler import is_repository

    path = Path(text).expanduser().resolve()
    if not is_repository(path):
        raise UsageError(
            f"--repository {path} is no git repository; name the top folder of one (what lies "
            "below it is the message's `repository.subdirectory`), or a URL"
        )
    return str(path)


def _warn_of_changes(path: Path) -> None:
    from handlers.repository_handler import uncommitted_changes

    with suppress(OrchestrationError):  # what is wrong with it is said where it is fetched
        if uncommitted_changes(path):
            print(
                f"mlgate: {path} has uncommitted changes, which are left out; "
                "--worktree includes them",
                file=sys.stderr,
            )
