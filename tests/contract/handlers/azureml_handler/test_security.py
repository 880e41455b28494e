"""What hostile repositories and runs get at: nothing of the host, and no secret."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handlers.azureml_handler.handler import AT_ONCE
from handlers.repository_handler import RepositoryHandler
from handlers.state_handler import SqliteState
from mlgate.emulators.azure_ml import Fault, FaultKind
from mlgate.emulators.azure_ml.storage import Folder
from mlgate.emulators.azure_ml.workspace import BLOB_STORE
from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError, Permanent
from mlgate.orchestration.runs import Attempt, RunKind, RunSpec, RunStatus, Task
from tests.contract.handlers.azureml_handler.support import REPOSITORY, Bench, write
from tests.contract.handlers.azureml_handler.test_builds import Cloud
from tests.contract.handlers.azureml_handler.test_faults import CALLS
from tests.e2e.commands import commit

PUT = "blob.put"
SECRET = "of-the-host-alone"
BESIDE = {"launcher.pyz", "executable.json"}
NAMES = [
    "train.py",
    "--help",
    "-rf",
    "folder/--output",
    "a name.txt",
    "grüße/日本.txt",
    "per%20cent#and?.txt",
    "quote'and\".txt",
    "$(touch gone).txt",
    "${{inputs.x}}.txt",
]
READS = """
import json, pathlib
found = {str(path): path.read_text() for path in pathlib.Path().rglob("*") if path.is_file()}
pathlib.Path("outputs", "found.json").write_text(json.dumps(found))
"""


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    path = tmp_path / "host" / "secret.txt"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


def staged(bench: Bench, folder: Path) -> None:
    """Take a commit of the repository through the real checkout to the workspace."""
    repositories = RepositoryHandler(home=bench.folder / "home", allowed=(str(folder),))
    request = RepositoryRequest(str(folder))
    with repositories.checkout(request) as checkout:
        bench.snapshot = bench.handler.stage(checkout, request, [])


def read_in_a_job(bench: Bench) -> dict[str, str]:
    """What a job finds in its tree."""
    outcome = bench.run(bench.task("python reads.py"))
    assert outcome.failure is None
    found = bench.files.read(bench.build, "runs/train/outputs/found.json")
    assert found is not None
    read: dict[str, str] = json.loads(found)
    return read


def test_a_hostile_repository_takes_nothing_of_the_host_along(
    bench: Bench, host_file: Path
) -> None:
    folder = bench.folder / "repository"
    write(folder, {name: f"# {name}\n" for name in NAMES} | {"reads.py": READS})
    (folder / "leak.txt").symlink_to(host_file)
    (folder / "leaks").symlink_to(host_file.parent)
    (folder / "up").symlink_to("..")
    (folder / "environ").symlink_to("/proc/self/environ")
    (folder / "inner.txt").symlink_to("train.py")
    commit(folder)
    url = f"https://user:{SECRET}@example.org/r.git"
    subprocess.run(["git", "-C", str(folder), "remote", "add", "origin", url], check=True)
    staged(bench, folder)
    uploaded = bench.uploaded()
    wanted = {f"tree/{name}" for name in (*NAMES, "reads.py", "inner.txt")} | BESIDE
    assert uploaded.keys() == wanted
    assert not any(SECRET.encode() in content for content in uploaded.values())
    found = read_in_a_job(bench)
    assert found == {name: f"# {name}\n" for name in NAMES} | {
        "reads.py": READS,
        "inner.txt": "# train.py\n",
    }


def test_a_tree_that_is_not_clean_is_not_uploaded_as_it_is(bench: Bench, host_file: Path) -> None:
    """Should a checkout ever hold links or `.git`, they stay here."""
    checkout = write(
        bench.folder / "checkout",
        {"train.py": "", ".git/config": SECRET, "sub/.git/config": SECRET, ".gitignore": ""},
    )
    (checkout.folder / "leak").symlink_to(host_file)
    (checkout.folder / "leaks").symlink_to(host_file.parent)
    os.mkfifo(checkout.folder / "pipe")
    bench.handler.stage(checkout, REPOSITORY, [])
    assert bench.uploaded().keys() == {*BESIDE, "tree/train.py", "tree/.gitignore"}


@pytest.mark.parametrize(
    "name", ["..\\launcher.pyz", "back\\slash.txt", "new\nline.txt", "dot.", "folder./file"]
)
def test_a_file_that_storage_would_rename_fails_the_build_with_the_remedy(
    name: str, bench: Bench
) -> None:
    with pytest.raises(Permanent, match=r"cannot keep, '.*'. Rename it"):
        bench.stage({"train.py": "", name: ""})
    assert bench.calls("blob.put") == []


def test_files_are_uploaded_side_by_side_and_once(bench: Bench) -> None:
    names = [f"folder/file-{number}.txt" for number in range(3 * AT_ONCE)]
    checkout = write(bench.folder / "checkout", {name: name for name in names})
    bench.server.faults.add(PUT, Fault.delay(0.2), len(names))
    bench.snapshot = bench.handler.stage(checkout, REPOSITORY, [])
    puts = [request for request in bench.server.requests if request.call == PUT]
    assert len(puts) == len(names) + len(BESIDE)
    most = max(sum(each.at <= put.at < each.answered_at for each in puts) for put in puts)
    assert AT_ONCE // 2 < most <= AT_ONCE
    bench.server.requests.clear()
    assert bench.handler.stage(checkout, REPOSITORY, []) == bench.snapshot
    assert bench.calls(PUT) == []


@pytest.mark.slow
def test_two_thousand_files_are_read_in_the_job(bench: Bench) -> None:
    names = {f"folder-{n % 20}/file-{n}.txt": f"{n}" for n in range(2000)} | {"reads.py": READS}
    bench.stage(names)
    assert read_in_a_job(bench) == names


def test_outputs_with_hostile_names_are_written_nowhere_else(bench: Bench, tmp_path: Path) -> None:
    task = bench.task("python train.py")
    bench.handler.submit(task)
    bench.server.jobs.wait(task.attempt.id)
    container = bench.server.workspace.containers[BLOB_STORE]
    folder = f"mlgate/{task.attempt.id}"
    hostile = [
        "kept/../../../../../../../../../../tmp/mlgate-escaped",
        "../mlgate-escaped",
        f"/{tmp_path}/mlgate-escaped",
        "kept//mlgate-escaped",
        "kept/./mlgate-escaped",
        f"kept/{'n' * 300}",
        "kept/clash/inner",
    ]
    for name in ("kept/clash", "kept/fine", *hostile):
        bench.server.storage.put(Folder(container, f"{folder}/{name}"), b"hostile")
    outcome = bench.handler.collect(task, bench.files)
    assert outcome.outputs == ("runs/train/clash/inner", "runs/train/fine")
    assert not list(tmp_path.rglob("mlgate-escaped"))
    assert not Path("/tmp/mlgate-escaped").exists()
    # Of the other names none is below the folder of kept files.
    assert [re.sub(": .*", "", warning) for warning in outcome.warnings] == [
        "1 file was left out because folders have these names too",
        "4 files were left out because their names are not paths here",
    ]


def test_tags_of_a_run_cannot_pretend_to_be_ours(bench: Bench) -> None:
    other = "f" * 32
    tags = {
        "mlgate_build_id": "another",
        f"mlgate-{bench.build}": "another",
        f"mlgate-{other}": "another",
        "line\nbreak": "${{inputs.x}}\n$(id)",
        "grüße": "日本" * 100,
    }
    variables = {"A": "$(id) ${{inputs.x}}\n", "MLGATE_TASK": "another", "grüße": "1"}
    names = ["n" * 62 + "a", "n" * 62 + "b"]
    tasks = [
        bench.task("python train.py", name, tags=tags, environment_variables=variables)
        for name in names
    ]
    for task in tasks:
        assert bench.run(task).failure is None
        told = bench.job(task).spec["tags"]
        assert told[f"mlgate-{bench.build}"] == task.spec.name
        assert told["mlgate_build_id"] == "4711"
        assert told["line\nbreak"] == tags["line\nbreak"]
    assert len({task.attempt.id for task in tasks}) == 2
    stranger = Attempt(other, "train", 1)
    seen = bench.handler.look([stranger] * 9)
    assert seen[stranger].status.ended, "another build's tag makes no job its own"


def secrets_of(bench: Bench) -> set[str]:
    """Whatever gave access so far, as the stand-in knows it."""
    asked = list(bench.server.requests)
    signatures = {request.query["sig"] for request in asked if "sig" in request.query}
    assert signatures
    tokens = set(bench.server.tokens._ends)
    assert tokens
    return signatures | tokens | {bench.server.environment["AZURE_CLIENT_SECRET"]}


def leaks(text: str, secrets: set[str]) -> list[str]:
    from urllib.parse import quote

    return [secret for secret in secrets if secret in text or quote(secret, safe="") in text]


@pytest.mark.parametrize("away", [False, True], ids=["answering", "unreachable"])
@pytest.mark.parametrize(
    "fault",
    [Fault.answering(503), Fault.answering(403), Fault.answering(400), Fault(FaultKind.RESET)],
    ids=["failing", "forbidden", "refusing", "reset"],
)
@pytest.mark.parametrize(("call", "act"), CALLS.values(), ids=CALLS.keys())
def test_no_fault_tells_a_secret(
    call: str,
    act: Callable[[Bench, Any], object],
    fault: Fault,
    away: bool,
    after: Bench,
    ended: Task,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    after.handler.collect(ended, after.files)
    if away:  # nothing listens there
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    after.server.faults.add(call, fault, 99)
    try:
        act(after, ended)
    except OrchestrationError as error:
        logging.getLogger("mlgate").exception("it failed")
        told = "".join(traceback.format_exception(error))
        assert leaks(told, secrets_of(after)) == []
    assert leaks(caplog.text, secrets_of(after)) == []


def test_nothing_that_a_build_leaves_holds_a_secret(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cloud = Cloud(bench, tmp_path)
    cloud.state = SqliteState(tmp_path / "state.db", cloud.clock)
    bench.server.faults.add("jobs.put", Fault.answering(503), 5)
    prints = "python -c 'import os; print(dict(os.environ))'"
    build = cloud.done(cloud.start({"name": "a", "command": prints}, {"name": "b"}))
    assert [run.status.value for run in build.runs] == ["succeeded"] * 2
    secrets = secrets_of(bench)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "state.db" for path in left)
    assert any(path.name == "log.txt" for path in left)
    for path in left:
        assert leaks(path.read_bytes().decode("latin-1"), secrets) == [], path
    for request in bench.server.requests:
        if request.call.startswith("jobs."):
            assert leaks(request.body.decode(), secrets) == []
    assert leaks(caplog.text, secrets) == []


def test_a_handler_s_parts_show_no_secret(bench: Bench) -> None:
    bench.run(bench.task("python train.py"))
    spec = RunSpec("a", RunKind.TRAINING, command="true")
    told = repr([bench.handler, vars(bench.handler), Task(Attempt("b", "a", 1), spec, "", "")])
    assert leaks(told, secrets_of(bench)) == []


ARM = "https://management.azure.com"


# What comes of the address of the next page, and how many pages are asked for.
ONWARD: dict[str, tuple[Callable[[str], str], int]] = {
    "with its port": (lambda link: link.replace(ARM, f"{ARM}:443"), 3),
    "another port": (lambda link: link.replace(ARM, f"{ARM}:8443"), 1),
    "no TLS": (lambda link: link.replace(ARM, "http://management.azure.com"), 1),
    "another host": (lambda link: link.replace(ARM, "https://management.azure.com.example.org"), 1),
    "a user": (lambda link: link.replace(ARM, "https://management.azure.com@example.org"), 1),
    "in a circle": (lambda link: re.sub("skip=[0-9]+", "skip=2", link), 2),
}


def test_a_list_is_followed_to_nobody_else_and_in_no_circle(bench: Bench) -> None:
    """All addresses in one test, for each needs the same jobs."""
    tasks = [bench.task("true", f"run-{number}") for number in range(6)]
    for task in tasks:
        bench.handler.submit(task)
    for task in tasks:
        bench.server.jobs.wait(task.attempt.id)
    bench.server.workspace.page_size = 2
    for address, (onward, pages) in ONWARD.items():
        bench.server.workspace.onward = onward
        bench.server.requests.clear()
        seen = bench.another().look([task.attempt for task in tasks])
        assert {each.status for each in seen.values()} == {RunStatus.SUCCEEDED}, address
        asked = Counter({"jobs.list": pages, "jobs.get": 6 - 2 * pages})
        assert Counter(bench.calls()) == asked, address
