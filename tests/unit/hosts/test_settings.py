"""Settings are read once, with all that is wrong with them at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlgate.hosts.settings import Settings
from mlgate.hosts.usage import SettingsError
from mlgate.orchestration.admission.allowed_models import AllowedModel


def test_without_any_variable_the_documented_defaults_hold() -> None:
    settings = Settings.read({})

    assert settings.service_bus.queue == "function-queue"
    assert settings.policy.backend == "local"
    assert settings.policy.allowed_backends == ("local",)
    assert settings.policy.allowed_collections == ()
    assert settings.policy.allowed_repositories == ()
    assert settings.state == "sqlite:.mlgate/state.db"
    assert settings.builds == ".mlgate/builds"
    assert settings.home == Path(".mlgate").absolute()
    assert settings.compute == "serverless"
    assert settings.job_identity is None
    assert settings.parallel == os.cpu_count()
    assert not settings.devops_identity


def test_every_variable_is_read() -> None:
    settings = Settings.read(
        {
            "serviceBusConnectionString__fullyQualifiedNamespace": "x.servicebus.windows.net",
            "serviceBusConnectionString__clientId": "me",
            "serviceBusQueueName": "q",
            "MLGATE_BACKEND": "azureml",
            "MLGATE_ALLOWED_BACKENDS": "azureml, local",
            "MLGATE_WORKSPACE": "s/g/w",
            "MLGATE_ALLOWED_COLLECTIONS": "https://dev.azure.com/a/,https://dev.azure.com/b/",
            "MLGATE_ALLOWED_REPOSITORIES": "/srv/repositories",
            "MLGATE_GIT_CREDENTIALS": "https://github.com/contoso/=GITHUB",
            "GITHUB": "radioactive",
            "MLGATE_DEVOPS_IDENTITY": "1",
            "MLGATE_REGISTER_MODELS": "yes",
            "MLGATE_PARALLEL": "7",
            "MLGATE_HOME": "/var/mlgate",
        }
    )

    assert settings.service_bus.namespace == "x.servicebus.windows.net"
    assert settings.service_bus.client_id == "me"
    assert settings.policy.allowed_backends == ("azureml", "local")
    assert settings.policy.allowed_workspaces == ("s/g/w",)
    assert settings.policy.allowed_collections[1] == "https://dev.azure.com/b/"
    [(prefix, token)] = settings.git_credentials
    assert prefix == "https://github.com/contoso/"
    assert token.get_secret_value() == "radioactive"
    assert "radioactive" not in repr(settings)
    assert (settings.parallel, settings.devops_identity) == (7, True)
    assert settings.policy.models.register


CLIENT = "0a1b2c3d-0000-4000-8000-00000000000F"


@pytest.mark.parametrize("asked", ["user", "managed", f"managed:{CLIENT}"])
def test_jobs_have_the_identity_that_is_asked_for(asked: str) -> None:
    assert Settings.read({"MLGATE_JOB_IDENTITY": asked}).job_identity == asked


@pytest.mark.parametrize("asked", ["User", "managed:", "managed:me", f"user:{CLIENT}", CLIENT])
def test_another_identity_is_told_with_those_that_there_are(asked: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({"MLGATE_JOB_IDENTITY": asked})
    assert str(told.value).startswith(
        f"MLGATE_JOB_IDENTITY: {asked!r} is unknown; write user, managed"
    )


@pytest.mark.parametrize(
    ("value", "on"),
    [("1", True), ("true", True), ("Yes", True), (" ON ", True),
     ("0", False), ("False", False), ("no", False), ("off", False), ("", False)],
)  # fmt: skip
def test_a_switch_is_on_or_off_in_the_usual_words(value: str, on: bool) -> None:
    assert Settings.read({"MLGATE_DEVOPS_IDENTITY": value}).devops_identity is on


def test_servers_of_models_are_read_with_their_keys() -> None:
    found = Settings.read(
        {
            "MLGATE_SERVICES": "https://churn.example.net,https://fraud.example.net/api=FRAUD_KEY",
            "FRAUD_KEY": "radioactive",
        }
    )
    assert [(prefix, key and key.get_secret_value()) for prefix, key in found.services] == [
        ("https://churn.example.net", None),
        ("https://fraud.example.net/api", "radioactive"),
    ]
    assert found.policy.models.services == tuple(prefix for prefix, _ in found.services)
    assert "radioactive" not in repr(found)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("https://a.example=NOT_SET", "entry 1 names is not set"),
        ("https://a.example=UNRESOLVED", "is a Key Vault reference"),
        ("a.example", "entry 1 can match no server"),
        ("http://a.example", "http is for a loopback address"),
        ("https://me:radioactive@a.example", "entry 1 can match no server"),
        ("https://a.example/?code=radioactive", "entry 1 can match no server"),
    ],
)
def test_a_server_that_cannot_be_asked_is_an_error(entry: str, says: str) -> None:
    reference = "@Microsoft.KeyVault(VaultName=vault;SecretName=key)"
    with pytest.raises(SettingsError, match=f"MLGATE_SERVICES: .*{says}") as told:
        Settings.read({"MLGATE_SERVICES": entry, "UNRESOLVED": reference})
    assert "radioactive" not in str(told.value)


@pytest.mark.parametrize("value", ["2", "y", "enabled"])
def test_a_switch_that_is_neither_is_an_error(value: str) -> None:
    with pytest.raises(
        SettingsError, match=f"MLGATE_DEVOPS_IDENTITY: '{value}' is unknown; choose from"
    ):
        Settings.read({"MLGATE_DEVOPS_IDENTITY": value})


def test_an_error_does_not_cause_a_second_one() -> None:
    """The backend is also the default of the allowed ones."""
    with pytest.raises(SettingsError) as caught:
        Settings.read({"MLGATE_BACKEND": "gpu"})
    assert str(caught.value) == "MLGATE_BACKEND: 'gpu' is unknown; choose from local, azureml."


def test_all_errors_are_told_at_once_each_with_its_variable() -> None:
    wrong = {
        "MLGATE_BACKEND": "gpu",
        "MLGATE_ALLOWED_BACKENDS": "gpu",
        "MLGATE_WORKSPACE": "just-a-name",
        "MLGATE_ALLOWED_WORKSPACES": "a/b",
        "MLGATE_GIT_CREDENTIALS": "ghp_radioactive,https://github.com/=ghp_radioactive",
        "MLGATE_PARALLEL": "many",
        "MLGATE_ENVIRONMENT": "mine",
        "MLGATE_STATE": "redis://somewhere",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.read(wrong)

    for name in wrong:
        assert f"{name}: " in str(caught.value)
    assert "entry 1 has no prefix" in str(caught.value)
    assert "entry 2 names is not set" in str(caught.value)
    assert all(each.remedy for each in caught.value.settings)
    assert "radioactive" not in str(caught.value)


@pytest.mark.parametrize(
    "prefix",
    [
        "github.com/org",
        "git@github.com:org",
        "ssh://git@github.com/org",
        "http://github.com/org",
        "https://me@github.com/org",
        "https://me:radioactive@github.com/org",
        "https://github.com/org?x",
        "https://github.com/../org",
        "radioactive",
        "/srv/repositories",
    ],
)
def test_a_credential_that_can_open_no_repository_is_an_error(prefix: str) -> None:
    wrong = {"MLGATE_GIT_CREDENTIALS": f"https://a.example=GITHUB,{prefix}=GITHUB", "GITHUB": "x"}
    with pytest.raises(
        SettingsError, match=r"entry 2 can match no repository.*https://host"
    ) as told:
        Settings.read(wrong)
    assert "radioactive" not in str(told.value)


def test_a_key_vault_reference_is_not_taken_for_a_token() -> None:
    unresolved = "@Microsoft.KeyVault(VaultName=vault;SecretName=github)"
    with pytest.raises(SettingsError, match="entry 1 names is a Key Vault reference"):
        Settings.read(
            {"MLGATE_GIT_CREDENTIALS": "https://github.com/=GITHUB", "GITHUB": unresolved}
        )


COLLECTIONS, REPOSITORIES = "MLGATE_ALLOWED_COLLECTIONS", "MLGATE_ALLOWED_REPOSITORIES"
WORKSPACES = "MLGATE_ALLOWED_WORKSPACES"
FINE = {
    COLLECTIONS: "https://dev.azure.com/contoso/,HTTPS://Contoso.visualstudio.com,"
    "https://tfs.corp:8443/tfs/My%20Collection,http://127.0.0.1:8080/x,http://[::1]",
    REPOSITORIES: "https://github.com,https://dev.azure.com/contoso/My%20Project/_git/,"
    "ssh://git@github.com/contoso,ssh://git.corp:2222,http://127.0.0.1:99/r,/srv/my repositories,/",
    WORKSPACES: "s/g/w, 0000-1111/ml_group/ml.gate",
}


@pytest.mark.parametrize(
    ("name", "entry", "wanted"),
    [
        (COLLECTIONS, "dev.azure.com/contoso", "https://host/path"),
        (COLLECTIONS, "*", "https://host/path"),
        (COLLECTIONS, "https://", "https://host/path"),
        (COLLECTIONS, "https://*.visualstudio.com", "https://host/path"),
        (COLLECTIONS, "https://contoso@dev.azure.com/contoso", "without user name"),
        (COLLECTIONS, "https://dev.azure.com/contoso?x=1", "query"),
        (COLLECTIONS, "http://dev.azure.com/contoso", "127.0.0.1"),
        (COLLECTIONS, "http://localhost:8080/contoso", "127.0.0.1"),
        (COLLECTIONS, "ssh://git@ssh.dev.azure.com/v3/contoso", "https://host/path"),
        (COLLECTIONS, "/tfs/Default", "https://host/path"),
        (REPOSITORIES, "github.com/contoso", "https://host/path"),
        (REPOSITORIES, "git@github.com:contoso", "ssh://git@host/path"),
        (REPOSITORIES, "repositories/sales", "absolute path"),
        (REPOSITORIES, ".", "absolute path"),
        (REPOSITORIES, "~/repositories", "absolute path"),
        (REPOSITORIES, "file:///srv/repositories", "absolute path"),
        (REPOSITORIES, "http://github.com/contoso", "https://host/path"),
        (REPOSITORIES, "https://contoso@dev.azure.com/contoso", "https://host/path"),
        (REPOSITORIES, "https://dev.azure.com/contoso/My Project", "https://host/path"),
        (REPOSITORIES, "https://github.com/../contoso", "https://host/path"),
        (WORKSPACES, "ml-gate", "subscription/resource-group/name"),
        (WORKSPACES, "s/g/w/x", "subscription/resource-group/name"),
        (WORKSPACES, "/s/g/w", "subscription/resource-group/name"),
    ],
)
def test_an_entry_that_can_match_nothing_is_told_with_what_it_should_be(
    name: str, entry: str, wanted: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({name: f"{FINE[name]},{entry}"})

    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert entry.rpartition("@")[2].partition("?")[0] in line
    assert wanted in line


@pytest.mark.parametrize("name", FINE)
def test_every_entry_that_can_match_something_is_taken(name: str) -> None:
    policy = Settings.read({name: FINE[name]}).policy
    taken = {
        COLLECTIONS: policy.allowed_collections,
        REPOSITORIES: policy.allowed_repositories,
        WORKSPACES: policy.allowed_workspaces,
    }
    assert ",".join(taken[name]) == FINE[name].replace(", ", ",")


@pytest.mark.parametrize("name", [COLLECTIONS, REPOSITORIES])
def test_a_password_in_an_entry_is_not_repeated(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({name: "https://me:hunter2@github.com/x,https://github.com/x?sig=hunter2"})
    assert len(str(caught.value).splitlines()) == 2
    assert "hunter2" not in str(caught.value)


NAMESPACE = "serviceBusConnectionString__fullyQualifiedNamespace"
IN_FUNCTIONS = {
    NAMESPACE: "x.servicebus.windows.net",
    "MLGATE_BACKEND": "azureml",
    "MLGATE_STATE": "https://account.blob.core.windows.net/state",
}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"MLGATE_ALLOWED_BACKENDS": "azureml,local"}, "MLGATE_ALLOWED_BACKENDS"),
        ({"MLGATE_BACKEND": "local"}, "MLGATE_ALLOWED_BACKENDS"),
        ({"MLGATE_STATE": "sqlite:state.db"}, "MLGATE_STATE"),
        ({"MLGATE_STATE": ""}, "MLGATE_STATE"),
        ({"MLGATE_HOME": f"{__file__}/home"}, "MLGATE_HOME"),
        ({"MLGATE_HOME": f"/{'a' * 256}"}, "MLGATE_HOME"),
        ({"MLGATE_BUILDS": f"{__file__}/builds"}, "MLGATE_BUILDS"),
        ({NAMESPACE: ""}, "serviceBusConnectionString"),
    ],
)
def test_inside_functions_what_an_instance_cannot_do_is_an_error(
    changes: dict[str, str], name: str
) -> None:
    assert Settings.read(IN_FUNCTIONS, in_functions=True).policy.backend == "azureml"

    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings.read({**IN_FUNCTIONS, **changes}, in_functions=True)


def test_inside_functions_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({"MLGATE_HOME": f"{__file__}/home"}, in_functions=True)

    names = [line.partition(": ")[0] for line in str(caught.value).splitlines()]
    assert names == [
        "MLGATE_ALLOWED_BACKENDS",
        "MLGATE_STATE",
        "MLGATE_HOME",
        "serviceBusConnectionString",
    ]


def test_who_may_change_a_model_is_read_entry_by_entry() -> None:
    entries = "churn=https://github.com/c@main, churn=/srv/c,sales=ssh://git@github.com/s@a/b"
    models = Settings.read({"MLGATE_ALLOWED_MODELS": entries}).policy.models

    assert models.allowed == (
        AllowedModel("churn", "https://github.com/c", "main"),
        AllowedModel("churn", "/srv/c"),
        AllowedModel("sales", "ssh://git@github.com/s", "a/b"),
    )
    assert Settings.read({}).policy.models.allowed == ()


def test_each_malformed_entry_of_a_model_is_told_with_the_right_form() -> None:
    entries = "churn,churn=https://github.com/c,churn=https://me:hunter2@github.com/c@main"
    with pytest.raises(SettingsError) as caught:
        Settings.read({"MLGATE_ALLOWED_MODELS": entries})

    lines = str(caught.value).splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["MLGATE_ALLOWED_MODELS:", "entry", number] for number in "13"
    ]
    assert all("model=https://host/path@branch" in line for line in lines)
    assert "hunter2" not in str(caught.value)
