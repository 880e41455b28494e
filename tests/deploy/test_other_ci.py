"""What GitHub, GitLab and Jenkins are given: files held to their schemas, scripts run by the
shell, and messages, expanded as each of them does, read and planned."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mlgate.hosts import cli
from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.planning.preflight import preflight
from mlgate.orchestration.wire.messages import Request, StartMessage, read
from mlgate.orchestration.wire.promotion import PromoteMessage, RollbackMessage
from tests.deploy.test_schemas import packaged
from tests.unit.test_docs import EXAMPLES, ROOT

GITHUB = ROOT / "examples/github"
CALLED = "./.github/workflows/mlgate.yml"
PAGE = (ROOT / "docs/other-ci.md").read_text("utf-8")
COMMIT = "6a98dbd8ff59352cef82aaabd5c99cd59deae767"
REASON = 'It said "no", "to": \\ and `id` was slow; $HOME %s'

# As GitHub evaluates them.
EXPRESSIONS = {
    "github.run_id": "4711",
    "github.run_attempt": "2",
    "github.server_url": "https://github.com",
    "github.repository": "contoso/flowers",
    "github.sha": COMMIT,
    "toJSON(inputs.reason)": json.dumps(REASON),
    "inputs.to && format('\"to\": {0},', toJSON(inputs.to))": '"to": "3f9a1c0b7d52",',
}
VARIABLES = {
    "CI_JOB_ID": "4711",
    "CI_PROJECT_URL": "https://gitlab.com/contoso/flowers",
    "CI_COMMIT_SHA": COMMIT,
    "BUILD_TAG": "jenkins-gate-4711",
    "GIT_URL": "https://github.com/contoso/flowers.git",
    "GIT_COMMIT": COMMIT,
    "AZURE_TOKEN": "radioactive",
}
STAND_IN = """#!/bin/bash
printf '%s\\n' "$@" > arguments.txt
trap 'echo canceled; exit 130' INT
echo started
while [ -e stay ]; do sleep 0.02; done
"""


def loaded(file: Path) -> Any:
    return yaml.load(file.read_text("utf-8"), yaml.BaseLoader)


WORKFLOWS = {file.stem: loaded(file) for file in sorted(GITHUB.glob("*.yml"))}
CALLERS = {
    f"{name}-{job}": content
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
    if "uses" in content
}


def schema(name: str) -> jsonschema.Draft7Validator:
    folder = "check_jsonschema/builtin_schemas/vendor"
    return jsonschema.Draft7Validator(packaged("check-jsonschema", f"{folder}/{name}.json"))


def as_github_reads(file: Path) -> Any:
    """`on` is a word there, and not YAML 1.1's boolean."""
    content = yaml.safe_load(file.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in content.items()}


def message_of(caller: str, **typed: str) -> Request:
    expressions = {**EXPRESSIONS, **typed}
    text = re.sub(
        r"\$\{\{ (.+?) \}\}(?=[\"',/]|$)",
        lambda found: expressions[found[1]],
        CALLERS[caller]["with"]["message"],
        flags=re.MULTILINE,
    )
    return request(text)


def request(text: str) -> Request:
    message = read(text.encode()).message()
    assert isinstance(message, StartMessage | PromoteMessage | RollbackMessage)
    return message


def step(name: str) -> Any:
    steps = WORKFLOWS["mlgate"]["jobs"]["build"]["steps"]
    [found] = [each for each in steps if each.get("name") == name]
    return found


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def gitlab() -> Any:
    return yaml.safe_load(block("yaml"))


def jenkins() -> str:
    [script] = re.findall(r"sh '''\n(.*?)'''", block("groovy"), re.DOTALL)
    return str(script)


def put(folder: Path, **programs: str) -> None:
    for name, content in programs.items():
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(content)
        (folder / "bin" / name).chmod(0o755)


def environment(folder: Path, **more: str) -> dict[str, str]:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "CI_PROJECT_DIR": str(folder), **VARIABLES, **more}


