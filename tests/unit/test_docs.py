"""What people read agrees with what the code does: pages, settings, examples and the pipeline."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mlgate.hosts import cli, settings
from mlgate.hosts.serving import settings as serving_settings
from mlgate.orchestration.builds import Phase, TroubleKind
from mlgate.orchestration.engine import trouble
from mlgate.orchestration.findings import Code
from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.planning.preflight import preflight
from mlgate.orchestration.runs import FailureKind
from mlgate.orchestration.wire.messages import LookMessage, StartMessage, read
from mlgate.orchestration.wire.schema import schema

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / f"{name}.md"
    for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")
]
PAGES += [ROOT / "examples/README.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATOR = runpy.run_path(str(ROOT / "docs/generate.py"))
COMMANDS = runpy.run_path(str(ROOT / "docs/generate_commands.py"))

# Pages whose commands tests/deploy/test_quickstart.py executes.
EXECUTED = {"README.md", "docs/quickstart.md"}
# What the commands on the other pages need: Azure, Docker, or a machine to install on.
ELSEWHERE = {"az", "azd", "cd", "curl", "docker", "export", "pip", "python", "SERVING"}

# As Azure Pipelines expands them in an agentless job. Those that only an agent knows, such as
# Build.Repository.Uri, are not among them.
VARIABLES = {
    "Build.BuildId": "4711",
    "System.JobAttempt": "2",
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


def pipeline(page: str) -> dict[str, Any]:
    """The pipeline file, or the YAML on a page; its parameters have their defaults."""
    text = (ROOT / page).read_text("utf-8")
    if page.endswith(".md"):
        [text] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    given = {each["name"]: each["default"] for each in yaml.safe_load(text).get("parameters", ())}
    text = re.sub(r"\$\{\{ parameters\.(\w+) \}\}", lambda found: str(given[found[1]]), text)
    return dict(yaml.safe_load(text))


def agentless_job(page: str) -> dict[str, Any]:
    """The last one, which is the gate."""
    return dict(pipeline(page)["stages"][-1]["jobs"][-1])


def body(page: str, job: dict[str, Any] | None = None) -> str:
    """What the job publishes, its variables expanded."""
    [step] = (job or agentless_job(page))["steps"]
    return re.sub(
        r"\$\(([\w.]+)\)", lambda found: VARIABLES[found[1]], step["inputs"]["messageBody"]
    )


def published(page: str) -> StartMessage:
    message = read(body(page).encode()).message()
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
        message = read(block.encode()).message()
        assert not isinstance(message, LookMessage)
        if isinstance(message, StartMessage):
            plan(message, None)


def test_operations_lists_exactly_the_settings_that_are_read() -> None:
    source = Path(settings.__file__).read_text("utf-8")
    read = set(re.findall(r'"(MLGATE_[A-Z_]+|serviceBus\w+)"', source))
    read |= {f"serviceBusConnectionString{end}" for end in re.findall(r"\{name\}(__\w+)", source)}
    page = (ROOT / "docs/operations.md").read_text("utf-8")

    assert set(re.findall(r"^\| `((?:MLGATE|serviceBus)\w+)` \|", page, re.MULTILINE)) == read


def test_serving_lists_exactly_the_settings_that_it_reads() -> None:
    source = Path(serving_settings.__file__).read_text("utf-8")
    read = {*re.findall(r'"(MLGATE_[A-Z_]+)"', source), "MLGATE_MODELS", "MLGATE_HOME"}
    page = (ROOT / "docs/serving.md").read_text("utf-8")

    assert set(re.findall(r"^\| `(MLGATE_\w+)` \|", page, re.MULTILINE)) == read


def test_the_map_of_serving_is_its_tree() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    _, section = page.split("\n## Serving\n")
    table, _ = section.split("\n- **", maxsplit=1)

    assert set(re.findall("^\\| `([a-z]+)` \\|", table, re.MULTILINE)) == modules_in(SERVING)


def test_the_page_of_the_commands_is_what_their_parser_says() -> None:
    """After a change of the parser: `docs/generate_commands.py > docs/commands.md`."""
    assert (ROOT / "docs/commands.md").read_text("utf-8") == COMMANDS["page"]()


def test_the_page_of_the_commands_has_each_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Each number that the help of a command begins a meaning with, whatever its layout."""
    for name, (_, made) in COMMANDS["_commands"]():
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        _, _, codes = capsys.readouterr().out.partition("exit codes")
        said = re.findall(r"(?:^ +| {2,})(\d+)\b", codes.partition("\n\n")[0], re.MULTILINE)

        assert [code for code, _ in COMMANDS["exit_codes"](made)] == said, name


