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

_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
}  # fmt: skip
_PASSED_PREFIXES = ("LC_", "PIP_", "UV_")
_SECRETS = ("PASSWORD", "TOKEN", "USERNAME")
_OURS = "MLGATE_"


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
    found = {name_of_input(name): str(folder) for name, folder in inputs.items()}
    found |= {f"{_OURS}BUILD_ID": build_id, f"{_OURS}RUN_NAME": run, MARK: attempt}
    return found | {"MLFLOW_TRACKING_URI": f"sqlite:///{tracking}"}


def name_of_input(run: str) -> str:
    return f"{_OURS}INPUT_{run.upper().replace('-', '_')}"


def own(asked: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The run's own variables that it may set, with a warning for each that it may not."""
    refused = [
        name
        for name, value in asked.items()
        if name.upper().startswith(_OURS) or not name or "=" in name or "\0" in name + value
    ]
    kept = {name: value for name, value in asked.items() if name not in refused}
    return kept, [
        f"The environment variable {name!r} was left out: the name is reserved or not possible."
        for name in sorted(refused)
    ]


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
