"""Writes the reference of the message from its JSON Schema: `docs/generate.py > docs/messages.md`.

The schema knows fields, types, defaults and meanings; here is only what it cannot know: the order
of the sections, an example for every field, and the page's own text, which makes this file long.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from mlgate.orchestration.admission.identity import PIPELINE_PROPERTIES
from mlgate.orchestration.findings import MOST_FINDINGS, Code
from mlgate.orchestration.planning.size import MOST_BYTES
from mlgate.orchestration.runs import FailureKind
from mlgate.orchestration.wire.fields import MAX_RUNS
from mlgate.orchestration.wire.json_text import MAX_LENGTH
from mlgate.orchestration.wire.messages import StartMessage
from mlgate.orchestration.wire.schema import schema

Schema = Mapping[str, Any]

MESSAGE = "Message"  # the schema's root, which has no definition's name
EVERY = "Run"  # what all runs have in common
RUNS = ("NotebookRun", "TrainingRun", "ServingRun")

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
        "promote": {"model": "churn", "run": "train"},
    },
    "Repository": {
        "url": "https://dev.azure.com/contoso/flowers/_git/flowers",
        "ref": "refs/heads/main",
        "subdirectory": "examples/iris",
        "submodules": True,
        "lfs": True,
    },
    EVERY: {
        "name": "train",
        "needs": ["prepare"],
        "directory": "models",
        "environment": {"requirements": "requirements.txt"},
        "compute": "cpu-cluster",
        "resources": {"instance_type": "Standard_DS3_v2"},
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
    "ServingRun": {
        "kind": "serving",
        "model": "train",
        "path": "outputs/model.onnx",
        "environment": {"requirements": "requirements-serving.txt"},
        "requests": "requests.json",
        "load": {"users": 20},
    },
    "LoadRequest": {
        "users": 20,
        "spawn_rate": 5,
        "seconds": 30,
        "locustfile": "tests/callers.py",
    },
    "EnvironmentFiles": {
        "requirements": "requirements.txt",
        "conda_file": "conda.yml",
        "image": "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04",
        "azureml": "sklearn-env:3",
    },
    "ComputeResources": {
        "instance_type": "Standard_DS3_v2",
        "instance_count": 1,
        "shm_size": "2g",
    },
    "Workspace": {"subscription_id": "0f3c", "resource_group": "ml", "name": "gate"},
    "GateRequest": {
        "condition": {"at_least": 3},
        "metrics": [{"run": "train", "metric": "accuracy", "at_least": 0.9}],
    },
    "MetricBound": {"run": "train", "metric": "accuracy", "at_least": 0.9, "at_most": 0.1},
    "PromoteRequest": {
        "model": "churn",
        "run": "train",
        "path": "outputs/model.onnx",
        "compare": [{"run": "evaluate", "metric": "auc", "current": "current_auc"}],
        "when": "not_worse",
        "worse": "keep",
        "first": False,
        "example": "outputs/example.json",
        "register": True,
        "verify": {"url": "https://churn.example.net"},
    },
    "VerifyRequest": {
        "url": "https://churn.example.net",
        "answers": 20,
        "timeout_minutes": 5,
    },
    "CompareRequest": {
        "run": "evaluate",
        "metric": "rmse",
        "better": "lower",
        "tolerance": 0.5,
        "relative_tolerance": 0.01,
        "current": "current_rmse",
    },
    "PromoteMessage": {
        "version": 1,
        "kind": "promote",
        "build_id": "20261121.4",
        "attempt": 1,
        "deadline_minutes": 30,
        "model": "churn",
        "build": "20261121.3",
        "run": "train",
        "verify": {"url": "https://churn.example.net"},
    },
    "RollbackMessage": {
        "version": 1,
        "kind": "rollback",
        "build_id": "20261121.5",
        "attempt": 1,
        "deadline_minutes": 30,
        "model": "churn",
        "to": "3f9a1c0b7d52",
        "reason": "It refuses every customer of the west.",
        "verify": {"url": "https://churn.example.net"},
    },
}

_TITLES = {
    MESSAGE: "The message",
    "Repository": "`repository`",
    EVERY: "Every run",
    "NotebookRun": "A notebook",
    "TrainingRun": "A training",
    "ServingRun": "A serving run",
    "LoadRequest": "`load`",
    "EnvironmentFiles": "`environment`",
    "ComputeResources": "`resources`",
    "Workspace": "`workspace`",
    "GateRequest": "`gate`",
    "MetricBound": "An entry of `gate.metrics`",
    "PromoteRequest": "`promote`",
    "CompareRequest": "An entry of `promote.compare`",
    "VerifyRequest": "`verify`",
}

# The kinds that run nothing.
_KINDS_OF_MODELS = {
    "PromoteMessage": "A message of the kind `promote`",
    "RollbackMessage": "A message of the kind `rollback`",
}

_INTRODUCTION = """\
# The message, version 1

