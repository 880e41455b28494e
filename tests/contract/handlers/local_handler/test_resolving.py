"""An environment is of the versions that were resolved, from sources that are the host's alone."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from handlers.local_handler.requirements import FOR_NOTEBOOKS
from mlgate.orchestration.runs import (
    Attempt,
    Environment,
    FailureKind,
    RunKind,
    RunStatus,
    Task,
)
from tests.contract.bench import notebook
from tests.contract.handlers.local_handler.conftest import Bench
from tests.contract.handlers.local_handler.test_environments import USES_TINY, made, wheel
from tests.contract.handlers.local_handler.test_templates import put_wheel


def tiny(index: Path, version: str) -> str:
    """Put a version of the package into an index; the hash of its file."""
    index.mkdir(exist_ok=True)
    content = wheel(version=version)
    (index / f"tiny-{version}-py3-none-any.whl").write_bytes(content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def floating(bench: Bench, index: Path, build: str | None = None, text: str = "tiny") -> Task:
    """A run of a build that names no version."""
    bench.build = build or bench.build
    lines = f"--no-index\n--find-links file://{index}\n{text}\n"
    return bench.task(
        USES_TINY, files={"r.txt": lines}, environment=Environment(requirements="r.txt")
    )


def version(bench: Bench, task: Task) -> float:
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, outcome
    return outcome.metrics["version"]


def test_what_has_no_version_is_resolved_for_each_build(bench: Bench) -> None:
    """All runs of a build have the same versions, and the next build has what is there then."""
    index = bench.folder / "index"
    tiny(index, "1.0")
    assert version(bench, floating(bench, index, "a" * 32)) == 1.0
    tiny(index, "2.0")
    again = replace(floating(bench, index), attempt=Attempt(bench.build, "train", 2))
    assert version(bench, again) == 1.0
    assert version(bench, floating(bench, index, "b" * 32)) == 2.0
    before = made(bench)
    assert len(before) == 2
    assert version(bench, floating(bench, index, "c" * 32)) == 2.0
    assert made(bench) == before


def test_what_resolves_to_the_same_is_one_environment_only_from_the_same_source(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two indexes can have different packages of one name and version."""
    task = bench.task(
        USES_TINY, files={"r.txt": "tiny\n"}, environment=Environment(requirements="r.txt")
    )
    monkeypatch.setenv("UV_NO_INDEX", "1")
    for number, name in enumerate(("one", "two"), 1):
        tiny(bench.folder / name, "1.0")
        monkeypatch.setenv("UV_FIND_LINKS", f"file://{bench.folder / name}")
        build = str(number) * 32
        again = replace(task, attempt=Attempt(build, "train", 1))
        assert version(bench, again) == 1.0
        assert len(made(bench)) == number


@pytest.mark.parametrize(
    "around",
    [
        {"pyproject.toml": '[tool.uv]\nrequired-version = "==0.0.1"\n'},
        {"pyproject.toml": '[tool.uv]\noverride-dependencies = ["tiny<2"]\n'},
        {"pyproject.toml": '[tool.uv]\nconstraint-dependencies = ["tiny<2"]\nno-index = true\n'},
        {"uv.toml": 'exclude-newer = "2001-01-01T00:00:00Z"\nindex-url = "http://127.0.0.1:9"\n'},
        {".python-version": "3.8\n"},
        {"pyproject.toml": "[tool.uv\n"},
    ],
)
def test_projects_around_the_home_decide_nothing(bench: Bench, around: dict[str, str]) -> None:
    index = bench.folder / "index"
    tiny(index, "1.0")
    tiny(index, "2.0")
    for name, content in around.items():
        (bench.folder / name).write_text(content)
    assert version(bench, floating(bench, index)) == 2.0


def test_the_users_own_configuration_of_uv_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = bench.folder / "index"
    tiny(index, "1.0")
    file = bench.folder / "user" / ".config" / "uv" / "uv.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'no-index = true\nfind-links = ["{index}"]\n')
    monkeypatch.setenv("HOME", str(bench.folder / "user"))
    task = bench.task(
        USES_TINY, files={"r.txt": "tiny\n"}, environment=Environment(requirements="r.txt")
    )
    assert version(bench, task) == 1.0


@pytest.mark.parametrize("required", ["--require-hashes\n", ""])
def test_what_a_notebook_needs_is_added_beside_hashed_lines(bench: Bench, required: str) -> None:
    """In versions that leave those of the lines alone."""
    index = bench.folder / "index"
    told = tiny(index, "1.0")
    for name in FOR_NOTEBOOKS:
        put_wheel(index, name, metadata.version(name), **{"needs.txt": ""})
    links = f"--no-index\n--find-links file://{index}\n"
    text = f"{required}{links}tiny==1.0 \\\n    --hash={told}\n"
    task = bench.task(
        kind=RunKind.NOTEBOOK,
        path="a.ipynb",
        command="script.py",
        files={"r.txt": text, "a.ipynb": notebook("1")},
        environment=Environment(requirements="r.txt"),
        script=USES_TINY + "\nimport importlib.metadata as m\nm.version('nbclient')",
    )
    assert version(bench, task) == 1.0
    wrong = text.replace(told, f"sha256:{'0' * 64}")
    task = bench.task(
        files={"r.txt": wrong}, environment=Environment(requirements="r.txt"), number=2
    )
    failure = bench.run(task).failure
    assert failure is not None
    assert (failure.kind, "hash" in failure.message.lower()) == (FailureKind.ENVIRONMENT, True)


