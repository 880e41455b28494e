"""What the pipeline publishes, by the command that people check theirs with, and what it packs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.e2e.commands import mlgate
from tests.functions.conftest import left_by_funcignore
from tests.unit.test_docs import ROOT, VARIABLES, agentless_job


def test_mlgate_validate_takes_the_message_that_the_pipeline_publishes(tmp_path: Path) -> None:
    [step] = agentless_job("azure-pipelines.yml")["steps"]
    body = step["inputs"]["messageBody"]
    file = tmp_path / "message.json"
    file.write_text(re.sub(r"\$\(([\w.]+)\)", lambda found: VARIABLES[found[1]], body))
    taken = mlgate(tmp_path, "validate", file, "--repository", ROOT, "--ref", "HEAD", "--checkout")
    file.write_text(body.replace("$(System.JobAttempt)", "1"))
    refused = mlgate(tmp_path, "validate", file)

    assert taken.code == 0, taken.err
    assert refused.code == 2
    assert "/repository/ref" in refused.err


def test_the_package_holds_what_funcignore_leaves_and_the_packages_it_needs() -> None:
    stages = yaml.safe_load((ROOT / "azure-pipelines.yml").read_text("utf-8"))["stages"]
    script = stages[1]["jobs"][0]["steps"][1]["script"].replace("\\\n", " ")
    [(kept, left_out)] = re.findall(r'^zip -qr "[^"]+" (.+?) -x (.+)$', script, re.MULTILINE)
    left = left_by_funcignore()
    assert "handlers/__init__.py" in left

    assert set(kept.split()) == {path.partition("/")[0] for path in left} - {"LICENSE"} | {
        ".python_packages"
    }
    assert "'mlgate/emulators/*'" in left_out
    assert not [path for path in left if path.startswith("mlgate/emulators/")]