<!-- Made by docs/generate.py from the schema; change the models, not this page. -->

A message is one JSON object in UTF-8. `mlgate schema` prints its JSON Schema, and
`mlgate validate MESSAGE.json` reports every problem in one.

- An unknown field is a finding, which suggests the nearest known field. `null` is not allowed:
  leave out a field that you don't need.
- A body wrapped by the .NET DataContract serializer, the default of the Azure DevOps task, reads
  the same as a raw one.
- A value that still contains a pipeline variable, such as `$(Build.SourceVersion)`, is a finding.
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

_LIMITS = f"""\
## Limits

A message, and a file that `runs_from` names, has at most {MAX_LENGTH:,} characters. A build has at
most {MAX_RUNS} runs, including the one that `promote` adds. Together they have at most
{MOST_BYTES // 1_000_000} MB; what several of them share, such as the parameters of one glob, counts
once. A path has at most 4,096 characters.
"""

_DEFAULTS = """\
## `defaults`

Values for all runs: any field of [every run](#every-run) except `name` and `needs`, and any field
of [a notebook](#a-notebook) except `kind` and `path`. A run's own field wins. `parameters`,
`environment_variables` and `tags` are merged key by key; any other field replaces the default as a
whole. A notebook's fields apply only to notebooks. A serving run without an `environment` does not
use the default, but that of its model's run.

## `runs_from`

A JSON file in the repository that holds `runs`, `defaults`, `gate` and `promote`, as in the
message. The message wins: its `runs`, `gate` and `promote` replace the file's, and its `defaults`
are merged over the file's, field by field. [examples/plan.json](../examples/plan.json) is such a
file.
"""

_PROMOTION = """\
## The run that checks a promotion

If the build has a [serving run](#a-serving-run) with the same `model` and `path` as `promote`, the
first of them is the check. It uses `promote.example` as its example, and the gate counts it like
any other run. If it fails, there is no candidate, and the promotion is refused whatever the gate
decides.

Otherwise `promote` adds a run, and `mlgate validate` reports it. Its name is `check-<model>`,
shortened and with a hash at its end if it has more than 63 characters. No other run may have that
name. It needs the run that keeps the model, and uses that run's `environment`, `compute` and
`resources`. From `defaults` it uses `timeout_minutes`, `retries` and `tags`.

For `all_pass`, the added run counts like any other run. `any_pass` and `at_least` don't count it,
because it only checks the result of another run. `gate.metrics` may name it. Without an example, it
only loads the model, and passes with a warning.
"""

_RUNS = """\
## What a run finds and leaves

On every backend, a run has these environment variables:

- `MLGATE_BUILD_ID`, `MLGATE_RUN_NAME`, and `MLGATE_COMMIT` with the full SHA. There is no `.git`,
  and git finds none above the working directory.
- For each run that it needs, `MLGATE_INPUT_<NAME>`, with the name in upper case and `_` for `-`: a
  folder with that run's kept outputs, under their relative paths.
- In a build with `promote`, if the model has a current version, `MLGATE_CURRENT_MODEL`: a folder
  with that version's files, to be read only.

The host's own settings and tokens are not passed on.

The run's metrics are those that it logs with MLflow, the latest value of each, and the numbers in
`outputs/metrics.json`, which win. Metrics that the run logs to a store of its own, in its folder,
count as well if the store that it was given lacks them. A warning then says where they are.

mlgate keeps `outputs/**` and the files that `outputs` names, at most 10 GiB for a run. Files that
don't fit are left out, with a warning. Files that the commit has in `outputs/` don't count unless
the run writes them, and neither do their numbers.

The folder `outputs/` is in the working directory before the run begins. A command runs under `bash`
with `pipefail`: it fails when any part of a pipe fails. The log keeps its first 48 MiB and its last
16 MiB.

Three tags of notebook cells have a meaning: `parameters`, `raises-exception` (an error is
expected), and `skip-execution`. `sys.exit(0)` ends a notebook early and passes.

A failed run has one of these kinds of failure. Transient ones are retried while `retries` last.

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

_KINDS = """\
The kind depends on the exception that ended the run: its class, and the file that raised it. An
exception that your code handled does not count.

