"""Results of a build, and what the stand-in has of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from handlers.files_handler import FolderFiles
from mlgate.orchestration.builds import Verdict
from mlgate.orchestration.runs import RunStatus
from mlgate.orchestration.telling import Results, RunResult
from tests.contract.handlers.devops_handler.support import Scene, SteppedClock, address_of, token_of

BUILD = "0123456789abcdef0123"


def run(name: str, status: RunStatus = RunStatus.SUCCEEDED, **fields: object) -> RunResult:
    files = tuple(f"runs/{name}/{file}" for file in ("executed.html", "executed.ipynb", "log.txt"))
    start = SteppedClock().now()
    given = RunResult(name, f"{name}.ipynb", status, start, 2.5, files=files)
    return replace(given, **fields)  # type: ignore[arg-type]  # whichever field a test is about


FAILED = run("b", RunStatus.FAILED, message="cell 7: KeyError: 'x'", stack="x['x']\n\nKeyError")
FINAL = Results(
    build=BUILD,
    build_id="1",
    title="mlgate 01234567",
    runs=(run("a"), FAILED, run("c", RunStatus.SKIPPED, started_at=None, seconds=None)),
    verdict=Verdict.FAILED,
    summary="# Failed",
    files=("result.json", "report.html", "junit.xml"),
)
RUNNING = replace(FINAL, runs=(), verdict=None, summary="", files=())


def publish(scene: Scene, files: FolderFiles, results: Results) -> bool:
    address, token = address_of(scene.task), token_of(scene.task)
    return scene.handler.publish(address, token, results, files)


def outcomes(scene: Scene) -> Mapping[str, str]:
    """The outcome of each result of the only test run, by its test."""
    [test_run] = scene.task.test_runs
    return {result.name: result.fields["outcome"] for result in test_run.results.values()}


def everything_is_there(scene: Scene) -> None:
    assert outcomes(scene) == {"a": "Passed", "b": "Failed", "c": "NotExecuted"}
    [test_run] = scene.task.test_runs
    assert test_run.state == "Completed"
    for name in "ab":
        attached = test_run.named(name).attachments
        assert {key: value.decode() for key, value in attached.items()} == {
            file: f"{file} of {name}" for file in ("executed.html", "executed.ipynb", "log.txt")
        }
    assert test_run.named("c").attachments == {}
    assert scene.task.attachments == {
        ("Summary", "mlgate"): b"# Failed",
        **{("FileAttachment", file): file.encode() for file in FINAL.files},
    }
