r"""Write the files of a build and publish its results, as a process of its own, and print its peak.

    python -m tests.contract.handlers.devops_handler.reporting_process \
        FOLDER RUNS COLLECTION PROPERTIES

All runs failed, and left the executed notebook `FOLDER/executed.ipynb`. Prints the most bytes that
were in memory after each step.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from handlers.devops_handler import DevOpsHandler
from handlers.files_handler import FolderFiles
from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.verdict.evidence import notebooks_in
from mlgate.orchestration.verdict.files import parts_of
from mlgate.orchestration.verdict.results import final_results
from tests.contract.handlers.devops_handler.support import SteppedClock, address_from
from tests.unit.orchestration.verdict.samples import a_build, failed_run, leaving


def main(folder: str, runs: str, collection: str, properties: str) -> None:
    files = FolderFiles(lambda _: Path(folder, "build"))
    build = a_build(
        *(failed_run(f"run-{number}") for number in range(int(runs))),
        verdict=Verdict.FAILED,
        request={"build_id": "1"},
    )
    build = leaving(build, {run.spec.name: ["executed.ipynb", "log.txt"] for run in build.runs})
    for run in build.runs:
        place = Path(folder, "build", "runs", run.spec.name)
        place.mkdir(parents=True)
        os.link(Path(folder, "executed.ipynb"), place / "executed.ipynb")
        os.link(Path(folder, "log.txt"), place / "log.txt")
    tell("begin")
    write(files, build)
    publish(files, build, collection, json.loads(properties))


def write(files: FolderFiles, build: Build) -> None:
    read = notebooks_in(files, build)
    for part in parts_of(build):
        for path, content in part.files(read):
            files.write(build.key, path, content)
        tell(part.name)


def publish(files: FolderFiles, build: Build, collection: str, properties: dict[str, str]) -> None:
    handler = DevOpsHandler(allowed=[collection], clock=SteppedClock())
    address, token = address_from(properties)
    read = notebooks_in(files, build)
    while not handler.publish(address, token, final_results(build, read), files):
        pass
    tell("published")


def tell(step: str) -> None:
    """Not `getrusage`, whose peak begins at that of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    sys.stdout.write(f"{step} {int(peak) * 1024}\n")
    sys.stdout.flush()


main(*sys.argv[1:])
