"""Measures submitting to Azure ML through mlgate and through a plain loop over its SDK.

    make bench [RUNS=50]

Both use the same emulator, each from its own process, whose CPU seconds and memory are measured
without those of the emulator. The emulator answers at once on this machine, so wall seconds compare
the clients and leave out the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mlgate.emulators.azure_ml import AzureML

ROOT = Path(__file__).resolve().parents[1]
FILES = 20
CURATED = "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33"

# Each child measures only `work`, after a first run that pays for imports and connections.
_MEASURED = """
import json, os, resource, sys, time
def measure(work):
    began, cpu = time.perf_counter(), time.process_time()
    work()
    print(json.dumps({"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}))
count, folder, workspace, environment = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
"""

NAIVE = (
    _MEASURED
    + """
from azure.ai.ml import MLClient, command
from azure.identity import DefaultAzureCredential
client = MLClient(DefaultAzureCredential(), *workspace.split("/"))
def submit(name):
    client.jobs.create_or_update(command(
        name=name, display_name=name, experiment_name="bench", code=folder,
        command="python train.py --number 1", environment=environment, tags={"build": "1"},
    ))
submit("naive-first")
measure(lambda: [submit(f"naive-{number}") for number in range(count)])
"""
)

OURS = (
    _MEASURED
    + """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from azure.identity import DefaultAzureCredential
from handlers.azureml_handler.handler import AzureMLHandler
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.clock import SystemClock
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, Task
class Checkout:
    commit, folder, warnings = "c" * 40, Path(folder), ()
    def read(self, path):
        return (self.folder / path).read_bytes()
handler = AzureMLHandler(
    workspace=workspace, credential=DefaultAzureCredential(), compute="serverless",
    environment=environment, clock=SystemClock(),
)
def submit(build, count):
    specs = [
        RunSpec(f"run-{number}", RunKind.TRAINING, command="python train.py --number 1")
        for number in range(count)
    ]
    request = RepositoryRequest("https://example.org/bench.git")
    word = handler.stage(Checkout(), request, specs)
    tasks = [Task(Attempt(build, spec.name, 1), spec, word, "1") for spec in specs]
    with ThreadPoolExecutor(handler.at_once) as pool:  # as the conductor does
        list(pool.map(handler.submit, tasks))
submit("0" * 32, 1)
measure(lambda: submit("1" * 32, count))
"""
)

SDK = """
import azure.ai.ml
"""

FUNCTION = """
import os
import RunNotebookFunctionApp
from mlgate.hosts.functions import application
from mlgate.orchestration.builds import Build, Phase, RepositoryRequest
from mlgate.orchestration.runs import Attempt
from datetime import UTC, datetime
"""

LOOK = (
    FUNCTION
    + """
build = Build(
    key="2" * 32, build_id="1", request={}, repository=RepositoryRequest("/r"), backend="azureml",
    received_at=datetime.now(UTC), deadline=datetime.now(UTC), phase=Phase.WATCHING,
    workspace=os.environ["MLGATE_WORKSPACE"],
)
backend = application().conductor.ports.backend(build)
backend.look([Attempt(build.key, f"run-{number}", 1) for number in range(3)])
"""
)
_FOOTPRINT = """
import json, resource
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss / 1024}))
"""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = _repository(folder / "code")
        # What a job executes is not measured, so its python does nothing.
        nothing = folder / "bin" / "python"
        nothing.parent.mkdir()
        nothing.symlink_to("/bin/true")
        with AzureML(python=nothing, parallel=1) as server:
            rows = [
                _submissions(server, "the SDK in a loop", NAIVE, count, code),
                _submissions(server, "mlgate", OURS, count, code),
            ]
            footprints = [
                ("import azure.ai.ml", _child(server, SDK + _FOOTPRINT)),
                ("import RunNotebookFunctionApp", _child(server, FUNCTION + _FOOTPRINT)),
                ("the same, and a look", _child(server, LOOK + _FOOTPRINT)),
            ]
    print(f"\n{count} runs of a commit of {FILES} files, known to the workspace\n")
    print(f"{'submitted by':<32} {'wall s':>8} {'CPU ms/run':>11} {'of the loop':>12}  requests")
    for who, wall, cpu, requests in rows:
        part = cpu / rows[0][2]
        print(f"{who:<32} {wall:8.2f} {cpu / count * 1000:11.1f} {part:12.2f}  {requests}")
    print(f"\n{'a process that did':<32} {'CPU s':>8} {'RSS MB':>11}")
    for what, used in footprints:
        print(f"{what:<32} {used['cpu']:8.2f} {used['rss']:11.0f}")


def _repository(folder: Path) -> Path:
    folder.mkdir()
    for number in range(FILES):
        (folder / f"module_{number}.py").write_text(f"NUMBER = {number}\n" * 200)
    (folder / "train.py").write_text("print('trained')\n")
    return folder


def _submissions(
    server: AzureML, who: str, script: str, count: int, code: Path
) -> tuple[str, float, float, str]:
    seen = len(server.requests)
    used = _child(server, script, str(count), str(code), server.workspace_name, CURATED)
    calls: dict[str, int] = {}
    for request in server.requests[seen:]:
        if not request.call.startswith("token"):
            calls[request.call] = calls.get(request.call, 0) + 1
    listed = ", ".join(f"{number} {call}" for call, number in sorted(calls.items()))
    return who, used["wall"], used["cpu"], listed


def _child(server: AzureML, script: str, *arguments: str) -> dict[str, float]:
    """The last line that the script prints, run in its own process."""
    settings = {
        "MLGATE_ALLOWED_BACKENDS": "azureml",
        "MLGATE_BACKEND": "azureml",
        "MLGATE_WORKSPACE": server.workspace_name,
        "PYTHONPATH": str(ROOT),
        "serviceBusConnectionString": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=k;"
        "SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true",
    }
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, **server.environment, **settings},
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        sys.exit(f"a measured process failed:\n{done.stdout}\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
