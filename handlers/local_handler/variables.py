"""What a run finds in its environment, built from scratch.

The host's own settings and tokens are not among it: a variable is passed on only when it is named
here. Proxies and package indexes may hold credentials, so they travel from process to process and
are never written to a file of the attempt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from handlers.local_handler.attempts import AttemptFolder
from handlers.local_handler.processes import MARK
from mlgate.orchestration.backends.launching import (
    CURRENT_MODEL,
    input_variable,
    promised_variables,
)
from mlgate.orchestration.runs import Task

_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
}  # a row a line # fmt: skip
_INSTALLERS = ("PIP_", "UV_")
# Where a run's own `pip` and `uv` find packages; never where they put them, or who they are.
_SOURCES_OF_PACKAGES = {
    "PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_PROXY", "PIP_RETRIES",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_HTTP_TIMEOUT", "UV_INDEX",
    "UV_INDEX_STRATEGY", "UV_INDEX_URL", "UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_NO_INDEX",
    "UV_OFFLINE", "UV_SYSTEM_CERTS",
}  # a row a line # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def passed_on(host: Mapping[str, str]) -> dict[str, str]:
    """The part of the host's environment that a supervisor needs: for the run, and for `uv`."""
    return {
        name: value
        for name, value in host.items()
        if name in _PASSED or name.startswith(("LC_", *_INSTALLERS))
    }


def for_run(variables: Mapping[str, str]) -> dict[str, str]:
    """What is `passed_on` less the credentials that only making an environment needs."""
    return {
        name: without_credentials(value, "")
        for name, value in variables.items()
        if not name.startswith(_INSTALLERS) or name in _SOURCES_OF_PACKAGES
    }


def without_credentials(text: str, instead: str = "***@") -> str:
    """The text with `instead` in place of the user and password of each URL."""
    return _CREDENTIALS.sub(instead, text)


def contract(
    folder: AttemptFolder, task: Task, inputs: Mapping[str, Path], model: Path | None
) -> dict[str, str]:
    """The variables that a run is promised; `inputs` are the folders of what its needs kept, and
    `model` is that of the current version's files."""
    found = {input_variable(name): str(folder) for name, folder in inputs.items()}
    if model is not None:
        found[CURRENT_MODEL] = str(model)
    found |= promised_variables(task) | {MARK: folder.id}
    # The run's tree has no repository of git's, and what is around the home is none of the run's.
    above = (folder.path, *folder.path.parents[:2])
    found["GIT_CEILING_DIRECTORIES"] = os.pathsep.join(map(str, above))
    return found | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder.tracking}"}


def threads(cores: int, at_once: int) -> dict[str, str]:
    """What has numeric libraries of so many runs share the cores; nothing where one has them all.

    Each takes all of them by default, and threads that wait for a core spin on the others'.
    """
    share = max(1, cores // at_once)
    return dict.fromkeys(_THREADS, str(share)) if share < cores else {}


def shapes_text(name: str) -> bool:
    """Whether a program that starts with this variable may read and write text otherwise for it."""
    return name in ("LANG", "LANGUAGE", "TZ") or name.startswith("LC_")


def leads_to_code(name: str) -> bool:
    """Whether a program that starts with this variable may load the run's own code for it."""
    return name == "HOME" or name.startswith(("PYTHON", "LD_"))
