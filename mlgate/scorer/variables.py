"""What of a host's variables the process of a model is given: no setting of it, and no token."""

from __future__ import annotations

from collections.abc import Collection, Mapping

_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
}  # a row a line # fmt: skip
# Where Python looks, how many threads libraries use, and which devices.
_BEGINNINGS = (
    "LC_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "NVIDIA_", "CUDA_",
)  # fmt: skip
_ADDED = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # MLflow tells its makers of its use


def for_model(host: Mapping[str, str], own: Collection[str] = ()) -> dict[str, str]:
    """The variables of a process that loads a model; `own` are others that it is given."""
    passed = {
        name: value
        for name, value in host.items()
        if name in _PASSED or name in own or name.startswith(_BEGINNINGS)
    }
    return {**passed, **_ADDED}
