"""The app that serves a model, by Microsoft's worker code, in an environment of its lock alone."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from handlers.blobs.address import ContainerAddress
from handlers.models_handler import ModelStore
from handlers.models_handler.container import InContainer
from mlgate import __version__
from mlgate.emulators.azure_ml import Azurite
from mlgate.hosts.predict import own_folder
from mlgate.hosts.stores import make_container
from mlgate.orchestration.models import EntryKind, Manifest, ModelFile
from tests.contract.scorer.conftest import ENVIRONMENT as LIBRARIES
from tests.contract.scorer.conftest import models as models  # noqa: PLC0414 -- a fixture
from tests.contract.scorer.test_served_formats import FORMATS, ROWS
from tests.functions.cloud import container_url
from tests.functions.conftest import ROOT, left_by_funcignore
from tests.functions.process import ENVIRONMENT
from tests.functions.serving_app import ServingApp, bare_python, package, running
from tests.functions.test_requirements import PYTHONS, SERVING, locked
from tests.support.owners import owner, told_from_root
from tests.support.stores import EXAMPLE, MODEL, Store, answering

Start = Callable[..., ServingApp]
# Of the tables that a model gets where there is pandas, as there is here.
ADDING = """
class Model:
    feature_names_in_ = ["a", "b"]
    def predict(self, rows):
        return (rows["a"] + rows["b"]).astype(float)
