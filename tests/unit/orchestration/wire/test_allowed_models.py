"""Who may change a model: the entries of `MLGATE_ALLOWED_MODELS`, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlgate.orchestration.admission.allowed_models import (
    ANY,
    AllowedModel,
    Branches,
    ModelPolicy,
)
from mlgate.orchestration.admission.identity import pipeline_address
from mlgate.orchestration.admission.policy import HostPolicy, check
from mlgate.orchestration.wire.messages import LookMessage, Request, read
from tests.unit.orchestration.wire.samples import PROPERTIES, body, places, request

URL = request()["repository"]["url"]
HOST = HostPolicy(allowed_repositories=(URL,))


def policy(*entries: str) -> ModelPolicy:
    return ModelPolicy(tuple(AllowedModel.parse(entry) for entry in entries))


def message(raw: dict[str, Any]) -> Request:
    found = read(body(raw)).message()
    assert not isinstance(found, LookMessage)
    return found


@pytest.mark.parametrize(
    ("entry", "prefix", "branch"),
    [
        ("churn=https://github.com/contoso/churn", "https://github.com/contoso/churn", None),
        ("churn=https://github.com/contoso/churn@main", "https://github.com/contoso/churn", "main"),
        ("churn=https://github.com/c@feature/x-1.2", "https://github.com/c", "feature/x-1.2"),
        ("churn=https://github.com/c/@main", "https://github.com/c/", "main"),
        ("churn=https://github.com/@main", "https://github.com/", "main"),
        ("churn=https://github.com/a%40b/c@main", "https://github.com/a%40b/c", "main"),
        ("churn=https://github.com/a=b", "https://github.com/a=b", None),
        ("churn=https://github.com/c@refs/heads/main", "https://github.com/c", "main"),
        ("churn=ssh://git@github.com/c", "ssh://git@github.com/c", None),
        ("churn=ssh://git@github.com/c@main", "ssh://git@github.com/c", "main"),
        ("churn=ssh://git@github.com:2222/c@a/b", "ssh://git@github.com:2222/c", "a/b"),
        ("churn=/srv/churn", "/srv/churn", None),
        ("churn=/srv/churn@release/7", "/srv/churn", "release/7"),
    ],
)
def test_the_branch_begins_behind_the_at_sign_of_the_path(
    entry: str, prefix: str, branch: str | None
) -> None:
    assert AllowedModel.parse(entry) == AllowedModel("churn", prefix, branch)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("churn", "model's name and ="),
        ("=https://github.com/c", "model's name and ="),
        ("Churn=https://github.com/c", "model's name and ="),
        ("https://github.com/c", "model's name and ="),
        ("churn=", "neither a URL nor absolute"),
        ("churn=github.com/c", "neither a URL nor absolute"),
        ("churn=git@github.com:c/churn", "neither a URL nor absolute"),
        ("churn=git@github.com:c/churn@main", "neither a URL nor absolute"),
        ("churn=https://github.com/a@b/c@main", "more than one @"),
        ("churn=https://github.com/c@release@2", "more than one @"),
        ("churn=/srv/@team/churn@main", "more than one @"),
        ("churn=https://github.com@main", "can match no repository"),
        ("churn=https://me@github.com/c", "can match no repository"),
        ("churn=https://me:hunter2@github.com/c", "can match no repository"),
        ("churn=http://github.com/c", "can match no repository"),
        ("churn=https://github.com/c?x=1", "can match no repository"),
        ("churn=file:///srv/c", "can match no repository"),
        ("churn=https://github.com/c@", "no branch"),
        ("churn=https://github.com/c@main/", "no branch"),
        ("churn=https://github.com/c@-x", "no branch"),
        ("churn=https://github.com/c@a..b", "no branch"),
        ("churn=https://github.com/c@a b", "no branch"),
        ("churn=https://github.com/c@*", "no branch"),
        ("churn=https://github.com/c@a.lock", "no branch"),
        ("churn=https://github.com/c@a/.b", "no branch"),
        ("churn=https://github.com/c@refs/pull/7/merge", "no branch"),
        ("churn=https://github.com/c@refs/tags/v1", "no branch"),
        ("churn=https://github.com/c@refs/heads/", "no branch"),
    ],
)
def test_an_entry_that_cannot_be_followed_says_why_and_repeats_nothing(
    entry: str, words: str
) -> None:
    with pytest.raises(ValueError, match=r".") as told:
        AllowedModel.parse(entry)
    assert words in str(told.value)
    assert "hunter2" not in str(told.value)
    assert "github" not in str(told.value)


GITHUB = "https://github.com/contoso"
ENTRIES = (
    f"churn={GITHUB}/churn@main",
    f"churn={GITHUB}/churn@release/7",
    f"churn={GITHUB}/trusted",
    f"churn={GITHUB}/trusted@main",
    "churn=/srv/churn@main",
    f"sales={GITHUB}",
)


@pytest.mark.parametrize(
    ("model", "url", "branches"),
    [
        ("churn", f"{GITHUB}/churn", frozenset({"main", "release/7"})),
        ("churn", f"{GITHUB}/churn/", frozenset({"main", "release/7"})),
        ("churn", "HTTPS://GitHub.com/contoso/churn", frozenset({"main", "release/7"})),
        ("churn", f"{GITHUB}/churn2", None),
        ("churn", f"{GITHUB}/churn.git", None),
        ("churn", f"{GITHUB}/churn@main", None),
        ("churn", "https://github.com/other/churn", None),
        ("churn", "ssh://git@github.com/contoso/churn", None),
        ("churn", f"{GITHUB}/trusted", ANY),
        ("churn", "/srv/churn", frozenset({"main"})),
        ("churn", "/srv/churn/../other", None),
        ("churn", "/srv/churn-evil", None),
        ("sales", f"{GITHUB}/anything", ANY),
        ("sales", "/srv/churn", None),
        ("other", f"{GITHUB}/churn", None),
    ],
)
def test_a_repository_may_change_a_model_from_the_branches_of_all_entries_that_match(
    model: str, url: str, branches: Branches | None
) -> None:
    assert policy(*ENTRIES).branches(model, url) == branches


def test_an_azure_address_with_a_user_is_the_one_without() -> None:
    allowed = policy("churn=https://dev.azure.com/contoso/p/_git/r@main")
    url = "https://contoso@dev.azure.com/contoso/p/_git/r"
    assert allowed.branches("churn", url) == frozenset({"main"})


def test_an_at_sign_in_an_address_is_the_same_written_either_way() -> None:
    allowed = policy("churn=https://github.com/a%40b/c@main")
    assert allowed.branches("churn", "https://github.com/a@b/c") == frozenset({"main"})


def test_without_an_entry_promote_is_refused_with_the_entry_to_add() -> None:
    asked = message(request(promote={"model": "churn"}))
    found = check(asked, HOST, None)
    assert places(found) == {("model-not-allowed", "/promote/model")}
    assert f"`churn={URL}` to MLGATE_ALLOWED_MODELS" in found[0].remedy
    entry = found[0].remedy.split("`")[1]
    assert check(asked, replace(HOST, models=policy(entry)), None) == []
    assert check(message(request()), HOST, None) == []


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        (
            "https://contoso@dev.azure.com/contoso/p/_git/r",
            "https://dev.azure.com/contoso/p/_git/r",
        ),
        ("https://github.com/a@b/c", "https://github.com/a%40b/c"),
        ("ssh://git@github.com/c", "ssh://git@github.com/c"),
        ("/srv/churn", "/srv/churn"),
    ],
)
def test_the_entry_to_add_would_let_it(url: str, entry: str) -> None:
    refusal = ModelPolicy().refusal("churn", url, "/promote/model")
    assert refusal is not None
    assert f"`churn={entry}`" in refusal.remedy
    allowed = policy(f"churn={entry}")
    assert allowed.branches("churn", url) is ANY
    assert allowed.refusal("churn", url, "/promote/model") is None


KINDS = [
    {"version": 1, "kind": "promote", "model": "churn", "build": "7"},
    {"version": 1, "kind": "rollback", "model": "churn"},
]


@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: str(raw["kind"]))
def test_a_kind_without_a_repository_needs_its_model_in_the_setting(raw: dict[str, Any]) -> None:
    asked = message(raw)
    for models in (ModelPolicy(), policy("sales=https://github.com/s")):
        found = check(asked, HostPolicy(models=models), None)
        assert places(found) == {("model-not-allowed", "/model")}
        assert "MLGATE_ALLOWED_MODELS" in found[0].remedy
        assert "`churn=" in found[0].remedy
    allowed = HostPolicy(models=policy("churn=https://github.com/c@main"))
    assert check(asked, allowed, None) == []


@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: str(raw["kind"]))
def test_whoever_is_called_back_for_it_must_be_allowed_as_for_any_message(
    raw: dict[str, Any],
) -> None:
    address = pipeline_address(PROPERTIES)
    assert address is not None
    allowed = HostPolicy(models=policy("churn=https://github.com/c"))
    found = check(message(raw), allowed, address[0])
    assert places(found) == {("collection-not-allowed", "/application-properties/PlanUrl")}
