"""What the sites that host a repository read, against their public schemas."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.test_schemas import packaged

ROOT = Path(__file__).parents[2]
FORMS = sorted(
    path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"
)


def errors(schema: str, content: Any) -> list[str]:
    """What a schema that `check-jsonschema` brings finds wrong."""
    folder = "check_jsonschema/builtin_schemas/vendor"
    known = packaged("check-jsonschema", f"{folder}/{schema}.json")
    validator = jsonschema.validators.validator_for(known)(known)
    return [error.message for error in validator.iter_errors(content)]


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one_to_github(form: Path) -> None:
    content = yaml.safe_load(form.read_text("utf-8"))

    assert not errors("github-issue-forms", content)
    assert errors("github-issue-forms", {**content, "body": [{"type": "texterea"}]})


def test_the_other_files_are_some_to_their_schemas() -> None:
    renovate = json.loads((ROOT / "renovate.json").read_text("utf-8"))

    assert not errors("github-issue-config", read(".github/ISSUE_TEMPLATE/config.yml"))
    assert not errors("renovate", renovate)
    assert errors("renovate", {**renovate, "extends": 1})


def test_a_commit_is_checked_by_what_make_check_runs() -> None:
    hooks = read(".pre-commit-config.yaml")["repos"][0]["hooks"]
    called = {Path(shlex.split(hook["entry"])[0]).name for hook in hooks}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    _, _, rest = makefile.partition("\ncheck: ")
    lines = rest.partition("\n\n")[0].splitlines()[1:]

    assert called == {Path(shlex.split(line)[0]).name for line in lines}


def test_the_dev_container_sets_up_what_make_does() -> None:
    described = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"))
    _, _, target = described["postCreateCommand"].partition("make ")
    done = subprocess.run(["make", "-n", target], cwd=ROOT, check=False, capture_output=True)

    assert done.returncode == 0
