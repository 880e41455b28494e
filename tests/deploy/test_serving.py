"""What infra/ says of serving: who may what, which revision gets requests, and what is probed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tree_sitter import Node

from mlgate.hosts.commands import models as model_commands
from mlgate.hosts.serving import app
from mlgate.hosts.serving import settings as serving_settings
from tests.deploy.bicep import Bicep, literal, properties, text, walk
from tests.deploy.test_container import instructions
from tests.deploy.test_infra import FILES, ROOT

SERVING, PREDICT = "serving.bicep", "predict.bicep"
BOTH = [SERVING, PREDICT]
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"


def values(name: str, key: str) -> list[Node]:
    """Of each property of that name, wherever it is in the file."""
    return [
        node.named_children[1]
        for node in walk(Bicep(FILES[name]).root)
        if node.type == "object_property" and text(node.named_children[0]) == key
    ]


@pytest.mark.parametrize("name", BOTH)
def test_the_identity_that_serves_reads_models_and_writes_nowhere(name: str) -> None:
    template = Bicep(FILES[name])
    ids = {
        variable: literal(node.children[-1])
        for variable, node in template.declared("variable").items()
    }
    roles = {}
    for resource in template.resources():
        if resource.type == "Microsoft.Authorization/roleAssignments":
            given = properties(properties(resource.body)["properties"])
            if text(given["principalId"]) == "identity.properties.principalId":
                [role] = re.findall(r"', (\w+)\)", text(given["roleDefinitionId"]))
                roles[text(properties(resource.body)["scope"])] = role

    assert ids[roles.pop("account::blobs::models")] == READER
    assert roles == {SERVING: {"registry": "acrPull"}, PREDICT: {"insights": "publisher"}}[name]


@pytest.mark.parametrize("name", BOTH)
def test_what_main_made_is_found_by_its_name(name: str) -> None:
    """Each `existing` resource is called as main.bicep or its modules call it."""
    main = Bicep(FILES["main.bicep"])
    made = main.source + Bicep(FILES["telemetry.bicep"]).source
    asked = [
        each
        for each in Bicep(FILES[name]).resources()
        if each.existing and each.type.count("/") == 1
    ]

    assert len(asked) >= 2
    for each in asked:
        assert text(properties(each.body)["name"]) in made, each.name
    suffix = text(Bicep(FILES[name]).declared("variable")["suffix"])
    assert suffix == text(main.declared("variable")["suffix"])


def test_requests_go_to_revisions_by_name() -> None:
    template = Bicep(FILES[SERVING])
    [suffix] = values(SERVING, "revisionSuffix")
    names = [literal_or_text(each) for each in values(SERVING, "revisionName")]

    assert not values(SERVING, "latestRevision")
    assert names == ["${appName}--v${blue}", "${appName}--v${blue}", "${appName}--v${green}"]
    assert text(suffix) == "empty(blue) ? '' : 'v${newest}'"
    assert text(template.declared("variable")["newest"]).endswith("empty(green) ? blue : green")
    assert [text(each) for each in values(SERVING, "weight")] == ["100", "100 - weight", "weight"]
    [mode] = values(SERVING, "activeRevisionsMode")
    assert text(mode) == "empty(blue) ? 'Single' : 'Multiple'"


def test_a_revisions_name_is_one_to_azure() -> None:
    """54 characters with the app's (Azure/azure-quickstart-templates#14660)."""
    source = Bicep(FILES[SERVING]).source
    [most] = re.findall(r"@maxLength\((\d+)\)\nparam appName string", source)
    assert int(most) + len("--v0123456789ab-99") <= 54


def literal_or_text(node: Node) -> str:
    return text(node).strip("'")


def test_the_probes_ask_what_the_server_answers_where_it_listens() -> None:
    source = Path(app.__file__).read_text("utf-8")
    probes = {
        literal(properties(probe)["type"]): literal(
            properties(properties(probe)["httpGet"])["path"]
        )
        for probe in values(SERVING, "probes")[0].named_children
    }
    [port] = re.findall(r"^var port = (\d+)$", Bicep(FILES[SERVING]).source, re.MULTILINE)

    assert probes == {"Startup": "/live", "Liveness": "/live", "Readiness": "/ping"}
    assert all(f'"{path}"' in source for path in probes.values())
    assert {text(each) for key in ("port", "targetPort") for each in values(SERVING, key)} == {
        "port"
    }
    assert instructions("EXPOSE", "serving") == [port]
    assert f'"--port", type=port, default={port}' in re.sub(
        r"\s+", " ", Path(model_commands.__file__).read_text("utf-8")
    )


def test_a_replica_is_asked_once_it_can_listen_and_again_soon() -> None:
    """Within what Azure allows: a delay of 60 seconds and 10 failures at most."""
    [startup] = [
        properties(probe)
        for probe in values(SERVING, "probes")[0].named_children
        if literal(properties(probe)["type"]) == "Startup"
    ]
    delay, period, failures = (
        int(text(startup[key]))
        for key in ("initialDelaySeconds", "periodSeconds", "failureThreshold")
    )

    assert 5 <= delay <= 60
    assert period <= 30
    assert failures <= 10
    assert delay + period * failures >= 300


@pytest.mark.parametrize("name", BOTH)
def test_every_setting_is_one_that_serving_reads(name: str) -> None:
    source = Path(serving_settings.__file__).read_text("utf-8")
    known = {*re.findall(r'"(MLGATE_[A-Z_]+)"', source), "MLGATE_MODELS"}
    given = set(re.findall(r"\b(MLGATE_[A-Z_]+)\b", Bicep(FILES[name]).source))

    assert {"MLGATE_MODEL", "MLGATE_MODELS"} <= given <= known
    assert "AZURE_CLIENT_ID" in Bicep(FILES[name]).source


def test_a_function_app_that_serves_takes_several_requests_at_a_time() -> None:
    [concurrency] = values("function.bicep", "perInstanceConcurrency")
    [scales] = values(PREDICT, "scalesBy")

    assert int(text(concurrency)) > 1
    assert literal(scales) == "http"
    assert [text(each) for each in values("main.bicep", "scalesBy")] == [
        "'function:RunNotebookFunctionApp'"
    ]


@pytest.mark.parametrize("name", [*BOTH, "share.bicep"])
def test_the_page_names_every_parameter(name: str) -> None:
    page = (ROOT / "docs/deploy-serving.md").read_text("utf-8")
    section = page.partition(f"infra/{name}")[2].partition("\n## ")[0]
    named = {
        parameter
        for cell in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
        for parameter in re.findall(r"\w+", cell)
    }

    assert named == Bicep(FILES[name]).declared("parameter").keys() - {"location"}
