"""Starts `git` with a time limit, in its own process group, and with only our configuration."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from handlers.repository_handler.client import Limits
from handlers.repository_handler.remote import Remote

if TYPE_CHECKING:  # GitPython cannot be imported if git is not installed
    from git.cmd import Git

# BatchMode: ssh never prompts, and refuses unknown host keys. Options of GIT_SSH_COMMAND come first
# and win, because ssh uses the first value it finds.
SSH_OPTIONS = "-oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4"

_OUT_OF = re.compile(
    r"Too many open files|Cannot allocate memory|Resource temporarily unavailable"
    r"|unable to create thread",
    re.IGNORECASE,
)


class GitFailed(Exception):
    """git ended with an error; the message is what it wrote to stderr."""


class GitTimeout(Exception):
    """git was killed because its time was up."""


def ssh_command() -> str:
    return f"{os.environ.get('GIT_SSH_COMMAND') or 'ssh'} {SSH_OPTIONS}"


def run(git: Git, *arguments: str, stdin: bytes = b"", timeout: float = 600) -> bytes:
    """Run `git *arguments`; returns what it writes to stdout. Raises GitFailed or GitTimeout.

    After `timeout` seconds git and its helpers (git-remote-https, ssh) are killed. Raises OSError
    if this host lacks the resources for a process.
    """
    from git.exc import GitCommandNotFound  # noqa: PLC0415 -- GitPython fails to import without git

    # Git.execute(kill_after_timeout=...) kills only the direct children.
    try:
        started = git.execute(
            ["git", *arguments], istream=subprocess.PIPE, as_process=True, start_new_session=True
        )
    except GitCommandNotFound as error:  # also if the folder to start in does not exist
        raise GitFailed(str(error)) from error
    process = cast("subprocess.Popen[bytes]", started.proc)
    try:
        out, complaint = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as late:
        raise GitTimeout(f"not finished after {timeout:g} seconds") from late
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        said = complaint.decode("utf-8", "replace")
        if any(_OUT_OF.search(line) for line in said.splitlines() if line[:7] != "remote:"):
            raise OSError(errno.EAGAIN, "this host is out of memory or file descriptors")
        raise GitFailed(said)
    return out


def environment(folder: Path, home: Path, remote: Remote, limits: Limits) -> Mapping[str, str]:
    """The variables for git in the bare repository `folder`, with no other configuration than ours.

    Every variable is set explicitly: the host itself may have been started by a git hook, and
    GitPython passes on whatever it finds.
    """
    settings = {
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.commitGraph": "false",  # a damaged one may have wrong parents for a commit
        "credential.helper": "",
        "gc.auto": "0",
        "maintenance.auto": "false",
        # git streams larger files and holds smaller ones in memory.
        "core.bigFileThreshold": "16m",
        "protocol.version": "2",
        # A redirect could lead past the allow-list, and would be followed with the credential.
        "http.followRedirects": "false",
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": str(max(1, round(limits.stall))),
        "remote.origin.url": remote.url,  # the address that git-lfs uses
    }
    if remote.access.authorization:
        # Sent only to this repository's URL. Neither an argument nor a file contains it.
        header = f"Authorization: {remote.access.authorization.get_secret_value()}"
        settings[f"http.{remote.url}.extraHeader"] = header
        settings[f"http.{remote.url}.git.extraHeader"] = header  # git-lfs adds the suffix
    variables = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_DIR": str(folder),
        "GIT_WORK_TREE": str(folder),
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_NAMESPACE": "",
        "GIT_DEFAULT_HASH": "sha1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": str(folder / "no-grafts"),
        "GIT_SHALLOW_FILE": str(folder / "shallow"),
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_SSH_COMMAND": ssh_command(),
        "GIT_ALLOW_PROTOCOL": remote.scheme,
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TRACE_REDACT": "1",
        "GIT_LFS_SKIP_SMUDGE": "0",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle and "GIT_SSL_CAINFO" not in os.environ and "GIT_SSL_CAPATH" not in os.environ:
        variables["GIT_SSL_CAPATH" if Path(bundle).is_dir() else "GIT_SSL_CAINFO"] = bundle
    return variables
