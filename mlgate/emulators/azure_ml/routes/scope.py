"""The workspace, its computes, and discovery of its other URLs."""

from __future__ import annotations

from mlgate.emulators.azure_ml.exchange import REGION, Answer, Refusal
from mlgate.emulators.azure_ml.records import workspace_record
from mlgate.emulators.azure_ml.routing import API, WORKSPACE, Call, route
from mlgate.emulators.azure_ml.workspace import PROVIDER

_SOURCE = "test_pipeline_job...LongRunning...test_pipeline_job_download"


def get_workspace(call: Call) -> Answer:
    return Answer(body=workspace_record(call.workspace))


def get_compute(call: Call) -> Answer:
    name = call.groups["name"]
    if name not in call.workspace.computes:
        raise Refusal(404, "UserError", f"Compute {name} was not found.")
    return Answer(
        body={
            "id": f"{call.workspace.path}/computes/{name}",
            "name": name,
            "type": f"{PROVIDER}/workspaces/computes",
            "location": REGION,
            "properties": {
                "computeType": "AmlCompute",
                "computeLocation": REGION,
                "provisioningState": "Succeeded",
                "properties": {
                    "vmSize": "STANDARD_DS3_V2",
                    "vmPriority": "Dedicated",
                    "scaleSettings": {
                        "minNodeCount": 0,
                        "maxNodeCount": 1,
                        "nodeIdleTimeBeforeScaleDown": "PT5M",
                    },
                    "allocationState": "Steady",
                },
            },
        }
    )


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
    route(
        "computes.get",
        f"GET {WORKSPACE}/computes/{{name}}",
        ("2023-08-01-preview",),
        "SDK",
        get_compute,
    ),
    route("discovery", "GET /discovery", (), _SOURCE, discovery, host=API, public=True),
)
