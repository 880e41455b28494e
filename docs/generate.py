"""Writes the reference of the message from its JSON Schema: `docs/generate.py > docs/messages.md`.

The schema knows fields, types, defaults and meanings; here is only what it cannot know: the order
of the sections, and an example for every field.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from mlgate.orchestration.findings import Code
from mlgate.orchestration.identity import PIPELINE_PROPERTIES
from mlgate.orchestration.messages import schema
from mlgate.orchestration.runs import FailureKind

Schema = Mapping[str, Any]

MESSAGE = "Message"  # the schema's root, which has no definition's name
BOTH = "Run"  # what a notebook and a training have in common

EXAMPLES: dict[str, dict[str, Any]] = {
    MESSAGE: {
        "version": 1,
        "kind": "start",
        "build_id": "20261121.3",
        "attempt": 1,
        "repository": {"url": "https://dev.azure.com/contoso/flowers/_git/flowers"},
        "backend": "local",
        "workspace": {"subscription_id": "0f3c", "resource_group": "ml", "name": "gate"},
        "deadline_minutes": 240,
        "defaults": {"timeout_minutes": 30},
        "runs": [{"kind": "notebook", "path": "explore.ipynb"}],
        "runs_from": "plans/nightly.json",
        "gate": {"condition": "any_pass"},
    },
    "Repository": {
        "url": "https://dev.azure.com/contoso/flowers/_git/flowers",
        "ref": "refs/heads/main",
        "subdirectory": "examples/iris",
        "submodules": True,
        "lfs": True,
    },
    BOTH: {
        "name": "train",
        "needs": ["prepare"],
        "directory": "models",
        "environment": {"requirements": "requirements.txt"},
        "compute": "cpu-cluster",
        "resources": {"instance_count": 2},
        "environment_variables": {"REGION": "west"},
        "tags": {"team": "flowers"},
        "outputs": ["figures/*.png"],
        "timeout_minutes": 90,
        "retries": 2,
    },
    "NotebookRun": {
        "kind": "notebook",
        "path": "notebooks/**/*.ipynb",
        "parameters": {"sample": 120},
        "kernel": "python3",
        "cell_timeout_seconds": 600,
    },
    "TrainingRun": {"kind": "training", "command": "python train.py --alpha 0.5"},
    "EnvironmentFiles": {
        "requirements": "requirements.txt",
        "conda_file": "conda.yml",
        "image": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04",
        "azureml": "sklearn-env:3",
    },
    "ComputeResources": {
        "instance_type": "Standard_DS3_v2",
        "instance_count": 2,
        "shm_size": "2g",
    },
    "Workspace": {"subscription_id": "0f3c", "resource_group": "ml", "name": "gate"},
    "GateRequest": {
        "condition": {"at_least": 3},
        "metrics": [{"run": "train", "metric": "accuracy", "at_least": 0.9}],
    },
    "MetricBound": {"run": "train", "metric": "accuracy", "at_least": 0.9, "at_most": 0.1},
}

_TITLES = {
    MESSAGE: "The message",
    "Repository": "`repository`",
    BOTH: "Every run",
    "NotebookRun": "A notebook",
    "TrainingRun": "A training",
    "EnvironmentFiles": "`environment`",
    "ComputeResources": "`resources`",
    "Workspace": "`workspace`",
    "GateRequest": "`gate`",
    "MetricBound": "An entry of `gate.metrics`",
}

_INTRODUCTION = """\
# The message, version 1

<!-- Made by docs/generate.py from the schema; change the models, not this page. -->

A message is one JSON object in UTF-8. `mlgate schema` prints its JSON Schema, and
`mlgate validate MESSAGE.json` tells everything that is wrong with one.

- An unknown field is a finding that names the nearest known one. There is no `null`: a field that
  is not wanted is left out.
- A body wrapped by the .NET DataContract serializer, the default of the Azure DevOps task, reads
  the same as a raw one.
- A value that still holds a pipeline variable, such as `$(Build.SourceVersion)`, is a finding.
- A path is relative, with `/` between folders and without `..`.

The smallest message that does something:

```json
{
  "version": 1,
  "repository": { "url": "https://dev.azure.com/contoso/flowers/_git/flowers" },
  "runs": [{ "kind": "notebook", "path": "explore.ipynb" }]
}
```
"""

_DEFAULTS = """\
## `defaults`