"""


@pytest.fixture(scope="session")
def deployed_app(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The app's folder, and an interpreter for it."""
    if not all((each / ".installed").exists() for each in (ENVIRONMENT, LIBRARIES)):
        assert "CI" not in os.environ
        pytest.skip("needs `make functions models`")
    folder = tmp_path_factory.mktemp("predict")
    return package(folder), bare_python(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def start(deployed_app: tuple[Path, Path], store: Store, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**settings: str) -> ServingApp:
            made: AbstractContextManager[ServingApp] = running(
                deployed_app, store.root, tmp_path / "log", **settings
            )
            app = stack.enter_context(made)
            assert app.loaded.ok, app.loaded
            return app

        yield begin


def test_each_route_answers_as_mlgate_serve_does(store: Store, start: Start) -> None:
    entry = store.promote(ADDING, answer={"predictions": [3.0]})
    app = start(MLGATE_MAX_REQUEST="1000")
    named = {"mlgate-model": f"{MODEL}@{entry.id}", "mlgate-model-number": "1"}
    split = {"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2], [3, 4]]}}
    for path in ("/invocations", "/predict", "/api/predict", "/predict?code=a-key"):
        for body, kind in ((split, "application/json"), (b"a,b\n2,1\n4,3\n", "text/csv")):
            got = app.post(path, body, kind)
            assert (got.status, got.json()) == (200, {"predictions": [3.0, 7.0]})
            assert named.items() <= got.headers.items()
            assert got.headers["content-type"] == "application/json"
    assert app.post("/predict", [[1, 2]]).json() == [3.0]
    assert app.post("/predict", {"a": {"0": 1}, "b": {"0": 2}}).json() == {"prediction": [3.0]}

    health = app.get("/health")
    assert (health.status, health.json()["status"], health.json()["number"]) == (200, "ok", 1)
    assert app.get("/version").json() == {"version": __version__}
    assert app.get("/model").json()["example"] == EXAMPLE
    assert [app.get(path).status for path in ("/ping", "/live", "/model")] == [200] * 3
    page = app.get("/?code=a-key")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "content-security-policy" in page.headers
    assert app.request("HEAD", "/ping").body == b""

    for got, status, code in (
        (app.post("/predict", b"no JSON"), 400, "BAD_REQUEST"),
        (app.post("/predict", b""), 400, "BAD_REQUEST"),
        (app.post("/predict", b"\xff\xfe\x00"), 400, "BAD_REQUEST"),
        (app.post("/predict", {"instances": [[1, 2]], "inputs": [[1, 2]]}), 400, "BAD_REQUEST"),
        (app.get("/nothing"), 404, "NOT_FOUND"),
        (app.get("/predict"), 405, "METHOD_NOT_ALLOWED"),
        (app.request("DELETE", "/health"), 405, "METHOD_NOT_ALLOWED"),
        (app.post("/predict", b" " * 1001), 413, "REQUEST_TOO_LARGE"),
        (app.post("/predict", b"<a/>", "text/xml"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ):
        assert (got.status, got.json()["error_code"]) == (status, code)
        assert named.items() <= got.headers.items()


@pytest.mark.slow
def test_first_calls_wait_for_one_load_and_a_thousand_make_no_other(
    store: Store, start: Start, tmp_path: Path
) -> None:
    loads = tmp_path / "loads"
    load = f"import time; time.sleep(1); open({str(loads)!r}, 'a').write('x')"
    store.promote(answering(1, load))
    app = start()
    with ThreadPoolExecutor(50) as threads:
        first = list(threads.map(lambda _: app.post("/predict"), range(50)))
        more = list(threads.map(lambda _: app.post("/predict"), range(950)))
    assert {(got.status, got.body) for got in (*first, *more)} == {(200, b'{"predictions": [1]}')}
    assert loads.read_text() == "x"


@pytest.mark.slow
def test_without_a_version_it_says_so_and_then_serves_each_next_one(
    store: Store, start: Start
) -> None:
    app = start()
    app.until(lambda said: said["status"] == "no_model")
    got = app.post("/predict")
    assert (got.status, got.json()["error_code"]) == (503, "NO_MODEL")
    assert int(got.headers["retry-after"]) >= 1
    assert "mlgate-model" not in got.headers
    assert [app.get(path).status for path in ("/ping", "/health", "/model", "/live")] == [
        503, 503, 503, 200,
    ]  # fmt: skip

    first = store.keep(answering(1))
    store.name(first)
    app.serves(1)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(app.post, "/predict") for _ in range(200)]
        store.promote(answering(2, "import time; time.sleep(0.3)"))
        app.serves(2)
        asked += [threads.submit(app.post, "/predict") for _ in range(50)]
    got_all = [each.result() for each in asked]
    assert {got.status for got in got_all} == {200}
    for got in got_all:
        assert got.json() == {"predictions": [int(got.headers["mlgate-model-number"])]}
    store.name(first, EntryKind.ROLLED_BACK)
    assert app.serves(3)["id"] == first.id


HELD_BACK: dict[str, tuple[dict[str, Any], str]] = {
    "raises": ({"source": answering(2, "raise RuntimeError('a Monday')")}, "a Monday"),
    "is killed": ({"source": answering(2, "import os; os.kill(os.getpid(), 9)")}, "SIGKILL"),
    "answers otherwise": (
        {"source": answering(2), "answer": {"predictions": [3]}},
        "was recorded",
    ),
    "needs others": (
        {
            "source": answering(2),
            "distributions": {"scikit-learn": "0.1.2", "pandas": "0.9", "locust": "2.1"},
            "python": "3.8.1",
        },
        r"^Python 3.8.1 is needed, 3\.\S+ is here; locust 2.1 is needed, but is not installed; "
        r"pandas 0.9 is needed, \S+ is here; scikit-learn 0.1.2 is needed, \S+ is here.$",
    ),
}


@pytest.mark.slow
def test_a_version_that_fails_is_held_back_and_the_one_before_serves(
    store: Store, start: Start
) -> None:
    store.promote(answering(1))
    app = start()
    app.serves(1)
    for number, (fields, reason) in enumerate(HELD_BACK.values(), 2):
        store.promote(**fields)
        assert re.search(reason, app.holds_back(number))
        assert app.get("/health").status == 200
        assert app.post("/predict").json() == {"predictions": [1]}
        assert b"is held back" in app.get("/").body


@pytest.mark.slow
def test_a_model_that_dies_is_loaded_again_and_the_worker_lives(store: Store, start: Start) -> None:
    meanwhile = "import os; rows[0][0] == 13 and os._exit(3)"
    store.promote(answering(1, meanwhile=meanwhile))
    app = start()
    app.serves(1)
    got = app.post("/predict", {"instances": [[13, 0]]})
    assert (got.status, got.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert app.post("/predict").json() == {"predictions": [1]}


@pytest.mark.slow
def test_a_fault_of_the_model_has_a_number_and_no_trace(
    store: Store, start: Start, tmp_path: Path
) -> None:
    store.promote(answering(1, meanwhile="1 / int(rows[0][0])"))
    app = start()
    got = app.post("/predict", {"instances": [[0, 0]]})
    [number] = re.findall(r"^error (\w+): see the server's log", got.json()["message"])
    assert (got.status, b"Traceback" in got.body) == (500, False)
    assert f"error {number}: POST /predict" in (tmp_path / "log").read_text()


def test_a_model_finds_no_setting_and_no_way_to_the_identity(store: Store, start: Start) -> None:
    store.promote(
        "class Model:\n    def predict(self, rows):\n        import os\n"
        "        return [str(sorted(os.environ.items()))]"
    )
    app = start(
        AzureWebJobsStorage="secret",
        IDENTITY_ENDPOINT="http://secret",
        IDENTITY_HEADER="secret",
        AZURE_CLIENT_ID="secret",
    )
    [found] = app.post("/predict").json()["predictions"]
    assert "PATH" in found
    for word in ("secret", "MLGATE", "FUNCTIONS_", "AzureWebJobs", "IDENTITY", str(store.root)):
        assert word not in found


@pytest.mark.skipif(sys.platform != "linux", reason="is about /proc")
def test_the_workers_own_variables_are_not_for_its_model(store: Store, start: Start) -> None:
    store.promote(answering(1))
    with told_from_root():
        app = start()
    app.serves(1)
    assert owner(app.pid) == (0, 0)


@pytest.mark.slow
def test_a_store_that_cannot_be_read_is_the_reason(store: Store, start: Start) -> None:
    app = start(MLGATE_MODELS=f"{store.root}/elsewhere", MLGATE_SWAP_WAIT="1")
    got = app.post("/predict")
    assert got.status == 503
    assert "The log of churn cannot be read: " in got.json()["message"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_model_of_every_format_is_served(
    name: str, models: Path, store: Store, start: Start
) -> None:
    """With the libraries of the lock, which the manifest names."""
    format_, answer = FORMATS[name]
    root = models / name
    paths = [each for each in sorted(root.rglob("*")) if each.is_file()] or [root]
    named = {
        str(each.relative_to(root) if root.is_dir() else each.name): each.read_bytes()
        for each in paths
    }
    files = tuple(
        ModelFile(path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in named.items()
    )
    path = "." if root.is_dir() else name
    versions = locked(f"{sys.version_info.major}.{sys.version_info.minor}", SERVING)
    needed = {each: versions[each] for each in ("scikit-learn", "numpy", "pandas")}
    manifest = Manifest(
        format_, path, platform.python_version(), "linux", needed, files,
        example=ROWS, answer=answer,
    )  # fmt: skip
    store.models.keep(MODEL, manifest, lambda path: [named[path]])
    store.name(manifest)
    app = start()
    got = app.post("/invocations", {"instances": ROWS})
    assert (got.status, got.json()) == (200, {"predictions": answer})


@pytest.mark.slow
def test_models_in_a_blob_container_are_served(
    azurite: Azurite, store: Store, start: Start
) -> None:
    """With the packages that the lock has for that."""
    url = container_url(azurite, f"models-{uuid.uuid4().hex[:8]}")
    store.models = ModelStore(InContainer(make_container(ContainerAddress.parse(url))))
    store.promote(answering(1))
    app = start(MLGATE_MODELS=url)
    assert app.post("/predict").json() == {"predictions": [1]}
    store.promote(answering(2))
    app.serves(2)
    assert app.post("/predict").json() == {"predictions": [2]}


def test_wrong_settings_are_told_when_the_function_is_loaded(
    deployed_app: tuple[Path, Path], store: Store, tmp_path: Path
) -> None:
    wrong = {
        "MLGATE_MODEL": "",
        "MLGATE_MODELS": "https://contoso.example/a/b/c",
        "MLGATE_SWAP_WAIT": "soon",
    }
    with running(deployed_app, store.root, tmp_path / "log", **wrong) as app:
        told = app.loaded.message.removeprefix("SettingsError: ").splitlines()
    assert not app.loaded.ok
    assert {line.partition(":")[0] for line in told} == set(wrong)


def test_outside_a_worker_the_function_can_be_imported_without_any_settings(
    tmp_path: Path,
) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import PredictFunctionApp"
    subprocess.run([sys.executable, "-c", code], check=True, env={}, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_ended_processes_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "p-left"
    (left / "v").mkdir(parents=True)
    (left / "v" / "model.pkl").write_bytes(b"of a worker that was ended")
    first, held = own_folder(tmp_path)
    second, also_held = own_folder(tmp_path)
    assert {each.name for each in tmp_path.glob("p-*")} == {first.name, second.name}
    held.close()
    third, last_held = own_folder(tmp_path)
    assert {each.name for each in tmp_path.glob("p-*")} == {second.name, third.name}
    also_held.close()
    last_held.close()


def test_only_what_runs_is_deployed(deployed_app: tuple[Path, Path]) -> None:
    app, _ = deployed_app
    assert {each.name for each in app.iterdir()} == {
        "host.json", "requirements.txt", "LICENSE", "PredictFunctionApp", "handlers", "mlgate",
        ".python_packages",
    }  # fmt: skip
    assert (app / "requirements.txt").read_bytes() == (ROOT / f"{SERVING}.txt").read_bytes()
    assert not (app / "mlgate/emulators").exists()
    assert not (app / "PredictFunctionApp/host.json").exists()


def test_the_function_folder_holds_no_rule_of_its_own() -> None:
    folder = ROOT / "PredictFunctionApp"
    assert sum(len(each.read_text().splitlines()) for each in folder.glob("*.*")) < 40


def test_the_queues_app_has_nothing_of_it() -> None:
    """Neither its files nor its packages, nor anything to import for them."""
    assert not [path for path in left_by_funcignore() if "redict" in path.partition("/")[0]]
    assert not [path for path in left_by_funcignore() if "serving" in path.partition("/")[0]]
    for python in PYTHONS:
        assert locked(python).keys().isdisjoint({"scikit-learn", "pandas", "numpy", "uvicorn"})
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
        "import RunNotebookFunctionApp, SweepBuildsFunctionApp; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env={}, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert "mlgate.hosts.functions" in loaded
    assert not {
        each
        for each in loaded
        if each.startswith(("mlgate.hosts.predict", "mlgate.hosts.serving", "mlgate.scorer"))
    }
