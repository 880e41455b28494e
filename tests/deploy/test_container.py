"""What can be run of the images without building one: its rules, its install, its health."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests
import yaml

from tests.e2e.commands import PATIENCE, environment, start
from tests.support.stores import EXAMPLE, MODEL, Store, answering

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
HADOLINT = Path(sys.executable).parent / "hadolint"


IMAGES = ("serving", "worker")


def instructions(name: str, image: str = "worker") -> list[str]:
    """The arguments of each such instruction of an image, its continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    begun = joined[joined.index(f"\nFROM base AS {image}\n") + 1 :]
    stage = joined[: joined.index("\nFROM base")] + begun.partition("\nFROM ")[0]
    return [found.strip() for found in re.findall(rf"^{name} (.+)$", stage, re.MULTILINE)]


def copied(folder: Path, image: str = "worker") -> None:
    """Fill `folder` with what the image has of the repository, as `COPY` and the ignore file do."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    left_out = {ROOT / line for line in lines if line.startswith(("mlgate/", "handlers/"))}

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if name == "__pycache__" or Path(folder, name) in left_out}

    for instruction in instructions("COPY", image):
        *sources, _ = instruction.split()
        for source in sources:
            assert source in kept, f"{source} is copied and ignored"
            place = ROOT / source
            if place.is_dir():
                shutil.copytree(place, folder / source, ignore=ignored)
            else:
                shutil.copy(place, folder)


def healthy(home: Path) -> bool:
    """Run the image's own health check against a home."""
    [check] = re.findall(r"CMD (\[.+\])", instructions("HEALTHCHECK")[0])
    done = subprocess.run(
        json.loads(check), env={**os.environ, "MLGATE_HOME": str(home)}, check=False
    )
    return done.returncode == 0


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The settings of a running emulator."""
    process = start(tmp_path, "emulator", "--port", "0")
    assert process.stdout is not None
    line = next(line for line in process.stdout if "Endpoint=" in line)
    yield {"serviceBusConnectionString": line[line.index("Endpoint=") :].strip()}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def test_hadolint_finds_nothing_in_the_dockerfile_and_would() -> None:
    def linted(dockerfile: str) -> tuple[int, bytes]:
        done = subprocess.run(
            [HADOLINT, "-"], input=dockerfile.encode(), check=False, capture_output=True
        )
        return done.returncode, done.stdout

    assert linted(DOCKERFILE) == (0, b"")
    assert linted(DOCKERFILE.replace("python:3.12.12-slim-bookworm", "python"))[0] == 1


@pytest.mark.parametrize("image", IMAGES)
def test_no_image_runs_as_root(image: str) -> None:
    [user] = instructions("USER", image)
    assert user == "10001"
    assert f"--uid {user} " in instructions("RUN", image)[0]


def test_an_image_that_is_built_without_a_target_is_the_workers() -> None:
    """`az acr build` and `azd` name none."""
    assert re.findall(r"^FROM .+ AS (\w+)$", DOCKERFILE, re.MULTILINE) == ["base", *IMAGES]
    project = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    assert "target" not in project["services"]["worker"]["docker"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_all_that_the_package_is_built_of(image: str, tmp_path: Path) -> None:
    copied(tmp_path, image)

    assert {path.name for path in tmp_path.iterdir()} >= {"pyproject.toml", "handlers", "mlgate"}
    assert not list(tmp_path.rglob("__pycache__"))
    assert {path.name for path in (tmp_path / "mlgate/emulators").iterdir()} >= {"service_bus"}
    assert not (tmp_path / "mlgate/emulators/azure_ml").exists(), "only the tests need it"


def test_a_worker_is_healthy_while_its_queue_answers(
    tmp_path: Path, queue: Mapping[str, str]
) -> None:
    home = tmp_path / "home of the worker"
    alive = home / "worker.alive"
    worker = start(tmp_path, "worker", MLGATE_HOME=str(home), **queue)
    deadline = time.monotonic() + PATIENCE
    before = healthy(home)
    while not alive.exists():
        assert time.monotonic() < deadline
        assert worker.poll() is None
        time.sleep(0.05)
    during = healthy(home)
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=PATIENCE)
    long_ago = time.time() - 4 * 60
    os.utime(alive, (long_ago, long_ago))

    assert (before, during, healthy(home)) == (False, True, False)


def installed(source: Path, venv: Path, image: str) -> None:
    """Run the image's own install lines."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    for line in instructions("RUN", image):
        if line.startswith("pip "):
            subprocess.run([venv / "bin/python", "-m", *shlex.split(line)], cwd=source, check=True)


@pytest.mark.slow
def test_the_images_own_install_line_makes_a_worker_that_starts(
    tmp_path: Path, queue: Mapping[str, str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    copied(source)
    installed(source, tmp_path / "venv", "worker")
    worker = subprocess.Popen(
        [tmp_path / "venv/bin/mlgate", *json.loads(instructions("CMD")[-1])],
        cwd=tmp_path,
        env=environment(tmp_path, MLGATE_HOME=str(tmp_path / "made"), **queue),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stderr is not None
    assert "receiving from" in worker.stderr.readline()
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=PATIENCE)

    assert worker.returncode == 0


@pytest.mark.slow
def test_the_images_own_install_lines_make_a_server_of_a_model(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    copied(source, "serving")
    installed(source, tmp_path / "venv", "serving")
    store = Store(tmp_path / "models")
    store.promote(answering(1), distributions={"scikit-learn": version_of("scikit-learn")})
    [command] = instructions("CMD", "serving")
    assert json.loads(command)[-2:] == ["--host", "0.0.0.0"]
    server = subprocess.Popen(
        [tmp_path / "venv/bin/mlgate", *json.loads(command)[:-1], "127.0.0.1", "--port", "0"],
        cwd=tmp_path,
        env=environment(tmp_path, MLGATE_MODELS=str(store.root), MLGATE_MODEL=MODEL),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().split()[-1]
    got = requests.post(f"{url}predict", json=EXAMPLE, timeout=PATIENCE)
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=PATIENCE)

    assert (got.status_code, got.json()) == (200, {"predictions": [1]})
    assert server.returncode == 0


def version_of(name: str) -> str:
    """As the lock of what serves has it."""
    lock = (ROOT / "requirements-serving.txt").read_text("utf-8")
    [found] = re.findall(rf"^{name}==(\S+)", lock, re.MULTILINE)
    return str(found)
