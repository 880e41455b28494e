"""The message that a command runs or validates here: the file's, with the command line's word."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mlgate.hosts.usage import UsageError, read_message
from mlgate.orchestration.datacontract import unwrap
from mlgate.orchestration.errors import BadMessage
from mlgate.orchestration.messages import StartMessage, parse


def localized(options: argparse.Namespace) -> tuple[StartMessage, dict[str, Any]]:
    """The message and its JSON after `--repository`, `--ref`, `--worktree` and `--backend`.

    Raises `BadMessage` with all findings, and `UsageError` for options that cannot be followed.
    """
    body = read_message(options.message)
    raw = _object(body)
    if raw is None:
        parse(body)  # says what is wrong with it
        raise UsageError(f"the message {options.message} holds no JSON object")
    repository = raw.get("repository")
    repository = dict(repository) if isinstance(repository, dict) else {}
    if options.repository is not None:
        repository["url"] = _address(options.repository)
        if options.ref is None:
            # The message's ref names a commit of the repository that was replaced.
            repository.pop("ref", None)
    if options.ref is not None:
        repository["ref"] = options.ref
    if options.worktree or options.repository is not None:
        _worktree(repository, wanted=options.worktree, ref=options.ref)
    if repository:
        raw["repository"] = repository
    if getattr(options, "backend", None):
        raw["backend"] = options.backend
    message = parse(json.dumps(raw).encode())
    if not isinstance(message, StartMessage):
        raise UsageError("this is one of mlgate's own follow-up messages, not a request")
    return message, raw


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        raw = json.loads(unwrap(body))
    except (ValueError, RecursionError, BadMessage):
        return None
    return raw if isinstance(raw, dict) else None


def _address(text: str) -> str:
    """A URL as it is, a path made absolute."""
    if "://" in text or (":" in text and not Path(text).exists()):
        return text
    return str(Path(text).expanduser().resolve())


def _worktree(repository: dict[str, Any], *, wanted: bool, ref: str | None) -> None:
    url = str(repository.get("url", ""))
    path = Path(url)
    if not path.is_absolute():
        if wanted:
            raise UsageError("--worktree needs a repository on this machine: add --repository PATH")
        return
    from handlers.repository_handler import commit_worktree, uncommitted_changes

    if wanted:
        if ref is not None:
            raise UsageError("--worktree and --ref exclude each other")
        repository["ref"] = commit_worktree(path)
    elif ref is None and uncommitted_changes(path):
        print(
            f"mlgate: {path} has uncommitted changes, which are left out; --worktree includes them",
            file=sys.stderr,
        )
