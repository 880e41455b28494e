"""The example request: a file that the model's run kept, or the one that MLflow logged."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from mlgate.scorer import answers, requests
from mlgate.scorer.errors import BadAnswer, BadRequest

MOST_BYTES = 1 << 20  # of an example, which is stored with the model and shown to people

# A block of the YAML that MLflow writes: https://mlflow.org/docs/latest/ml/model/#model-input-example
_BLOCK = re.compile(r"^saved_input_example_info:[ ]*\n((?:[ ]+.*\n?)+)", re.MULTILINE)
_NAMED = r"^[ ]+{}:[ ]*['\"]?([^'\"\n]+?)['\"]?[ ]*$"


def named_by_mlflow(mlmodel: str, files: Collection[str]) -> str | None:
    """The file of MLflow's input example that `MLmodel` names, if it is among the model's files.

    The serving example, which already is a request, is preferred; older versions of MLflow write
    only the other one.
    """
    block = _BLOCK.search(mlmodel)
    for name in ("serving_input_path", "artifact_path"):
        found = re.search(_NAMED.format(name), block[1] if block else "", re.MULTILINE)
        if found and found[1] in files:
            return found[1]
    return None


def request_of(content: bytes) -> Any:
    """The example as the JSON body of a request. Raises BadRequest and BadAnswer.

    MLflow writes a data frame without the key that its protocol requires, so it is added.
    """
    said = answers.plain(requests.json_of(content))
    if isinstance(said, dict) and said.keys() <= {"columns", "data", "index"} and "data" in said:
        said = {requests.SPLIT: said}
    requests.of_json(said)
    return said


def checked(content: bytes | None, name: str) -> Any:
    """As `request_of`, for the file `name`; `content` is None if the file was too large to read."""
    if content is None:
        raise BadRequest(
            f"the example {name} is larger than {MOST_BYTES >> 20} MiB: a few rows are enough"
        )
    try:
        return request_of(content)
    except (BadAnswer, BadRequest) as error:
        raise BadRequest(f"the example {name} is not a request: {error}") from None
