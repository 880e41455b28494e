"""What is written of a promoted version into the workspace's models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handlers.azureml_handler.registered import Change, changes, model_uri
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import Kept, Registration
from mlgate.orchestration.runs import Attempt

ATTEMPT = Attempt("b" * 32, "train", 2)
KEPT = Kept(ATTEMPT, "outputs/model", "mlflow")
A, B, C = "a" * 12, "b" * 12, "c" * 12
MADE = Registration("churn", A, KEPT, tags={"mlgate.version": A, "mlgate.entry": "7"})
BACK = replace(MADE, replaces=B, rolled_back=True)


def listed(version: str, current: str = "false", rolled_back: str = "false", **tags: str) -> Any:
    ours = {"mlgate.version": version, "mlgate.current": current, "mlgate.rolled_back": rolled_back}
    return {
        "name": version,
        "properties": {
            "description": None,
            "tags": {**ours, **tags},
            "properties": {"p": "1"},
            "isArchived": True,
            "isAnonymous": False,
            "flavors": {},
            "modelType": "custom_model",
            "modelUri": "azureml://datastores/x/paths/y",
            "jobName": "a-job",
            "stage": "Archived",
        },
    }


OTHERS = {"name": "3", "properties": {"tags": {"team": "x", "mlgate.current": "true"}}}
NOW, NOT = ("true", "false"), ("false", "false")


def tags_after(made: Registration, *there: Any) -> dict[str, tuple[str, str]]:
    """What changes: by version, whether it is current and whether it was rolled back."""
    return {
        each.version: (
            each.properties["tags"]["mlgate.current"],
            each.properties["tags"]["mlgate.rolled_back"],
        )
        for each in changes(made, there)
    }


@pytest.mark.parametrize(
    ("made", "there", "changed"),
    [
        (MADE, [], {A: NOW}),
        (MADE, [listed(A, "true", **{"mlgate.entry": "7"})], {}),
        (MADE, [listed(A, "true", **{"mlgate.entry": "3"})], {A: NOW}),
        (MADE, [listed(B, "true"), listed(C)], {A: NOW, B: NOT}),
        (MADE, [listed(B, "true"), listed(C, "true")], {A: NOW, B: NOT, C: NOT}),
        (MADE, [OTHERS], {A: NOW}),
        (BACK, [listed(A), listed(B, "true")], {A: NOW, B: ("false", "true")}),
        (BACK, [listed(A), listed(B)], {A: NOW, B: ("false", "true")}),
        (BACK, [listed(A), listed(B, "false", "true")], {A: NOW}),
        (BACK, [listed(A, "false", "true"), listed(B, "true")], {A: NOW, B: ("false", "true")}),
        (replace(BACK, kept=None), [listed(A), listed(B)], {A: NOW, B: ("false", "true")}),
    ],
)  # fmt: skip
def test_exactly_one_version_is_current(
    made: Registration, there: list[Any], changed: dict[str, tuple[str, str]]
) -> None:
    assert tags_after(made, *there) == changed


def test_the_same_again_changes_nothing() -> None:
    there = [listed(A, "false", "true"), listed(B, "true"), listed(C, "true", a="b")]
    after = {each.version: each.properties["tags"] for each in changes(BACK, there)}
    for each in there:
        each["properties"]["tags"] = after.get(each["name"], each["properties"]["tags"])
    assert list(changes(BACK, there)) == []


@pytest.mark.parametrize(
    ("kept", "kind", "path"),
    [
        (KEPT, "mlflow_model", "kept/outputs/model"),
        (replace(KEPT, path=".", format="onnx"), "custom_model", "kept"),
        (replace(KEPT, path="m.skops", format="skops"), "custom_model", "kept/m.skops"),
    ],
)  # fmt: skip
def test_a_new_version_names_its_place_in_the_job(kept: Kept, kind: str, path: str) -> None:
    [change] = changes(replace(MADE, kept=kept), [])
    assert change == Change(
        A,
        {
            "description": f"Promoted by mlgate: churn@{A}.",
            "properties": {},
            "tags": {**MADE.tags, "mlgate.current": "true", "mlgate.rolled_back": "false"},
            "isAnonymous": False,
            "isArchived": False,
            "modelType": kind,
            "modelUri": f"azureml://jobs/{ATTEMPT.id}/outputs/run/paths/{path}",
        },
    )
    assert model_uri(kept) == change.properties["modelUri"]


def test_what_people_wrote_on_a_version_stays() -> None:
    [_, change] = changes(MADE, [listed(B, "true", stage="canary")])
    assert change.properties["tags"]["stage"] == "canary"
    assert change.properties["isArchived"] is True
    assert change.properties["jobName"] == "a-job"
    assert change.properties["modelUri"] == "azureml://datastores/x/paths/y"
    assert not change.properties.keys() & {"stage", "description"}


def test_a_version_that_is_not_ours_is_left_alone() -> None:
    theirs = {"name": A, "properties": {"tags": {"a": "b"}}}
    with pytest.raises(Permanent, match=r"that mlgate did not register\. Delete it"):
        list(changes(MADE, [theirs, listed(B, "true")]))


def test_what_is_gone_cannot_be_registered_any_more() -> None:
    with pytest.raises(Permanent, match="its build's files are gone"):
        list(changes(replace(BACK, kept=None), [listed(B, "true")]))


def test_a_list_that_cannot_be_read_is_asked_for_again() -> None:
    with pytest.raises(Temporary):
        list(changes(MADE, [{"properties": {}}]))
