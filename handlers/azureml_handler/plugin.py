"""The package with which MLflow logs to Azure ML, for environments that name MLflow without it.

A job's `MLFLOW_TRACKING_URI` begins with azureml://, which only that package knows
(MicrosoftDocs/azure-ai-docs, articles/machine-learning/how-to-use-mlflow-configure-tracking.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlgate.orchestration.backends.requirement_lines import marker_of, name_of

PLUGIN = "azureml-mlflow"
_MLFLOW = ("mlflow", "mlflow-skinny")


def plugin_lines(requirements: Sequence[str]) -> list[str]:
    """The requirements to add: the plugin wherever MLflow is, with MLflow's own markers."""
    if not lacks_plugin(map(name_of, requirements)):
        return []
    markers = [marker_of(line) for line in requirements if name_of(line) in _MLFLOW]
    return [f"{PLUGIN}; {marker}" if marker else PLUGIN for marker in dict.fromkeys(markers)]


def lacks_plugin(names: Iterable[str | None]) -> bool:
    """Whether these packages include MLflow, but not the plugin."""
    found = set(names)
    return PLUGIN not in found and not found.isdisjoint(_MLFLOW)


def warning(file: str, remedy: str) -> str:
    """For a file with hashes, which mlgate adds nothing to."""
    return (
        f"{file} names mlflow without {PLUGIN}, so MLflow cannot log to Azure ML, and mlgate adds "
        f"nothing to such a file. {remedy}"
    )
