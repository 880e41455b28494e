"""The example of a pipeline that releases a model: its messages, its stages, its scripts."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.planning.preflight import preflight
from mlgate.orchestration.wire.messages import StartMessage, read
from mlgate.orchestration.wire.promotion import PromoteMessage, RollbackMessage
from tests.deploy.bicep import Bicep
from tests.deploy.test_infra import FILES
from tests.deploy.test_schemas import as_pipelines_read, pipeline_validator
from tests.unit.test_docs import ROOT, Folder, body, pipeline

FILE = "examples/pipelines/models.yml"
ID = "3f9a1c0b7d52"
APP = ["--resource-group", "mlgate", "--name", "mlgate-serving"]
SERVES = f"HTTP/2 200\r\nmlgate-model: iris@{ID}\r\nmlgate-model-number: 3\r\n\r\n"


def job(stage: str, name: str) -> dict[str, Any]:
    stages = {each["stage"]: each["jobs"] for each in pipeline(FILE)["stages"]}
    return next(dict(each) for each in stages[stage] if each["job"] == name)


def message(stage: str, name: str) -> Any:
    return read(body(FILE, job(stage, name)).encode()).message()


def run(script: str, folder: Path, **programs: str) -> tuple[int, str, list[list[str]]]:
    """The script's exit code, its output, and the arguments of each of these programs' calls."""
    calls = folder / "calls"
    for name, does in {"az": ":", "curl": ":", "mlgate": ":", "sleep": ":", **programs}.items():
        noted = f'printf "%s " {name} >> {calls}; printf "%q " "$@" >> {calls}; echo >> {calls}'
        (folder / name).write_text(f"#!/bin/bash\n{noted}\n{does}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{folder}:/usr/bin:/bin", "ID": ID},
        check=False,
        capture_output=True,
        text=True,
    )
    said = [shlex.split(line) for line in calls.read_text().splitlines()]
    return done.returncode, done.stdout + done.stderr, said


def script(stage: str, number: int) -> str:
    """Of the job of the stage's name."""
    steps = [each for each in job(stage, stage)["steps"] if each.get("task") == "AzureCLI@2"]
    return str(steps[number]["inputs"]["inlineScript"])


def changes(calls: list[list[str]]) -> list[str]:
    """What was changed of the app."""
    asked = [[each for each in call if each not in APP] for call in calls]
    return [
        " ".join(call[2:]).replace(" --output none", "").replace(" --no-prompt", "")
        for call in asked
        if call[0] == "az" and "show" not in call
    ]


def test_it_is_a_pipeline_to_microsofts_schema() -> None:
    file = as_pipelines_read(yaml.safe_load((ROOT / FILE).read_text("utf-8")))
    pipeline_validator().validate(file)
    file["stages"][1]["jobs"][0]["steps"][0]["inputs"].pop("notifyUsers")
    assert not pipeline_validator().is_valid(file)


def test_the_training_is_planned_with_nothing_that_can_be_known_to_fail() -> None:
    start = message("train", "train")
    assert isinstance(start, StartMessage)
    tree = Folder(ROOT, "examples/iris")

    class Tree:
        """The example, and the lock that it names."""

        def files(self) -> list[str]:
            return [*tree.files(), "requirements-serving.txt"]

        def read(self, path: str) -> bytes:
            return tree.read(path)

    planned = plan(start, Tree())
    assert [run.spec.name for run in planned.runs] == ["train", "evaluate", "check"]
    assert preflight(planned, Tree()) == []
    assert planned.warnings == ()
    assert start.promote is not None
    assert start.promote.model == "iris-staging"


def test_what_the_build_offered_is_promoted_and_what_was_promoted_rolled_back() -> None:
    start, promote = message("train", "train"), message("promote", "promote")
    back = message("rollback", "rollback")

    assert isinstance(promote, PromoteMessage)
    assert isinstance(back, RollbackMessage)
    assert promote.build == start.build_id
    assert (promote.model, back.model) == ("iris", "iris")
    assert start.promote.model == f"{promote.model}-staging"


@pytest.mark.parametrize(
    ("stage", "name"), [("train", "train"), ("promote", "promote"), ("rollback", "rollback")]
)
def test_a_message_waits_without_an_agent_and_longer_than_its_deadline(
    stage: str, name: str
) -> None:
    waiting = job(stage, name)
    [step] = waiting["steps"]

    assert waiting["pool"] == "server"
    assert step["inputs"]["waitForCompletion"] is True
    assert step["inputs"]["useDataContractSerializer"] is False
    assert waiting["timeoutInMinutes"] > message(stage, name).deadline_minutes


@pytest.mark.parametrize("stage", ["promote", "rollback"])
def test_somebody_is_asked_before_the_log_changes(stage: str) -> None:
    [validation] = job(stage, "approve")["steps"]

    assert validation["task"] == "ManualValidation@1"
    assert validation["inputs"]["onTimeout"] == "reject"
    assert validation["inputs"]["approvers"] == pipeline(FILE)["parameters"][5]["default"]
    assert job(stage, stage)["dependsOn"] == "approve"


def test_the_canary_is_the_version_that_was_promoted() -> None:
    [step] = job("promote", "promote")["steps"]
    source = (ROOT / FILE).read_text("utf-8")

    assert f"['promote.{step['name']}.promotion.outcome']" in source
    assert f"promote.promote.outputs['{step['name']}.promotion.id']" in source


