"""What people read agrees with what the code does: pages, settings, examples and the pipeline."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mlgate.hosts import cli, settings
from mlgate.orchestration.builds import Phase
from mlgate.orchestration.messages import StartMessage, parse, schema
from mlgate.orchestration.plan import plan
from mlgate.orchestration.preflight import preflight

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [ROOT / "examples/README.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATOR = runpy.run_path(str(ROOT / "docs/generate.py"))

# As Azure Pipelines expands them in an agentless job; the user name is Azure Repos' own.
VARIABLES = {
    "Build.BuildId": "4711",
    "System.JobAttempt": "2",
    "Build.Repository.Uri": "https://contoso@dev.azure.com/contoso/flowers/_git/mlgate",
    "Build.SourceVersion": "6a98dbd8ff59352cef82aaabd5c99cd59deae767",
}


@dataclass(frozen=True)
class Folder:
    """A `Tree` of the files below one folder of `root`."""

    root: Path
    below: str = "."

    def files(self) -> Sequence[str]:
        found = (path for path in (self.root / self.below).rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()


EXAMPLES = Folder(ROOT, "examples")


def agentless_job(page: str) -> dict[str, Any]:
    """The last stage's only job, of the pipeline file or of the YAML on a page."""
    text = (ROOT / page).read_text("utf-8")
    if page.endswith(".md"):
        [text] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    content = yaml.safe_load(text)
    stages = content if isinstance(content, list) else content["stages"]
    [job] = stages[-1]["jobs"]
    return dict(job)


def published(page: str) -> StartMessage:
    """The message that the job publishes, its variables expanded."""
    [step] = agentless_job(page)["steps"]
    body = step["inputs"]["messageBody"]
    message = parse(re.sub(r"\$\(([\w.]+)\)", lambda found: VARIABLES[found[1]], body).encode())
    assert isinstance(message, StartMessage)
    return message


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}


def test_the_reference_of_the_message_is_what_the_schema_says() -> None:
    """After a change of the models: `docs/generate.py > docs/messages.md`."""
    assert (ROOT / "docs/messages.md").read_text("utf-8") == GENERATOR["page"]()


@pytest.mark.parametrize("owner", GENERATOR["EXAMPLES"])
def test_every_field_has_an_example_that_the_schema_takes(owner: str) -> None:
    fields, examples = GENERATOR["fields"](owner), GENERATOR["EXAMPLES"][owner]

    assert examples.keys() == fields.keys()
    for name, field in fields.items():
        jsonschema.validate(examples[name], {**field, "$defs": schema()["$defs"]})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files by their relative path, and headings of Markdown pages by their anchor."""
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


@pytest.mark.parametrize(
    "page", ["README.md", "docs/messages.md", "docs/migrating.md", "docs/quickstart.md"]
)
def test_whole_messages_on_the_pages_are_valid(page: str) -> None:
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)

    assert blocks
    for block in blocks:
        message = parse(block.encode())
        assert isinstance(message, StartMessage)
        plan(message, None)


def test_operations_lists_exactly_the_settings_that_are_read() -> None:
    source = Path(settings.__file__).read_text("utf-8")
    read = set(re.findall(r'"(MLGATE_[A-Z_]+|serviceBus\w+)"', source))
    read |= {f"serviceBusConnectionString{end}" for end in re.findall(r"\{name\}(__\w+)", source)}
    page = (ROOT / "docs/operations.md").read_text("utf-8")

    assert set(re.findall(r"^\| `((?:MLGATE|serviceBus)\w+)` \|", page, re.MULTILINE)) == read


def test_the_readme_lists_exactly_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    commands = set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE))
    listed = re.findall(r"^\| `mlgate (\w+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)

    assert set(listed) == commands


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_states_on_the_pages_are_those_of_a_build(page: str) -> None:
    assert f"\n{' -> '.join(Phase)}\n" in (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("page", ["azure-pipelines.yml", "docs/quickstart.md"])
def test_a_pipelines_message_names_its_own_commit_and_attempt(page: str) -> None:
    message = published(page)

    assert message.build_id == VARIABLES["Build.BuildId"]
    assert message.attempt == int(VARIABLES["System.JobAttempt"])
    assert message.repository.url == VARIABLES["Build.Repository.Uri"]
    assert message.repository.ref == VARIABLES["Build.SourceVersion"]


@pytest.mark.parametrize("page", ["azure-pipelines.yml", "docs/quickstart.md"])
def test_a_pipeline_waits_without_an_agent_and_longer_than_the_build_may_take(page: str) -> None:
    job = agentless_job(page)
    [step] = job["steps"]

    assert job["pool"] == "server"
    assert step["task"] == "PublishToAzureServiceBus@2"
    assert step["inputs"]["waitForCompletion"] is True
    assert step["inputs"]["useDataContractSerializer"] is False
    assert job["timeoutInMinutes"] > published(page).deadline_minutes


def test_the_pipeline_file_runs_this_repositorys_examples() -> None:
    """Its plan is found, complete, and has nothing that can be known to fail."""
    planned = plan(published("azure-pipelines.yml"), EXAMPLES)

    assert [run.spec.name for run in planned.runs] == ["explore", "train", "evaluate"]
    assert preflight(planned, EXAMPLES) == []
    assert planned.warnings == ()


@pytest.mark.parametrize("name", ["iris", "failing"])
def test_an_examples_message_can_be_run_from_the_repositorys_root(name: str) -> None:
    raw = json.loads((ROOT / "examples" / name / "message.json").read_text("utf-8"))
    folder = raw["repository"]["subdirectory"]
    message = parse(json.dumps(raw).encode())
    assert isinstance(message, StartMessage)

    assert folder == f"examples/{name}"
    assert all(not run.status.ended for run in plan(message, Folder(ROOT / folder)).runs)