def test_the_end_of_a_long_failure_is_told(bench: Bench) -> None:
    """A build's reason comes last."""
    backend = (
        "def build_wheel(*_, **__):\n"
        "    print('noise ' * 2000)\n"
        "    raise LookupError('the reason is here')\n"
        "build_editable = build_wheel\n"
    )
    project = (
        "[project]\nname = 'own'\nversion = '1'\n[build-system]\nrequires = []\n"
        "build-backend = 'backend'\nbackend-path = ['.']\n"
    )
    task = bench.task(
        files={"pyproject.toml": project, "backend.py": backend, "r.txt": "-e .\n"},
        environment=Environment(requirements="r.txt"),
    )
    failure = bench.run(task).failure
    assert failure is not None
    assert "the reason is here" in failure.message
    assert len(failure.message) < 1700


def test_paths_are_from_the_root_as_pip_is_started_there(bench: Bench) -> None:
    """Those of lines; `--find-links` is from its file where that leads to something."""
    task = bench.task(
        USES_TINY,
        files={
            "env/r.txt": "--no-index\n-f wheels\n./own\ntiny\n",
            "env/wheels/tiny-3.0-py3-none-any.whl": wheel(version="3.0"),
            "own/backend.py": BACKEND,
            "own/pyproject.toml": PROJECT,
        },
        environment=Environment(requirements="env/r.txt"),
    )
    assert version(bench, task) == 3.0


PROJECT = """
[project]
name = "own"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
import os, zipfile
def build_wheel(folder, *_):
    name = "own-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        info = "own-1.0.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1.0\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", "")
    return name
"""


def test_a_server_that_never_answers_holds_a_run_for_so_long_alone(bench: Bench) -> None:
    """And those that wait for the same environment."""
    bench.handler = bench.new_handler(environment_seconds=1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []
        threading.Thread(target=lambda: held.append(server.accept()), daemon=True).start()
        url = f"git+http://127.0.0.1:{server.getsockname()[1]}/own.git"
        tasks = [
            bench.task(
                files={"r.txt": f"own @ {url}\n"},
                environment=Environment(requirements="r.txt"),
                name=f"run-{number}",
            )
            for number in range(2)
        ]
        for task in tasks:
            assert bench.handler.submit(task)
        begun = time.monotonic()
        for task in tasks:
            failure = bench.ended(task).failure
            assert failure is not None
            assert failure.kind is FailureKind.ENVIRONMENT
            assert "log.txt" in failure.message
        assert time.monotonic() - begun < 30
        for connection, _ in held:
            connection.close()
    assert not bench.processes()


SECRET = "s3cr3t"
CREDENTIALS = {
    "PIP_INDEX_URL": f"https://user:{SECRET}@a.b/simple",
    "PIP_EXTRA_INDEX_URL": f"https://a.b/x https://{SECRET}@c.d/y",
    "PIP_PROXY": f"http://u:{SECRET}@proxy:1",
    "PIP_CLIENT_CERT": f"/{SECRET}",
    "PIP_ANYTHING": SECRET,
    "UV_INDEX_URL": f"https://u:{SECRET}@a.b",
    "UV_DEFAULT_INDEX": f"ours=https://u:p@{SECRET}@a.b/simple",
    "UV_INDEX": f"https://u:{SECRET}@a.b",
    "UV_INDEX_OURS_PASSWORD": SECRET,
    "UV_GITLAB_API_KEY": SECRET,
    "UV_PUBLISH_TOKEN": SECRET,
    "HTTPS_PROXY": f"http://u:{SECRET}@proxy:1",
    "http_proxy": f"http://{SECRET}@proxy",
    "https_proxy": f"u:{SECRET}@proxy:2",
}


def test_no_credentials_of_indexes_and_proxies_reach_a_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    task = bench.task(
        "import json, os\n(OUTPUT / 'log.txt').write_text(json.dumps(dict(os.environ)))"
    )
    bench.run(task)
    found = json.loads(bench.log(task))
    assert SECRET not in bench.log(task)
    assert found["PIP_INDEX_URL"] == "https://a.b/simple"
    assert found["PIP_EXTRA_INDEX_URL"] == "https://a.b/x https://c.d/y"
    assert found["UV_DEFAULT_INDEX"] == "ours=https://a.b/simple"
    assert found["HTTPS_PROXY"] == "http://proxy:1"
    assert found["https_proxy"] == "http://proxy:2"
    assert not {"PIP_TARGET", "PIP_ANYTHING", "UV_GITLAB_API_KEY"} & set(found)


def test_the_log_of_an_environment_shows_no_credentials(bench: Bench) -> None:
    """Also those that a build says, which uv repeats as it is."""
    backend = (
        f"def build_wheel(*_, **__):\n    raise LookupError('https://me:{SECRET}@a.b/x')\n"
        "build_editable = build_wheel\n"
    )
    task = bench.task(
        files={"pyproject.toml": PROJECT, "backend.py": backend, "r.txt": "-e .\n"},
        environment=Environment(requirements="r.txt"),
    )
    failure = bench.run(task).failure
    assert failure is not None
    assert "LookupError" in failure.message + bench.log(task)
    assert SECRET not in failure.message + bench.log(task)


def test_no_file_of_an_environment_is_one_of_uvs_cache(bench: Bench) -> None:
    index = bench.folder / "index"
    tiny(index, "1.0")
    version(bench, floating(bench, index))
    [installed] = (bench.home / "environments").rglob("site-packages/tiny.py")
    assert installed.stat().st_nlink == 1
    assert json.loads((installed.parents[4] / "ready.json").read_text())["warnings"] == []
