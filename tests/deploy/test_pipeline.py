"""The pipeline's message, by the command that people check theirs with."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.commands import mlgate
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
