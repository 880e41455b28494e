"""What the unmodified SDK asks to register a model, and what it gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from mlgate.emulators.azure_ml import AzureML
from tests.contract.emulators.azure_ml.support import calls, training

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

PATH = "azureml://jobs/a/outputs/kept/paths/model.txt"


def model(version: str, path: str = PATH, **fields: Any) -> Any:
    from azure.ai.ml.entities import Model

    return Model(name="churn", version=version, path=path, type="custom_model", **fields)


@pytest.fixture
def trained(client: MLClient, server: AzureML, code: Path) -> MLClient:
    """A client whose workspace has a job that has kept a model."""
    client.jobs.create_or_update(training("a", code))
    server.jobs.wait("a")
    calls(server)
    return client


def test_a_model_is_made_of_a_job_s_output_and_knows_the_job(
    trained: MLClient, server: AzureML
) -> None:
    made = trained.models.create_or_update(model("1", tags={"a": "1"}))
    assert calls(server) == ["models.list", "models.put"]
    assert made.job_name == "a"
    assert str(made.path).endswith("/datastores/workspaceblobstore/paths/kept/run/model.txt")
    found = trained.models.get("churn", "1")
    assert (found.job_name, found.type, found.tags) == ("a", "custom_model", {"a": "1"})


def test_versions_are_listed_page_by_page_the_newest_first(
    trained: MLClient, server: AzureML
) -> None:
    for version in ("1", "2", "3"):
        trained.models.create_or_update(model(version))
    trained.models.archive("churn", version="2")
    calls(server)
    assert [each.version for each in trained.models.list("churn")] == ["3", "1"]
    everything = trained.models.list("churn", list_view_type="All")
    assert [each.version for each in everything] == ["3", "2", "1"]
    assert calls(server) == ["models.list"] * 3
    trained.models.restore("churn", version="2")
    assert trained.models.get("churn", "2").stage == "Development"


def test_tags_can_be_changed_and_the_path_cannot(trained: MLClient) -> None:
    trained.models.create_or_update(model("1", tags={"a": "1"}))
    again = trained.models.create_or_update(model("1", tags={"b": "2"}))
    assert (again.tags, again.job_name) == ({"b": "2"}, "a")
    found = trained.models.get("churn", "1")
    found.tags["c"] = "3"
    assert trained.models.create_or_update(found).tags == {"b": "2", "c": "3"}
    other = "azureml://datastores/workspaceblobstore/paths/kept/run/"
    with pytest.raises(HttpResponseError, match="cannot be changed"):
        trained.models.create_or_update(model("1", other))


@pytest.mark.parametrize(
    "path",
    [
        "azureml://jobs/nobody/outputs/kept/paths/model.txt",
        "azureml://jobs/a/outputs/other/paths/model.txt",
        "azureml://jobs/a/outputs/kept/paths/nothing.txt",
        "azureml://datastores/unknown/paths/kept",
    ],
)
def test_a_path_that_leads_nowhere_is_refused(trained: MLClient, path: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        trained.models.create_or_update(model("1", path))
    assert refused.value.status_code == 400


def test_a_model_that_is_not_there_is_not_found(trained: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        trained.models.get("churn", "1")
    with pytest.raises(ResourceNotFoundError):
        list(trained.models.list("churn"))
