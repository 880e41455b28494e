"""Tries a model in a process of its own, which `serving` starts and does not trust.

It loads the model, asks it for answers, and records the result of each step, so that the launcher
knows how far it got. The last step is recorded once all answers are there. So a model that fails or
ends its process differs from one that answers. A model could forge this report, but then it lies
only about itself, as it could with its answers.

    python -c BOOT ROOT FOLDER

FOLDER has `asked.json` ({"model", "format", "example", "requests"}) and gets `said.json`. The
example, if there is one, is sent first, as a server does; then each of the requests, once.
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
TIMES = 2  # that one process answers the example, because a server answers more than once
ANSWER_BYTES = 1 << 20  # the limit for an answer that is kept
_TRACE_CHARACTERS = 60_000
_MISS = 8_000  # characters of the traceback of one failed request


class Trial:
    """The report of one trial; each step replaces the one before."""

    def __init__(self, folder: Path) -> None:
        self._path, self._process = folder / SAID, os.getpid()

    def say(self, step: str, **said: Any) -> None:
        if os.getpid() != self._process:
            os._exit(1)  # the model has forked, and its child returned here
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
        except BaseException as error:  # noqa: BLE001 -- includes SystemExit
            self.say(step, **_described(error, _TRACE_CHARACTERS))

    def _asked(self, model: Model, asked: dict[str, Any], load_seconds: float) -> dict[str, Any]:
        """The answers, and the results of the requests. Raises what the example fails with."""
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

            of_all = ask(model, asked["requests"], begin, lambda error: _described(error, _MISS))
            found = {**of_all, "answers": found["answers"] or of_all["answers"]}
        return {**found, **_answers(found["answers"])}


def _answers(found: list[Any]) -> dict[str, Any]:
    """The answers; if they are too large, only the size of one."""
    text = json.dumps(found[0]) if found else ""
    if len(text) > ANSWER_BYTES:
        return {"answers": [], "answer_bytes": len(text)}
    return {"answers": found}


def _described(error: BaseException, most: int) -> dict[str, Any]:
    """A description of a failure, with at most `most` characters of its traceback."""
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
    """The record of an exception of the model, without our own frames."""
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
    """Runs the trial and ends the process at once: the model's threads and exit hooks could delay
    it."""
    code = 1
    try:
        asked = json.loads(Path(folder, ASKED).read_text("utf-8"))
        Trial(Path(folder)).run(asked)
        code = 0
    except BaseException:  # noqa: BLE001 -- the launcher reports it
        traceback.print_exc()
    finally:
        os._exit(code)