def run_script(folder: Path, script: str, **more: str) -> list[str]:
    """Run it as runners do; returns what `mlgate` was called with."""
    put(folder, mlgate=STAND_IN, pip="#!/bin/sh\n")
    (folder / "script").write_text(script)
    subprocess.run(
        ["bash", "-e", "script"], cwd=folder, env=environment(folder, **more), check=True
    )
    return (folder / "arguments.txt").read_text().splitlines()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_one_to_the_public_schema(name: str) -> None:
    schema("github-workflows").validate(as_github_reads(GITHUB / f"{name}.yml"))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (["jobs", "build"], {"runs-om": "x"}),
        (["jobs", "build", "permissions"], {"id-token": "all"}),
        (["on", "workflow_call", "inputs", "message"], {"type": "text"}),
        (["jobs", "build", "steps", 0], {"run": "both"}),
    ],
    ids=str,
)
def test_that_schema_would_tell(path: list[Any], change: dict[str, Any]) -> None:
    broken = copy.deepcopy(as_github_reads(GITHUB / "mlgate.yml"))
    place = broken
    for part in path:
        place = place[part]
    place.update(change)

    assert not schema("github-workflows").is_valid(broken)


def test_the_workflows_may_do_no_more_than_sign_in() -> None:
    for workflow in WORKFLOWS.values():
        assert workflow["permissions"] == {}
        assert workflow is WORKFLOWS["mlgate"] or "group" in workflow["concurrency"]
        for job in workflow["jobs"].values():
            assert job["permissions"] == {"id-token": "write"}
    assert "secrets." not in "".join(file.read_text() for file in GITHUB.glob("*.yml"))
    scripts = [
        each["run"] for each in WORKFLOWS["mlgate"]["jobs"]["build"]["steps"] if "run" in each
    ]
    assert not any("${{" in script for script in scripts), "nothing is put into a script as text"


def test_only_a_known_workflow_is_called_with_what_it_takes() -> None:
    inputs = WORKFLOWS["mlgate"]["on"]["workflow_call"]["inputs"]
    for job in CALLERS.values():
        assert job["uses"] == CALLED
        assert set(job["with"]) <= set(inputs)
    assert CALLERS["train-promote"]["with"]["environment"] == "production"
    assert CALLERS["train-promote"]["needs"] == "train"
    assert CALLERS["rollback-rollback"]["with"]["environment"] == "production"


@pytest.mark.parametrize("caller", CALLERS)
def test_a_workflows_message_is_one_and_ends_before_its_job(caller: str) -> None:
    message = message_of(caller)
    inputs = WORKFLOWS["mlgate"]["on"]["workflow_call"]["inputs"]

    assert (message.build_id, message.attempt) == ("4711", 2)
    assert message.deadline_minutes < int(inputs["minutes"]["default"])
    if isinstance(message, StartMessage):
        assert message.repository.url == "https://github.com/contoso/flowers"
        assert message.repository.ref == COMMIT


@pytest.mark.parametrize(
    ("caller", "model"), [("gate-gate", None), ("train-train", "iris-staging")]
)
def test_what_a_workflow_runs_is_this_repositorys_examples(caller: str, model: str | None) -> None:
    message = message_of(caller)
    assert isinstance(message, StartMessage)
    planned = plan(message, EXAMPLES)

    names = [run.spec.name for run in planned.runs]
    assert names[:3] == ["explore", "train", "evaluate"]
    assert (planned.promote.model if planned.promote else None) == model
    assert preflight(planned, EXAMPLES) == []
    assert planned.warnings == ()


def test_what_is_promoted_is_what_was_trained_and_to_another_model() -> None:
    train, promote = message_of("train-train"), message_of("train-promote")
    assert isinstance(train, StartMessage)
    assert isinstance(promote, PromoteMessage)
    assert train.promote is not None

    assert promote.build == train.build_id
    assert (train.promote.model, promote.model) == ("iris-staging", "iris")


