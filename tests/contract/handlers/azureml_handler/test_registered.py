"""Promoted versions as models of the workspace, with the job that kept them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mlgate.emulators.azure_ml import Fault, FaultKind
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.ports import Kept, Registration
from mlgate.orchestration.runs import RunStatus, Task
from tests.contract.handlers.azureml_handler.support import Bench

A, B = "3f9a1c0b7d52", "b" * 12
KEEPS = "mkdir -p outputs/model && echo flavors > outputs/model/MLmodel"


def trained(bench: Bench, version: str = A, number: int = 1) -> Registration:
    """A version that a job of the workspace has kept."""
    task = bench.task(KEEPS, f"train-{number}")
    assert bench.run(task).status is RunStatus.SUCCEEDED
    bench.server.requests.clear()
    return kept_by(task, version, number)


def kept_by(task: Task, version: str = A, number: int = 1) -> Registration:
    kept = Kept(task.attempt, "outputs/model", "mlflow")
    tags = {"mlgate.version": version, "mlgate.entry": f"{number}", "mlgate.build": "77"}
    return Registration("churn", version, kept, tags=tags, number=number)


def marks(bench: Bench) -> dict[str, tuple[str, str]]:
    """Whether each version is current, and whether it was rolled back."""
    return {
        version: (tags["mlgate.current"], tags["mlgate.rolled_back"])
        for version, tags in tags_of(bench).items()
        if "mlgate.current" in tags
    }


def tags_of(bench: Bench) -> Mapping[str, Mapping[str, str]]:
    return {
        model.version: model.properties["tags"] for model in bench.server.workspace.models.values()
    }


def models_of(bench: Bench) -> list[dict[str, Any]]:
    return [model.properties for model in bench.server.workspace.models.values()]


def test_a_version_is_registered_with_its_job_and_once(bench: Bench) -> None:
    made = trained(bench)
    bench.handler.register(made)
    assert bench.calls() == ["models.list", "models.put"]
    [model] = models_of(bench)
    assert made.kept is not None
    assert model["jobName"] == made.kept.attempt.id
    assert model["modelType"] == "mlflow_model"
    assert model["modelUri"].endswith(f"/paths/mlgate/{made.kept.attempt.id}/kept/outputs/model")
    assert model["tags"]["mlgate.build"] == "77"

    bench.server.requests.clear()
    bench.another().register(made)
    assert bench.calls() == ["models.list"]
    assert models_of(bench) == [model]


def test_one_version_is_current_and_a_rollback_marks_the_other(bench: Bench) -> None:
    first, second = trained(bench), trained(bench, B, 2)
    bench.handler.register(first)
    bench.handler.register(replace(second, replaces=A))
    assert marks(bench) == {A: ("false", "false"), B: ("true", "false")}
    back = replace(first, kept=None, replaces=B, rolled_back=True, number=3)
    bench.handler.register(back)
    assert marks(bench) == {A: ("true", "false"), B: ("false", "true")}


def test_more_versions_than_a_page_has_are_all_seen(bench: Bench) -> None:
    bench.server.workspace.page_size = 2
    made = trained(bench)
    versions = [f"{number:012x}" for number in range(5)]
    for number, version in enumerate(versions, 1):
        tags = {**made.tags, "mlgate.entry": f"{number}"}
        bench.handler.register(replace(made, version=version, number=number, tags=tags))
    assert [version for version, mark in marks(bench).items() if mark[0] == "true"] == versions[-1:]


def test_what_comes_late_takes_nothing_from_a_later_entry(bench: Bench) -> None:
    first, second = trained(bench), trained(bench, B, 2)
    bench.handler.register(second)
    bench.handler.register(first)
    assert marks(bench) == {A: ("false", "false"), B: ("true", "false")}


def test_what_nobody_asks_to_list_is_marked_where_it_is_listed(bench: Bench) -> None:
    first, second = trained(bench), replace(trained(bench, B, 2), create=False)
    bench.handler.register(first)
    bench.handler.register(second)
    assert marks(bench) == {A: ("false", "false")}
    bench.handler.register(replace(first, number=3, create=False))
    assert marks(bench) == {A: ("true", "false")}


def test_what_people_registered_under_that_name_stays(bench: Bench) -> None:
    made = trained(bench)
    bench.handler.register(replace(made, version="1"))
    theirs = bench.server.workspace.models["churn", "1"]
    theirs.properties["tags"] = {"team": "a"}
    bench.handler.register(made)
    assert tags_of(bench)["1"] == {"team": "a"}
    with pytest.raises(Permanent, match="that mlgate did not register"):
        bench.handler.register(replace(made, version="1"))


def test_a_write_whose_answer_is_lost_is_written_again_without_harm(bench: Bench) -> None:
    made = trained(bench)
    bench.server.faults.add("models.put", FaultKind.LOST)
    bench.handler.register(made)
    assert len(models_of(bench)) == 1
    assert marks(bench) == {A: ("true", "false")}


@pytest.mark.parametrize("call", ["models.list", "models.put"])
@pytest.mark.parametrize(
    ("status", "error"), [(503, Temporary), (429, Temporary), (403, UnfitHost), (400, Permanent)]
)
def test_a_refusal_is_told_after_few_tries(
    after: Bench, ended: Task, call: str, status: int, error: type[Exception]
) -> None:
    after.server.requests.clear()
    after.server.faults.add(call, Fault.answering(status), times=9)
    with pytest.raises(error):
        after.handler.register(kept_by(ended))
    assert 1 <= after.calls().count(call) <= 2


def test_a_job_that_is_gone_is_told(bench: Bench) -> None:
    made = trained(bench)
    assert made.kept is not None
    gone = replace(made.kept, attempt=replace(made.kept.attempt, number=9))
    with pytest.raises(Permanent, match="Azure ML refuses"):
        bench.handler.register(replace(made, kept=gone))


def test_a_workspace_without_keys_is_no_other(keyless: Bench) -> None:
    made = trained(keyless)
    keyless.handler.register(made)
    assert marks(keyless) == {A: ("true", "false")}
