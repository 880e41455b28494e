"""The workspace itself, and where its other addresses are told."""

from __future__ import annotations

from mlgate.emulators.azure_ml.exchange import REGION, Answer
from mlgate.emulators.azure_ml.records import workspace_record
from mlgate.emulators.azure_ml.routing import API, WORKSPACE, Call, route

_SOURCE = "test_pipeline_job...LongRunning...test_pipeline_job_download"


def get_workspace(call: Call) -> Answer:
    return Answer(body=workspace_record(call.workspace))


def discovery(call: Call) -> Answer:
    experiments = f"https://{REGION}.experiments.azureml.net"
    return Answer(
        body={
            "api": call.workspace.api,
            "catalog": "https://catalog.cortanaanalytics.com",
            "experimentation": experiments,
            "history": experiments,
            "hyperdrive": experiments,
            "labeling": experiments,
            "modelmanagement": f"https://{REGION}.modelmanagement.azureml.net",
            "pipelines": f"https://{REGION}.aether.ms",
            "studio": "https://ml.azure.com",
        }
    )


ROUTES = (
    route("workspace.get", f"GET {WORKSPACE}", ("2024-10-01-preview",), _SOURCE, get_workspace),
    route("discovery", "GET /discovery", (), _SOURCE, discovery, host=API, public=True),
)