def test_what_a_person_types_stays_a_value() -> None:
    [to] = [name for name in EXPRESSIONS if name.startswith("inputs.to")]
    typed = message_of("rollback-rollback")
    previous = message_of("rollback-rollback", **{to: ""})
    assert isinstance(typed, RollbackMessage)
    assert isinstance(previous, RollbackMessage)

    assert (typed.reason, typed.to) == (REASON, "3f9a1c0b7d52")
    assert (previous.reason, previous.to) == (REASON, None)


def test_the_called_workflow_publishes_the_message_as_it_is(tmp_path: Path) -> None:
    said = run_script(tmp_path, step("mlgate")["run"], MESSAGE=REASON)

    assert (tmp_path / "message.json").read_text() == REASON
    options = cli.parser().parse_args(said)
    assert (options.wait, str(options.junit)) == (True, "junit.xml")


def test_a_canceled_job_reaches_the_command(tmp_path: Path) -> None:
    """GitHub's runner signals the shell of the step, and no other process."""
    put(tmp_path, mlgate=STAND_IN)
    (tmp_path / "script").write_text(step("mlgate")["run"])
    (tmp_path / "stay").touch()
    shell = subprocess.Popen(
        ["bash", "-e", "script"],
        cwd=tmp_path,
        env=environment(tmp_path, MESSAGE="{}"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "started\n"
        shell.send_signal(signal.SIGINT)
        out, _ = shell.communicate(timeout=30)
    finally:
        (tmp_path / "stay").unlink()

    assert (shell.returncode, out) == (130, "canceled\n")


def test_the_job_signs_in_again_although_a_try_has_failed(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    put(
        tmp_path,
        sleep=f"#!/bin/sh\necho sleep >> {calls}\n[ $(grep -c sleep {calls}) -lt 4 ]\n",
        curl=f'#!/bin/sh\n[ $(grep -c sleep {calls}) -ne 2 ] && echo \'{{"value": "fresh"}}\'\n',
        az=f'#!/bin/sh\necho "$@" >> {calls}\n[ $(grep -c sleep {calls}) -ne 1 ]\n',
    )
    more = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x?a=b", "CLIENT": "me", "TENANT": "here"}
    more["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "radioactive"
    script = f"{step('stay signed in')['run']}\nwait\n"
    subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=environment(tmp_path, **more), check=False
    )

    tokens = re.findall("--federated-token (.*?) --allow", calls.read_text())
    assert tokens == ["fresh", "", "fresh"]


def test_the_page_of_gitlab_is_one_to_gitlabs_schema() -> None:
    validator = schema("gitlab-ci")
    validator.validate(gitlab())

    broken = gitlab()
    broken["gate"]["id_tokens"]["AZURE_TOKEN"] = {"audience": "x"}
    assert not validator.is_valid(broken)


@pytest.mark.parametrize("where", ["gitlab", "jenkins"])
def test_a_pages_script_publishes_a_message_that_can_be_planned(where: str, tmp_path: Path) -> None:
    more = {}
    if where == "gitlab":
        job = gitlab()["gate"]
        script = "\n".join(job["script"])
        token = tmp_path / ".azure-token"
        assert job["variables"]["AZURE_FEDERATED_TOKEN_FILE"] == "$CI_PROJECT_DIR/.azure-token"
        more = {"AZURE_FEDERATED_TOKEN_FILE": str(token)}
    else:
        script = jenkins()
    options = cli.parser().parse_args(run_script(tmp_path, script, **more))
    message = request((tmp_path / options.message).read_text())

    assert options.wait
    assert isinstance(message, StartMessage)
    assert message.repository.ref == COMMIT
    assert [run.spec.name for run in plan(message, EXAMPLES).runs][:2] == ["explore", "train"]


@pytest.mark.parametrize(("status", "called"), [("canceled", ["cancel", "4711"]), ("success", [])])
def test_a_canceled_job_of_gitlab_cancels_the_build(
    status: str, called: list[str], tmp_path: Path
) -> None:
    (tmp_path / "arguments.txt").touch()
    script = "\n".join(gitlab()["gate"]["after_script"])

    assert run_script(tmp_path, script, CI_JOB_STATUS=status) == called
