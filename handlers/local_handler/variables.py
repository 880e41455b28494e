"""What a run finds in its environment, built from scratch.

The host's own settings and tokens are not among it: a variable is passed on only when it is named
here. Proxies and package indexes may hold credentials, so they travel from process to process and
are never written to a file of the attempt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from handlers.local_handler.processes import MARK
from mlgate.orchestration.launching import input_variable, promised_variables

_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
}  # a row a line # fmt: skip
_PASSED_PREFIXES = ("LC_", "PIP_", "UV_")
_SECRETS = ("PASSWORD", "TOKEN", "USERNAME")


def passed_on(host: Mapping[str, str]) -> dict[str, str]:
    """The part of the host's environment that a supervisor needs: for the run, and for `uv`."""
    return {
        name: value
        for name, value in host.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }


def for_run(variables: Mapping[str, str]) -> dict[str, str]:
    """What is `passed_on` less the credentials that only making an environment needs."""
    return {
        name: value
        for name, value in variables.items()
        if not (name.startswith(_PASSED_PREFIXES) and any(word in name for word in _SECRETS))
    }


def contract(
    attempt: str, build_id: str, run: str, inputs: Mapping[str, Path], tracking: Path
) -> dict[str, str]:
    """The variables that a run is promised; `inputs` are the folders of what its needs kept."""
    found = {input_variable(name): str(folder) for name, folder in inputs.items()}
    found |= promised_variables(build_id, run) | {MARK: attempt}
    return found | {"MLFLOW_TRACKING_URI": f"sqlite:///{tracking}"}


def leads_to_code(name: str) -> bool:
    """Whether a program that starts with this variable may load the run's own code for it."""
    return name == "HOME" or name.startswith(("PYTHON", "LD_"))


def with_interpreter(variables: Mapping[str, str], python: Path) -> dict[str, str]:
    """The variables with `python` first on the path, as an activated environment has it."""
    path = os.pathsep.join([str(python.parent), variables.get("PATH", os.defpath)])
    found = {**variables, "PATH": path}
    if (python.parent.parent / "pyvenv.cfg").exists():
        found["VIRTUAL_ENV"] = str(python.parent.parent)
    return found
