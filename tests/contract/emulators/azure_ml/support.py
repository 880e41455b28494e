"""Jobs as the SDK's users write them, and what the SDK asked for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlgate.emulators.azure_ml import AzureML

CURATED = "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33"
KEPT = "azureml://datastores/workspaceblobstore/paths/kept/run/"


def job(name: str, line: str, **options: Any) -> Any:
    """A command job named `name`."""
    from azure.ai.ml import command

    limit = options.pop("limit", None)
    made = command(
        name=name,
        command=line,
        **{"environment": CURATED, "experiment_name": "tests", **options},
    )
    if limit is not None:
        made.set_limits(timeout=limit)
    return made


def training(name: str, code: Path | str, **options: Any) -> Any:
    """Runs the `code` fixture's training; keeps its model at an explicit path."""
    from azure.ai.ml import Output

    kept = Output(type="uri_folder", path=KEPT, mode="rw_mount")
    line = "python train.py ${{outputs.kept}}"
    return job(name, line, code=str(code), outputs={"kept": kept}, **options)


def calls(server: AzureML) -> list[str]:
    """The names of the requests since the last time, without those for a token."""
    names = [request.call for request in server.requests]
    server.requests.clear()
    return [name for name in names if not name.startswith("token")]
