"""All well, then one thing broken at a time: its line says so, with the remedy, and no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr

from mlgate.emulators.service_bus import Emulator, QueueConfig
from mlgate.orchestration.checks import CheckStatus
from mlgate.orchestration.errors import UnfitHost
from tests.contract.hosts.doctor.conftest import CONTAINERS, QUEUE, Outside, said_by_the_command

CLOSED = "http://127.0.0.1:1"  # a port that nobody listens on

Break = Callable[[Outside], None]


def set_to(name: str, value: str) -> Break:
    return lambda outside: outside.settings.update({name: value})


def without_containers(outside: Outside) -> None:
    from azure.storage.blob import ContainerClient

    for name in CONTAINERS:
        with ContainerClient.from_container_url(outside.url(name)) as client:
            client.delete_container()


def refused(outside: Outside) -> None:
    """By storage, as where the role is missing."""
    for call in ("PUT check-*", "PUT secrets"):
        outside.relay.fail(call, (403, "AuthorizationPermissionMismatch"), times=100)


def file_instead_of_folder(name: str) -> Break:
    def act(outside: Outside) -> None:
        (outside.folder / "file").touch()
        outside.settings[name] = str(outside.folder / "file" / "folder")

    return act


def change(**fields: object) -> Break:
    def act(outside: Outside) -> None:
        for name, value in fields.items():
            setattr(outside, name, value)

    return act


def late_clock(outside: Outside) -> None:
    outside.relay.later = timedelta(seconds=75)


def private(outside: Outside) -> None:
    outside.git.token = "another"


def silent_git(outside: Outside) -> None:
    outside.git.status = 503


# What is broken; the lines that are wrong then; words of the remedy.
BROKEN: dict[str, tuple[Break, set[str], str]] = {
    "no room on the disk": (change(free=1 << 30), {"disk"}, "MLGATE_HOME"),
    "a home that cannot be": (file_instead_of_folder("MLGATE_HOME"), {"disk"}, "MLGATE_HOME"),
    "another queue": (
        set_to("serviceBusQueueName", "nowhere"),
        {"queue-receive", "queue-send"},
        "serviceBusQueueName",
    ),
    "a key that is none": (
        lambda outside: outside.settings.update(
            serviceBusConnectionString=outside.bus.connection_string.replace(
                "SharedAccessKey=", "SharedAccessKey=x"
            )
        ),
        {"queue-receive", "queue-send"},
        "serviceBusConnectionString",
    ),
    "no right to the containers": (
        refused,
        {*CONTAINERS},
        "Storage Blob Data Contributor",
    ),
    "a folder of builds that cannot be": (
        file_instead_of_folder("MLGATE_BUILDS"),
        {"builds"},
        "MLGATE_BUILDS",
    ),
    "models in a folder that is no store, as a share that is not mounted": (
        lambda outside: outside.settings.update(MLGATE_MODELS=str(outside.folder)),
        {"models"},
        "mlgate models --init",
    ),
    "a clock that is late": (late_clock, {"clock"}, "NTP"),
    "no such organization": (
        lambda outside: outside.settings.update(
            MLGATE_ALLOWED_COLLECTIONS=outside.devops.collection_url.replace("/org/", "/other/")
        ),
        {"devops-collection"},
        "MLGATE_ALLOWED_COLLECTIONS",
    ),
    "an organization out of reach": (
        set_to("MLGATE_ALLOWED_COLLECTIONS", f"{CLOSED}/org/"),
        {"devops-collection"},
        "HTTPS_PROXY",
    ),
    "an identity that nobody knows": (
        change(identity=SecretStr("eyJh.bGci.OiJI")),
        {"devops-identity"},
        "Organization settings > Users",
    ),
    "no identity at all": (
        change(identity=UnfitHost("The host has no identity.")),
        {"devops-identity"},
        "MLGATE_DEVOPS_IDENTITY",
    ),
    "a repository that is not allowed": (
        set_to("MLGATE_ALLOWED_REPOSITORIES", "https://github.com/contoso/"),
        {"repository-git", "repository-dulwich"},
        "MLGATE_ALLOWED_REPOSITORIES",
    ),
    "no such repository": (
        lambda outside: change(repository=f"{outside.git.url}/none.git")(outside),
        {"repository-git", "repository-dulwich"},
        "MLGATE_GIT_CREDENTIALS",
    ),
    "another token of the repository": (
        private,
        {"repository-git", "repository-dulwich"},
        "MLGATE_GIT_CREDENTIALS",
    ),
    "a git server that is ill": (
        silent_git,
        {"repository-git", "repository-dulwich"},
        "MLGATE_ALLOWED_REPOSITORIES",
    ),
}


def test_all_well_is_no_line_that_is_wrong_and_leaves_nothing(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = outside.left()
    found = outside.examined()

    assert {name: str(check) for name, check in found.items() if check.wrong} == {}
    # No pipeline asks, and these settings have no Azure ML.
    none = {name for name, check in found.items() if check.status is CheckStatus.NOT_APPLICABLE}
    assert none == {"azureml", "devops-job-token"}
    assert outside.left() == before
    assert outside.devops.violations == []


def test_containers_that_the_first_build_makes_are_well_and_not_made_by_the_check(
    outside: Outside,
) -> None:
    without_containers(outside)
    found = outside.examined()

    assert {name for name, check in found.items() if check.wrong} == set()
    assert "the first write creates it" in found["builds"].says
    assert {name: outside.blobs(name) for name in ("state", "builds")} == {
        "state": ["no container"],
        "builds": ["no container"],
    }


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_alone_is_told_alone_with_its_remedy(what: str, outside: Outside) -> None:
    act, lines, remedy = BROKEN[what]
    act(outside)
    found = outside.examined()

    assert {name for name, check in found.items() if check.wrong} == lines
    for name in lines:
        assert remedy in f"{found[name].says} {found[name].remedy}"
        assert found[name].remedy


@pytest.mark.parametrize(("right", "line"), [("Listen", "queue-send"), ("Send", "queue-receive")])
def test_a_right_to_the_queue_that_is_missing_is_told_by_its_role(
    right: str, line: str, outside: Outside
) -> None:
    with Emulator([QueueConfig(QUEUE)], rights=[right]) as bus:
        outside.settings["serviceBusConnectionString"] = bus.connection_string
        found = outside.examined()

    assert {name for name, check in found.items() if check.wrong} == {line}
    role = "Data Sender" if line == "queue-send" else "Data Receiver"
    assert f"Azure Service Bus {role}" in found[line].remedy


def test_the_command_prints_them_as_json_and_fails_when_a_line_is_wrong(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.settings["MLGATE_DEVOPS_IDENTITY"] = "0"
    code, said = said_by_the_command(outside, monkeypatch, capsys)
    names = [check["name"] for check in said["checks"]]

    assert code == 0, said
    assert said.keys() == {"checks"}
    assert all(check.keys() == {"name", "status", "says", "remedy"} for check in said["checks"])
    assert len(names) == len(set(names))

    outside.settings["serviceBusQueueName"] = "nowhere"
    code, said = said_by_the_command(outside, monkeypatch, capsys)
    assert code == 1
    assert {check["status"] for check in said["checks"]} == {"ok", "wrong", "not_applicable"}


def test_settings_that_cannot_be_used_are_lines_as_well(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.settings |= {"MLGATE_PARALLEL": "many", "MLGATE_WORKSPACE": "one"}
    code, said = said_by_the_command(outside, monkeypatch, capsys)

    assert code == 1
    assert [(check["name"], check["status"]) for check in said["checks"]] == [
        ("settings", "wrong"),
        ("settings", "wrong"),
    ]
    assert "MLGATE_PARALLEL" in said["checks"][1]["says"]