def test_a_revision_is_named_as_the_template_names_it() -> None:
    template = Bicep(FILES["serving.bicep"]).source
    assert "'${appName}--v${green}'" in template
    assert '="mlgate-serving--v$ID"' in script("canary", 0)
    assert "'${model}@${" in template
    assert '"MLGATE_MODEL=iris@$ID"' in script("canary", 0)


@pytest.mark.parametrize(
    ("there", "before", "expected"),
    [
        pytest.param(
            False,
            "",
            [
                f"update --revision-suffix v{ID} --set-env-vars MLGATE_MODEL=iris@{ID}",
                f"revision label add --label green --revision mlgate-serving--v{ID}",
            ],
            id="the first canary",
        ),
        pytest.param(
            False,
            "mlgate-serving--v000000000000",
            [
                f"update --revision-suffix v{ID} --set-env-vars MLGATE_MODEL=iris@{ID}",
                f"revision label add --label green --revision mlgate-serving--v{ID}",
                "revision deactivate --revision mlgate-serving--v000000000000",
            ],
            id="another one before",
        ),
        pytest.param(
            True,
            f"mlgate-serving--v{ID}",
            [
                f"revision activate --revision mlgate-serving--v{ID}",
                f"revision label add --label green --revision mlgate-serving--v{ID}",
            ],
            id="the stage runs again",
        ),
    ],
)
def test_a_canary_gets_a_revision_and_a_label(
    there: bool, before: str, expected: list[str], tmp_path: Path
) -> None:
    az = (
        f'case "$*" in *"traffic show"*weight*) ;; *"traffic show"*) echo {before} ;; '
        f'*"revision show"*) exit {0 if there else 3} ;; esac'
    )
    code, said, calls = run(script("canary", 0), tmp_path, az=az)

    assert code == 0, said
    assert changes(calls) == expected


@pytest.mark.parametrize(
    ("before", "weight", "code"),
    [("v000000000000", 10, 1), ("v000000000000", 0, 0), (f"v{ID}", 10, 0)],
)
def test_a_green_that_gets_requests_is_not_moved(
    before: str, weight: int, code: int, tmp_path: Path
) -> None:
    az = (
        f'case "$*" in *"traffic show"*weight*) echo {weight} ;; '
        f'*"traffic show"*) echo mlgate-serving--{before} ;; esac'
    )
    found, said, calls = run(script("canary", 0), tmp_path, az=az)

    assert found == code, said
    assert bool(changes(calls)) is (code == 0)
    assert ("Give them to blue first" in said) is (code == 1)


@pytest.mark.parametrize(
    ("ping", "load", "code"),
    [
        pytest.param(SERVES, 0, 0, id="it serves and holds the load"),
        pytest.param(SERVES, 1, 1, id="it serves and does not hold the load"),
        pytest.param(SERVES.replace(ID, "000000000000"), 0, 1, id="another version serves"),
        pytest.param("", 0, 1, id="none serves"),
    ],
)
def test_a_canary_is_asked_by_its_label(ping: str, load: int, code: int, tmp_path: Path) -> None:
    found, said, calls = run(
        script("canary", 1),
        tmp_path,
        az="echo mlgate-serving.wonderful.westeurope.azurecontainerapps.io",
        curl=f'case "$*" in */ping) printf %s {shlex.quote(ping)} ;; *) echo said ;; esac',
        mlgate=f"exit {load}",
    )
    url = "https://mlgate-serving---green.wonderful.westeurope.azurecontainerapps.io"
    serves = ping == SERVES

    assert found == code, said
    assert [call[1:3] for call in calls if call[0] == "mlgate"] == [["load", url]] * serves
    assert (f"The canary does not serve {ID}: said" in said) is not serves


def test_weights_go_up_only_while_the_load_holds(tmp_path: Path) -> None:
    az = "echo mlgate-serving.wonderful.azurecontainerapps.io"
    fine, broken = tmp_path / "fine", tmp_path / "broken"
    fine.mkdir()
    broken.mkdir()
    code, said, calls = run(script("weights", 0), fine, az=az)
    failed, _, stopped = run(script("weights", 0), broken, az=az, mlgate="exit 1")

    assert code == 0, said
    assert changes(calls) == [
        "ingress traffic set --label-weight blue=90 green=10",
        "ingress traffic set --label-weight blue=0 green=100",
        "revision label swap --source blue --target green",
    ]
    assert failed == 1
    assert changes(stopped) == ["ingress traffic set --label-weight blue=90 green=10"]


def test_a_failure_gives_all_requests_back_at_once(tmp_path: Path) -> None:
    back = job("weights", "weights")["steps"][-1]
    code, said, calls = run(script("weights", 1), tmp_path)

    assert back["condition"] == "not(succeeded())"
    asks = next(each for each in pipeline(FILE)["stages"] if each["stage"] == "rollback")
    for stage in ("canary", "weights"):
        assert f"in(dependencies.{stage}.result, 'Failed', 'Canceled')" in asks["condition"]
    assert code == 0, said
    assert changes(calls) == ["ingress traffic set --label-weight blue=100 green=0"]


def test_no_script_has_a_variable_of_pipelines_in_it() -> None:
    """They come by the environment, so that none is taken for a part of the script."""
    for stage, numbers in {"canary": (0, 1), "weights": (0, 1)}.items():
        for number in numbers:
            assert not re.findall(r"\$\([\w.]+\)", script(stage, number))
