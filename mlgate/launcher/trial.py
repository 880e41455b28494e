"""A model tried in a process of its own, which `serving` starts and does not trust.

It loads the model, asks it for its answers, and writes down what came of each step, so that whoever
started it knows how far it came: the last step is said once all answers are there. A model that
fails or ends its process is told from one that answers; one that forges what is said here lies of
itself, as it could by its answers.

    python -c BOOT ROOT FOLDER

FOLDER has `asked.json` ({"model", "format", "example", "requests"}) and gets `said.json`. The
example, where there is one, is asked first, as it is of a server; then each of the requests, once.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from mlgate.launcher.asking import ask
from mlgate.launcher.recording import record
from mlgate.launcher.text import clipped
from mlgate.scorer import answers, requests
from mlgate.scorer.distributions import imported
from mlgate.scorer.errors import BadAnswer, MissingLibrary, ScorerError
from mlgate.scorer.loading import Model, answer, load

BOOT = (
    "import sys; sys.path[:] = [sys.argv[1], *filter(None, sys.path)]; "
    "from mlgate.launcher.trial import main; del sys.path[0]; main(sys.argv.pop())"
)
ASKED, SAID = "asked.json", "said.json"
LOADING, ANSWERING, DONE = "loading", "answering", "done"  # the steps
TIMES = 2  # that the example is answered by one process, as a server answers more than once
ANSWER_BYTES = 1 << 20  # of an answer that is kept
_TRACE_CHARACTERS = 60_000
_MISS = 8_000  # characters of the traceback of one request


class Trial:
    """What is said of one, each step over the one before."""

    def __init__(self, folder: Path) -> None:
        self._path, self._process = folder / SAID, os.getpid()

    def say(self, step: str, **said: Any) -> None:
        if os.getpid() != self._process:
            os._exit(1)  # the model has forked, and its child came back here
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"step": step, **said}), "utf-8")
        part.replace(self._path)

    def run(self, asked: dict[str, Any]) -> None:
        step = LOADING
        self.say(step)
        try:
            before, began = frozenset(sys.modules), time.perf_counter()
            model = load(Path(asked["model"]), asked["format"])
            seconds = time.perf_counter() - began
            step = ANSWERING
            self.say(step, load_seconds=seconds)
            found = self._asked(model, asked, seconds)
            signature = model.signature.as_json() if model.signature else None
            self.say(
                DONE,
                load_seconds=seconds,
                signature=answers.plain(signature),
                distributions=imported(before),
                **found,
            )
        except BaseException as error:  # noqa: BLE001 -- also what asks this process to exit
            self.say(step, **_told(error, _TRACE_CHARACTERS))

    def _asked(self, model: Model, asked: dict[str, Any], load_seconds: float) -> dict[str, Any]:
        """The answers, and what came of the requests. Raises what the example is failed with."""
        found: dict[str, Any] = {"answers": []}
        if asked["example"] is not None:
            began, request = time.perf_counter(), requests.of_json(asked["example"])
            first = answer(model, request)
            seconds = round(time.perf_counter() - began, 6)
            again = [answer(model, request) for _ in range(TIMES - 1)]
            found = {"answers": [first, *again], "seconds": [seconds]}
        if asked["requests"] is not None:

            def begin(number: int, failed: int) -> None:
                self.say(ANSWERING, load_seconds=load_seconds, number=number, failed=failed)

            of_all = ask(model, asked["requests"], begin, lambda error: _told(error, _MISS))
            found = {**of_all, "answers": found["answers"] or of_all["answers"]}
        return {**found, **_answers(found["answers"])}


def _answers(found: list[Any]) -> dict[str, Any]:
    """Within limits: one that is too large is not kept, and only its size is said."""
    text = json.dumps(found[0]) if found else ""
    if len(text) > ANSWER_BYTES:
        return {"answers": [], "answer_bytes": len(text)}
    return {"answers": found}


def _told(error: BaseException, most: int) -> dict[str, Any]:
    """Of what a model or its request was failed with; `most`: characters of the traceback."""
    if isinstance(error, ScorerError):
        return {
            "refused": {"kind": _kind(error), "message": clipped(str(error), _TRACE_CHARACTERS)}
        }
    return {"raised": _record(error), "traceback": clipped(_shown(error), most)}


def _kind(error: ScorerError) -> str:
    if isinstance(error, MissingLibrary):
        return "dependency"
    return "code" if isinstance(error, BadAnswer) else "invalid"


def _record(error: BaseException) -> dict[str, Any]:
    """As of an exception of the model's: the frames that led to it here are none of its own."""
    found = record(error)
    found["frames"] = [frame for frame in found["frames"] if not _is_ours(frame[0])]
    return found


def _shown(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).strip()


def _is_ours(file: str) -> bool:
    return file.startswith(f"{Path(__file__).parents[1]}{os.sep}")


def main(folder: str) -> None:
    """Ends the process: no thread and no exit hook of the model's may hold it up."""
    code = 1
    try:
        asked = json.loads(Path(folder, ASKED).read_text("utf-8"))
        Trial(Path(folder)).run(asked)
        code = 0
    except BaseException:  # noqa: BLE001 -- whoever started this tells of it
        traceback.print_exc()
    finally:
        os._exit(code)
