"""What the pipeline publishes, by the command that people check theirs with, and what it packs."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import mlgate
from tests.functions.conftest import left_by_funcignore
from tests.unit.test_docs import ROOT, agentless_job, body, pipeline

HOSTS = ("containerApp", "functionApp")


def deployment(host: str) -> dict[str, Any]:
    """The job that deploys to such a host."""
    jobs = pipeline("azure-pipelines.yml")["stages"][1]["jobs"]
    [job] = [each for each in jobs if each["condition"].endswith(f", '{host}')")]
    return dict(job)


def scripts(host: str) -> list[str]:
    steps = deployment(host)["steps"]
    found = [each.get("script") or each["inputs"].get("inlineScript") for each in steps]
    return [each for each in found if each]


def test_mlgate_validate_takes_the_message_that_the_pipeline_publishes(tmp_path: Path) -> None:
    [step] = agentless_job("azure-pipelines.yml")["steps"]
    file = tmp_path / "message.json"
    file.write_text(body("azure-pipelines.yml"))
    taken = mlgate(tmp_path, "validate", file, "--repository", ROOT, "--ref", "HEAD", "--checkout")
    raw = step["inputs"]["messageBody"]
    file.write_text(raw.replace("$(System.JobAttempt)", "1"))
    refused = mlgate(tmp_path, "validate", file)

    assert taken.code == 0, taken.err
    assert refused.code == 2
    assert "/repository/ref" in refused.err


def test_the_package_holds_what_funcignore_leaves_and_the_packages_it_needs() -> None:
    script = scripts("functionApp")[0].replace("\\\n", " ")
    [(kept, left_out)] = re.findall(r'^zip -qr "[^"]+" (.+?) -x (.+)$', script, re.MULTILINE)
    left = left_by_funcignore()
    assert "handlers/__init__.py" in left

    assert set(kept.split()) == {path.partition("/")[0] for path in left} - {"LICENSE"} | {
        ".python_packages"
    }
    assert "'mlgate/emulators/*'" in left_out
    assert not [path for path in left if path.startswith("mlgate/emulators/")]


@pytest.mark.parametrize("host", HOSTS)
def test_a_deployments_scripts_are_ones_to_the_shell(host: str) -> None:
    for script in scripts(host):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        ("mlgate/RunNotebookFunctionApp\nmlgate/SweepBuildsFunctionApp", 0),
        ("mlgate/SweepBuildsFunctionApp\nmlgate/RunNotebookFunctionApp", 0),
        ("mlgate/RunNotebookFunctionApp", 1),
        ("", 1),
    ],
)
def test_a_deployment_that_leaves_a_function_out_fails(
    listed: str, code: int, tmp_path: Path
) -> None:
    for name, does in {"az": f"printf %s {shlex.quote(listed)}", "sleep": ":"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", scripts("functionApp")[-1]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == code
    assert ("##vso[task.logissue type=error]" in done.stdout) is bool(code)