def typed(page: Path) -> list[str]:
    """The commands that a page has people type, their continued lines joined."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = map(str.strip, "".join(blocks).replace("\\\n", " ").splitlines())
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_on_a_page_can_be_typed(page: Path) -> None:
    """It is executed by a test, or parsed as `mlgate` does; of others, only known programs."""
    if page.relative_to(ROOT).as_posix() in EXECUTED:
        return
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for command in typed(page):
        program = Path(command.split()[0].lstrip("($").partition("=")[0]).name
        if program not in {"mlgate", "make", "pytest"}:
            assert program in ELSEWHERE, command
            continue
        arguments = shlex.split(command.removesuffix("&"), comments=True)[1:]
        if program == "mlgate":
            cli.parser().parse_args(arguments)
        elif program == "make":
            assert set(arguments) <= targets, command
        else:
            assert all((ROOT / each).exists() for each in arguments if each[0] != "-"), command


def test_troubleshooting_knows_each_kind_of_failure_and_no_code_that_is_none() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    _, _, rest = page.partition("\n## A run fails\n")
    kinds = re.findall("`([a-z_]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", rest, re.MULTILINE)))
    _, _, rest = page.partition("\n## The step fails at once\n")
    codes = re.findall(
        "`([a-z]+-[a-z-]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", rest, re.MULTILINE))
    )

    assert set(FailureKind) <= set(kinds)
    assert codes
    assert set(codes) <= set(Code)


def test_the_pictures_of_the_readme_are_small() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\((docs/images/[^)]+)\)", text)

    assert len(pictures) == 2
    assert all((ROOT / each).stat().st_size < 150_000 for each in pictures)


SERVING = ROOT / "mlgate/hosts/serving"
ORCHESTRATION = ROOT / "mlgate/orchestration"
ROOMS = [ORCHESTRATION, *sorted(path.parent for path in ORCHESTRATION.rglob("*/__init__.py"))]
MOST_FILES = 14  # that a room holds and a newcomer still takes in at a glance


def modules_in(room: Path) -> set[str]:
    return {path.stem for path in room.glob("*.py")} - {"__init__"}


def test_the_map_of_orchestration_is_its_tree() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (on top|`[a-z/]+`) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    shown = {room.strip("`"): set(re.findall("`([a-z_]+)`", names)) for room, names in rows}
    names = {room: room.relative_to(ORCHESTRATION).as_posix() for room in ROOMS}
    tree = {"on top" if names[room] == "." else names[room]: modules_in(room) for room in ROOMS}
    assert {room: names for room, names in shown.items() if room in tree} == tree


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_can_be_taken_in_at_a_glance(room: Path) -> None:
    assert len(modules_in(room)) <= MOST_FILES


@pytest.mark.parametrize("page", ["docs/concepts.md", "docs/architecture.md"])
def test_the_states_on_the_pages_are_those_of_a_build(page: str) -> None:
    assert f"\n{' -> '.join(Phase)}\n" in (ROOT / page).read_text("utf-8")


def test_the_architecture_says_what_each_state_is() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    _, section = page.split("\n## A build's states\n")
    table, _ = section.split("\n**Judging", maxsplit=1)

    assert re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", table, re.MULTILINE) == list(Phase)


def minutes(cell: str) -> float | None:
    """A cell of the trouble table, on the page or in the module's docstring."""
    return {"none": None, "at once": 0.0}[cell] if not cell.isdigit() else float(cell)


def test_the_architecture_shows_the_trouble_table() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    [head] = re.findall(r"^\| step \|([^\n]+)\| what follows \|$", page, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \|((?: [a-z\d ]+ \|){4}) [^|]+ \|$", page, re.MULTILINE)
    shown = {
        step: [minutes(cell.strip()) for cell in cells.split("|")[:-1]] for step, cells in rows
    }

    assert [kind.strip() for kind in head.split("|")] == list(TroubleKind)
    assert shown == {step: list(row.values()) for step, row in trouble.TABLE.items()}
    assert list(shown) == list(trouble.TABLE)


def test_the_trouble_table_is_told_beside_its_code_as_it_is() -> None:
    said = (trouble.__doc__ or "").splitlines()
    [head] = [line.split() for line in said if line.split()[:1] == ["step"]]
    rows = [re.match(r" {4}([a-z]+)((?: +(?:None|\d+)){4}) +\S", line) for line in said]
    shown = {row[1]: [minutes(cell.lower()) for cell in row[2].split()] for row in rows if row}

    assert head == ["step", *TroubleKind, "then"]
    assert shown == {step: list(row.values()) for step, row in trouble.TABLE.items()}
    assert list(shown) == list(trouble.TABLE)


@pytest.mark.parametrize("page", ["azure-pipelines.yml", "docs/quickstart.md"])
def test_a_pipelines_message_names_its_own_commit_and_attempt(page: str) -> None:
    message = published(page)

    assert message.build_id == VARIABLES["Build.BuildId"]
    assert message.attempt == int(VARIABLES["System.JobAttempt"])
    assert message.repository.ref == VARIABLES["Build.SourceVersion"]


@pytest.mark.parametrize("page", ["azure-pipelines.yml", "docs/quickstart.md"])
def test_the_token_of_a_pipelines_job_reaches_the_repository_of_its_message(page: str) -> None:
    [repository] = pipeline(page)["resources"]["repositories"]

    assert agentless_job(page)["uses"] == {"repositories": [repository["repository"]]}
    assert published(page).repository.url.endswith(f"/_git/{repository['name']}")


@pytest.mark.parametrize("page", ["azure-pipelines.yml", "docs/quickstart.md"])
def test_a_pipeline_waits_without_an_agent_and_longer_than_the_build_may_take(page: str) -> None:
    job = agentless_job(page)
    [step] = job["steps"]

    assert job["pool"] == "server"
    assert step["task"] == "PublishToAzureServiceBus@2"
    assert step["inputs"]["waitForCompletion"] is True
    assert step["inputs"]["useDataContractSerializer"] is False
    assert job["timeoutInMinutes"] > published(page).deadline_minutes


def test_the_pipeline_file_checks_its_host_before_the_examples() -> None:
    check, examples = pipeline("azure-pipelines.yml")["stages"][-1]["jobs"]
    message = read(body("azure-pipelines.yml", check).encode()).message()

    assert examples["dependsOn"] == check["job"]
    assert (check["pool"], check["uses"]) == (examples["pool"], examples["uses"])
    assert isinstance(message, StartMessage)
    assert message.kind == "check"
    assert message.repository.url == published("azure-pipelines.yml").repository.url
    assert check["timeoutInMinutes"] > message.deadline_minutes


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
    message = read(json.dumps(raw).encode()).message()
    assert isinstance(message, StartMessage)

    assert folder == f"examples/{name}"
    assert all(not run.status.ended for run in plan(message, Folder(ROOT / folder)).runs)