Any field of [every run](#every-run) but `name` and `needs`, and of [a notebook](#a-notebook) but
`kind` and `path`. What a run says itself wins. `parameters`, `environment_variables` and `tags` are
merged key by key; any other field replaces the default as a whole. A training takes no notice of
a notebook's fields.

## `runs_from`

A JSON file in the repository that holds `runs`, `defaults` and `gate`, as in the message. What the
message itself says wins: its `runs` and its `gate` replace the file's, its `defaults` go over the
file's field by field. [examples/plan.json](../examples/plan.json) is such a file.
"""

_RUNS = """\
## What a run finds and leaves

In its environment, on every backend: `MLGATE_BUILD_ID`, `MLGATE_RUN_NAME`, and for each run that it
needs `MLGATE_INPUT_<NAME>` (upper case, `-` as `_`): a folder with that run's kept outputs, by
their relative paths. The host's own settings and tokens are not passed on.

Metrics are those that the run logs with MLflow, the latest value of each, and the numbers in
`outputs/metrics.json`, which win. Files kept are `outputs/**` and what `outputs` names: 10 GiB of a
run's at most. What does not fit is left out, and a warning of the run tells of it.

Three tags of notebook cells have a meaning: `parameters`, `raises-exception` (an error is
expected), and `skip-execution`. `sys.exit(0)` ends a notebook early and passes.

A run that failed says why in one of these words. Transient ones are retried while `retries` last.

| `failure.kind` | meaning | transient |
|---|---|---|
"""

_FAILURES = {
    FailureKind.CODE: "The run's own code raised, or a command ended with an exit code.",
    FailureKind.DEPENDENCY: "An import or package is missing.",
    FailureKind.ENVIRONMENT: "A package's version does not fit, or the environment cannot be made.",
    FailureKind.DATA: "A file that should be there is not.",
    FailureKind.NETWORK: "Something outside did not answer.",
    FailureKind.TIMEOUT: "A cell or the run took longer than it may.",
    FailureKind.KERNEL_DIED: "The notebook's kernel ended by itself.",
    FailureKind.OUT_OF_MEMORY: "Memory ran out, `MemoryError` included.",
    FailureKind.PREEMPTED: "The machine was taken away.",
    FailureKind.INVALID: "It could not even start: no such notebook, not readable, not Python.",
    FailureKind.INFRASTRUCTURE: "The fault is mlgate's or the cloud's.",
}

_PROPERTIES = """\
## Application properties

The pipeline's coordinates and its token are never in the body. The task
`PublishToAzureServiceBus` sets them as application properties of the message:

{names}

`HubName`, `TaskInstanceName` and `TaskInstanceId` may be absent; of the others all are there, or
none. A message without them is a build without a pipeline: the same runs, and the verdict in the
files and the history only.

A build is identified by plan, job, task instance and `attempt`; without a pipeline, by the Service
Bus message id. The same identity delivered twice is one build.
"""

_FINDINGS = """\
## Findings

Each finding has a stable code, a JSON pointer to the place, what is wrong and what to do.

| code | meaning |
|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    sections = [_INTRODUCTION]
    sections += [_section(title, owner) for owner, title in _TITLES.items()]
    failures = "".join(
        f"| `{kind}` | {_FAILURES[kind]} | {'yes' if kind.transient else 'no'} |\n"
        for kind in FailureKind
    )
    names = ", ".join(f"`{name}`" for name in PIPELINE_PROPERTIES)
    sections += [_DEFAULTS, _RUNS + failures, _PROPERTIES.format(names=names)]
    findings = "".join(f"| `{code.value}` | {code.meaning} |\n" for code in Code)
    return "\n".join([*sections, _FINDINGS + findings])


def fields(owner: str) -> dict[str, Schema]:
    """The schemas of a section's fields, by name."""
    if owner == MESSAGE:
        return dict(schema()["properties"])
    notebook, training = _definition("NotebookRun"), _definition("TrainingRun")
    common = {
        name: field
        for name, field in notebook["properties"].items()
        if name in training["properties"] and name != "kind"
    }
    if owner == BOTH:
        return common
    own = _definition(owner)["properties"]
    if owner not in ("NotebookRun", "TrainingRun"):
        return dict(own)
    return {name: field for name, field in own.items() if name not in common}


def _required(owner: str) -> list[str]:
    if owner == BOTH:
        return []
    return list((schema() if owner == MESSAGE else _definition(owner)).get("required", []))


def _definition(name: str) -> Schema:
    found: Schema = schema()["$defs"][name]
    return found


def _section(title: str, owner: str) -> str:
    rows = "".join(_rows(owner))
    about = "" if owner in (MESSAGE, BOTH) else _meaning(_definition(owner)) + "\n\n"
    head = "| field | type | default | meaning | example |\n|---|---|---|---|---|\n"
    return f"## {title}\n\n{about}{head}{rows}"


def _rows(owner: str) -> Iterator[str]:
    required = _required(owner)
    for name, field in sorted(fields(owner).items(), key=lambda each: each[0] not in required):
        default = _code(field["default"]) if "default" in field else "-"
        cells = [
            f"`{name}`",
            _type(field),
            "required" if name in required else default,
            _meaning(field),
            _code(EXAMPLES[owner][name]),
        ]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _type(field: Schema) -> str:
    """What a value may be, in a few words; a definition is a link to its section."""
    if "$ref" in field:
        return _link(field["$ref"].rpartition("/")[2])
    if "const" in field:
        return _code(field["const"])
    if "enum" in field:
        return " or ".join(_code(each) for each in field["enum"])
    if "oneOf" in field:
        return " or ".join(dict.fromkeys(_type(each) for each in field["oneOf"]))
    if field["type"] == "array":
        return f"list of: {_type(field['items'])}"
    if field["type"] == "string" and "pattern" in field:
        return "path" if ".." in field["pattern"].replace("\\", "") else "string"
    return f"{field['type']}{_limits(field)}"


def _limits(field: Schema) -> str:
    words = {"exclusiveMinimum": "over", "minimum": "at least", "maximum": "at most"}
    limits = [f"{word} {field[key]}" for key, word in words.items() if key in field]
    return f" {', '.join(limits)}" if limits else ""


def _link(definition: str) -> str:
    if definition == "AtLeast":
        return '`{"at_least": n}`'
    if definition == "Defaults":
        return "[object](#defaults)"
    title = _TITLES[definition]
    anchor = title.lower().replace("`", "").replace(".", "").replace(" ", "-")
    return f"[{'object' if title.startswith('`') else title.lower()}](#{anchor})"


def _meaning(field: Schema) -> str:
    if "description" not in field:  # the same as its definition's
        return _meaning(_definition(field["$ref"].rpartition("/")[2]))
    return " ".join(field["description"].split())


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    sys.stdout.write(page())
