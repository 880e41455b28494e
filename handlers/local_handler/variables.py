"""Builds a run's environment variables from scratch.

Only the host's variables that are named here are passed on, so its settings and tokens are not.
Proxies and package indexes may hold credentials, so they are passed from process to process and
never written to a file of the attempt.
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
# Where a run's own `pip` and `uv` find packages; not where they install them, nor credentials.
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
    """The host's variables that a supervisor needs, for the run and for `uv`."""
    return {
        name: value
        for name, value in host.items()
        if name in _PASSED or name.startswith(("LC_", *_INSTALLERS))
    }


def for_run(variables: Mapping[str, str]) -> dict[str, str]:
    """The `passed_on` variables without the credentials, which only making an environment needs."""
    return {
        name: without_credentials(_with_scheme(name, value), "")
        for name, value in variables.items()
        if not name.startswith(_INSTALLERS) or name in _SOURCES_OF_PACKAGES
    }


def _with_scheme(name: str, value: str) -> str:
    """The address of a proxy as a URL; curl and requests take it without `http://`, too."""
    proxy = name.lower() in ("http_proxy", "https_proxy", "pip_proxy")
    return f"http://{value}" if proxy and "@" in value and "://" not in value else value


def without_credentials(text: str, instead: str = "***@") -> str:
    """The text with the user and password of each URL replaced by `instead`."""
    return _CREDENTIALS.sub(instead, text)


def contract(
    folder: AttemptFolder, task: Task, inputs: Mapping[str, Path], model: Path | None
) -> dict[str, str]:
    """The variables that a run is promised. `inputs` are the folders with the kept files of the
    runs that it needs; `model` is the folder of the current version's files."""
    found = {input_variable(name): str(folder) for name, folder in inputs.items()}
    if model is not None:
        found[CURRENT_MODEL] = str(model)
    found |= promised_variables(task) | {MARK: folder.id}
    # The run's tree has no git repository, and git must not find one around the home.
    above = (folder.path, *folder.path.parents[:2])
    found["GIT_CEILING_DIRECTORIES"] = os.pathsep.join(map(str, above))
    return found | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder.tracking}"}


def threads(cores: int, at_once: int) -> dict[str, str]:
    """Variables that make the numeric libraries of `at_once` runs share the cores, if needed.

    By default each uses all cores, and threads that wait for a core spin on those of the others.
    """
    share = max(1, cores // at_once)
    return dict.fromkeys(_THREADS, str(share)) if share < cores else {}


def shapes_text(name: str) -> bool:
    """Whether this variable may change how a program reads and writes text."""
    return name in ("LANG", "LANGUAGE", "TZ") or name.startswith("LC_")


def leads_to_code(name: str) -> bool:
    """Whether this variable may make a program load the run's own code."""
    return name == "HOME" or name.startswith(("PYTHON", "LD_"))
