"""The Bicep files, as far as can be told without the compiler, which no package has.

They are read by the public grammar, their names are looked up, and their resources are compared
with Microsoft's own tables of types.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from handlers.blobs.address import ContainerAddress
from mlgate.hosts import settings
from tests.deploy.azure_types import AzureTypes
from tests.deploy.bicep import Bicep, body, literal, properties, text, walk
from tests.deploy.bicep_types import findings

ROOT = Path(__file__).parents[2]
FILES = {path.name: path for path in sorted((ROOT / "infra").glob("*.bicep*"))}
TEMPLATES = [name for name in FILES if name.endswith(".bicep")]
PARAMETERS = [name for name in FILES if name.endswith(".bicepparam")]

# Those in use. None gives a key: no listKeys and none of its kind. A share cannot be mounted
# without, which is why it is in a module that nothing else uses.
SHARE, KEYS = "share.bicep", {"listKeys"}
FUNCTIONS = set(
    """
    allowed bool concat description empty environment guid items join json map maxLength maxValue
    minLength minValue readEnvironmentVariable resourceGroup split subscriptionResourceId take
    tenant toLower toObject filter union uniqueString
    """.split()  # noqa: SIM905 -- names in a row read better
)
# What the tables leave out: a type that extends others, and alerts, which are like those of public
# templates.
WITHOUT_A_TABLE = {
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/scheduledQueryRules",
}

TYPO = """
resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'x'
  location: 'x'
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: { PROPERTY }
}
"""


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureTypes]:
    programs = sorted((ROOT / ".venv/azure-mcp").glob("node_modules/@azure/mcp-*/dist/azmcp"))
    if not programs and not os.environ.get("CI"):
        pytest.skip("needs `make azure-types`")
    [program] = programs
    with AzureTypes(program, tmp_path_factory.mktemp("home")) as types:
        yield types


def settings_of_the_hosts() -> set[str]:
    return set(properties(Bicep(FILES["main.bicep"]).declared("variable")["settings"].children[-1]))


@pytest.mark.parametrize("name", FILES)
def test_the_grammar_takes_the_file(name: str) -> None:
    assert Bicep(FILES[name]).errors() == []


@pytest.mark.parametrize("name", FILES)
def test_every_name_is_declared_and_no_function_gives_a_key(name: str) -> None:
    keys = KEYS if name == SHARE else set[str]()
    assert Bicep(FILES[name]).unknown_names(FUNCTIONS | keys) == []


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("storage.listKeys().keys[0].value", "listKeys"),
        ("listKeys(storage.id, '2025-01-01').keys[0].value", "listKeys"),
        ("missing.properties.principalId", "missing"),
        ("storage.id", None),
    ],
)
def test_that_look_up_would_tell(expression: str, told: str | None, tmp_path: Path) -> None:
    file = tmp_path / "key.bicep"
    file.write_text(f"param storage object\nvar key = {expression}\n")

    found = [each.rpartition(" ")[2] for each in Bicep(file).unknown_names(FUNCTIONS)]
    assert found == [told] * (told is not None)


@pytest.mark.parametrize("name", TEMPLATES)
def test_resources_are_what_azures_types_say(name: str, azure: AzureTypes) -> None:
    for resource in Bicep(FILES[name]).resources():
        known = azure.get(resource.type)
        if known is None:
            assert resource.type in WITHOUT_A_TABLE
        else:
            assert findings(resource, known) == []


@pytest.mark.parametrize(
    ("given", "finding"),
    [
        ("allowSharedKeyAcces: false", "no such property .allowSharedKeyAcces"),
        ("networkAcls: { defaultAction: 'Maybe' }", "'Maybe' is not one of Allow | Deny"),
        ("allowSharedKeyAccess: 'no'", "'no' is not one of bool"),
        ("creationTime: 'x'", "read-only creationTime"),
        ("networkAcls: { bypass: 'None' }", "without .defaultAction"),
    ],
)
def test_that_comparison_would_tell(
    given: str, finding: str, azure: AzureTypes, tmp_path: Path
) -> None:
    file = tmp_path / "typo.bicep"
    file.write_text(TYPO.replace("PROPERTY", given))
    [resource] = Bicep(file).resources()
    known = azure.get(resource.type)
    assert known is not None

    [told] = findings(resource, known)
    assert finding in told


@pytest.mark.parametrize("template", ["main.bicep", "container.bicep", "predict.bicep"])
def test_modules_are_given_what_they_declare_and_asked_for_what_they_put_out(template: str) -> None:
    main = Bicep(FILES[template])
    modules = {}
    for name, node in main.declared("module").items():
        module = Bicep(FILES[literal(node.named_children[1]) or ""])
        given = set(properties(properties(body(node))["params"]))
        modules[name] = module
        assert module.required() <= given <= module.declared("parameter").keys(), name
    asked = re.findall(r"(\w+)!?\.outputs\.(\w+)", main.source)

    assert modules
    for name, output in asked:
        assert output in modules[name].declared("output")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_of_the_template(name: str) -> None:
    main, given = Bicep(FILES["main.bicep"]), Bicep(FILES[name]).declared("variable")

    assert re.search(r"^using 'main.bicep'$", FILES[name].read_text("utf-8"), re.MULTILINE)
    assert main.required() <= given.keys() <= main.declared("parameter").keys()


def test_every_setting_is_set_but_the_two_that_a_cloud_host_has_no_use_for() -> None:
    source = Path(settings.__file__).read_text("utf-8")
    read = set(re.findall(r'"(MLGATE_[A-Z_]+|serviceBusQueueName)"', source))
    read |= {f"serviceBusConnectionString{end}" for end in re.findall(r"\{name\}(__\w+)", source)}
    # What azure-identity and the Functions host read of these.
    others = {"AZURE_CLIENT_ID", "serviceBusConnectionString__credential"}

    assert settings_of_the_hosts() == (read | others) - {"MLGATE_PARALLEL", "MLGATE_MODELS_KEEP"}
    assert "serviceBusConnectionString" not in settings_of_the_hosts()


def test_nothing_can_be_reached_with_a_key() -> None:
    switches = {
        "Microsoft.ServiceBus/namespaces": ("disableLocalAuth", "true"),
        "Microsoft.Storage/storageAccounts": ("allowSharedKeyAccess", "false"),
        "Microsoft.Insights/components": ("DisableLocalAuth", "true"),
        "Microsoft.KeyVault/vaults": ("enableRbacAuthorization", "true"),
    }
    found = set()
    for name in TEMPLATES:
        assert SHARE not in Bicep(FILES[name]).source
        for resource in Bicep(FILES[name]).resources() if name != SHARE else ():
            if resource.type in switches and not resource.existing:
                switch, value = switches[resource.type]
                assert text(properties(properties(resource.body)["properties"])[switch]) == value
                found.add(resource.type)

    assert found == switches.keys()


def test_the_tokens_have_a_container_beside_that_of_the_state() -> None:
    store = Bicep(FILES["store.bicep"])
    names = {
        literal(each)
        for each in store.declared("variable")["containerNames"].children[-1].named_children
    }
    [state] = re.findall(r"stateUrl string = '.*\}([a-z]+)'", store.source)
    address = ContainerAddress.parse(f"https://contoso.blob.core.windows.net/{state}")

    assert {state, address.secrets().url.rpartition("/")[2]} <= names


def test_the_host_owns_the_data_of_its_namespace_and_the_pipeline_sends_to_its_queue() -> None:
    roles = {
        resource.name: text(properties(resource.body)["scope"])
        for resource in Bicep(FILES["queue.bicep"]).resources()
        if resource.type == "Microsoft.Authorization/roleAssignments"
    }
    variables = Bicep(FILES["queue.bicep"]).declared("variable")

    assert roles == {"hostRole": "namespace", "pipelineRole": "namespace::queue"}
    assert set(variables) == {"sender", "owner"}


def test_azd_finds_its_template_the_image_and_the_app() -> None:
    project = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    [(name, service)] = project["services"].items()
    infra = ROOT / project["infra"]["path"]
    outputs = Bicep(infra / f"{project['infra']['module']}.bicep").declared("output")

    assert (infra / f"{project['infra']['module']}.bicepparam").exists()
    assert (ROOT / service["project"] / service["docker"]["path"]).exists()
    assert "AZURE_CONTAINER_REGISTRY_ENDPOINT" in outputs
    assert f"'azd-service-name': '{name}'" in Bicep(FILES["container.bicep"]).source
    assert f"SERVICE_{name.upper()}_RESOURCE_EXISTS" in FILES["main.bicepparam"].read_text("utf-8")


def test_no_role_is_assigned_on_a_whole_group() -> None:
    for name in TEMPLATES:
        for resource in Bicep(FILES[name]).resources():
            if resource.type == "Microsoft.Authorization/roleAssignments":
                assert "scope" in properties(resource.body), f"{name}: {resource.name}"


def test_the_app_runs_the_python_that_its_package_is_made_for() -> None:
    pipeline = yaml.safe_load((ROOT / "azure-pipelines.yml").read_text("utf-8"))
    [runtime] = [
        properties(node.named_children[1])
        for node in walk(Bicep(FILES["function.bicep"]).root)
        if node.type == "object_property" and text(node.named_children[0]) == "runtime"
    ]

    assert literal(runtime["version"]) == pipeline["variables"]["pythonVersion"]


def test_the_page_names_every_parameter() -> None:
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    tables = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)
    named = {name for cell in tables for name in re.findall(r"\w+", cell)}
    # Which nobody needs to think of, or which are told beside the image.
    left_out = {"location", "queueName"}

    assert named == Bicep(FILES["main.bicep"]).declared("parameter").keys() - left_out


def test_storage_without_keys_lets_the_host_in_and_other_storage_gets_no_role() -> None:
    """Both by the one parameter, which is empty for a workspace that has keys."""
    workspace = Bicep(FILES["workspace.bicep"])
    asked = text(workspace.declared("parameter")["storageAccountName"])
    of_storage = [each for each in workspace.resources() if each.name.startswith("storage")]

    assert asked.endswith("= ''")
    assert [each.name for each in of_storage] == ["storage", "storageRole"]
    for each in of_storage:
        declared = text(workspace.declared("resource")[each.name])
        assert "= if (!empty(storageAccountName)) {" in declared
    role = properties(of_storage[1].body)
    assert text(role["scope"]) == "storage"
    contributor = literal(workspace.declared("variable")["contributor"].children[-1])
    assert contributor == "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