- Your own exception classes and assertions are `code`, unless their base, or their name and message
  together, say otherwise: `ConnectionTimeout: timed out` is `network`.
- A name that is missing in your own module is `code`; one that is missing in an installed package
  is `environment`.
- The message counts only if a library's class is too general to decide.
- A general exception, such as `RuntimeError`, has the kind of its cause. An exception group is
  transient if all its members are.

For a notebook, mlgate reads the exception in the kernel. For a command, it reads the output: the
last traceback counts if the command prints nothing after it and exits with 1. A traceback that
follows a log's `ERROR` may have been handled, so it is not retried.
"""

_PROPERTIES = """\
## Application properties

The address of the waiting step and the job's token are never in the body. The task
`PublishToAzureServiceBus` sets them as application properties of the message:

{names}

`HubName`, `TaskInstanceName` and `TaskInstanceId` may be absent. The others must all be there, or
none of them. A message without them is a build without a pipeline: it has the same runs, but its
verdict is only in the files and the history.

A build is identified by plan, job, task instance and `attempt`, or without a pipeline by the
Service Bus message id. A message that is delivered twice is one build.

So write `"attempt": $(System.JobAttempt)`, without quotes. If a job runs again with the same
`attempt`, its message names a build that already has a verdict, and the step fails with
`already-judged`. A step that sends another message while its build is open fails with
`different-body`.

Set `waitForCompletion: true` in the task. Without it the step ends at once. mlgate then finds that
nobody waits for the build, and cancels it before it begins.
"""

_FINDINGS = """\
## Findings

Each finding has a stable code, a JSON pointer to the place, the problem and a remedy. At most
{most} are listed for a message; `more-findings` says how many more there are. `no-attempt`
and `unknown-kernel` are only warnings of `mlgate validate`.

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
    sections += [_DEFAULTS, _PROMOTION]
    sections += [_message(title, kind) for kind, title in _KINDS_OF_MODELS.items()]
    sections += [_LIMITS, _RUNS + failures, _KINDS, _PROPERTIES.format(names=names)]
    findings = "".join(f"| `{code.value}` | {code.meaning} |\n" for code in Code)
    return "\n".join([*sections, _FINDINGS.format(most=MOST_FINDINGS) + findings])


def fields(owner: str) -> dict[str, Schema]:
    """The schemas of a section's fields, by name."""
    if owner == MESSAGE:
        return dict(schema()["properties"])
    first, *others = [_definition(kind)["properties"] for kind in RUNS]
    common = {
        name: field
        for name, field in first.items()
        if all(name in other for other in others) and name != "kind"
    }
    if owner == EVERY:
        return common
    own = _definition(owner)["properties"]
    if owner not in RUNS:
        return dict(own)
    return {name: field for name, field in own.items() if field != common.get(name)}


def _required(owner: str) -> list[str]:
    if owner == EVERY:
        return []
    if owner == MESSAGE:
        return [name for name, each in StartMessage.model_fields.items() if each.is_required()]
    return list(_definition(owner).get("required", []))


def _definition(name: str) -> Schema:
    found: Schema = schema()["$defs"][name]
    return found


def _section(title: str, owner: str) -> str:
    rows = "".join(_rows(owner))
    about = "" if owner in (MESSAGE, EVERY) else _meaning(_definition(owner)) + "\n\n"
    head = "| field | type | default | meaning | example |\n|---|---|---|---|---|\n"
    return f"## {title}\n\n{about}{head}{rows}"


def _message(title: str, owner: str) -> str:
    """As a section, with a whole message."""
    example = json.dumps(EXAMPLES[owner], indent=2, ensure_ascii=False)
    return f"{_section(title, owner)}\n```json\n{example}\n```\n"


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
