"""Which of a host's environment variables a model's process gets: no settings and no tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping

_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
}  # a row a line # fmt: skip
# Search paths of Python, thread counts and devices of libraries.
_BEGINNINGS = (
    "LC_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "NVIDIA_", "CUDA_",
)  # fmt: skip
_ADDED = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # else MLflow reports its use to its makers


def for_model(host: Mapping[str, str], own: Collection[str] = ()) -> dict[str, str]:
    """The variables for a process that loads a model; `own` names others to pass on."""
    passed = {
        name: value
        for name, value in host.items()
        if name in _PASSED or name in own or name.startswith(_BEGINNINGS)
    }
    return {**passed, **_ADDED}
