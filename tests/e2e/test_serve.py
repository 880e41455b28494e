"""`mlgate serve` as callers meet it: real processes, one version after the other."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from mlgate import __version__
from mlgate.orchestration.models import EntryKind
from tests.e2e.commands import PATIENCE, mlgate
from tests.e2e.serving import Callers, Server, is_running
from tests.support.models import SUM, pickled
from tests.support.owners import owner, told_from_root
from tests.support.stores import EXAMPLE, MODEL, Store, answering

SIGNATURE = {"columns": [{"name": "a", "type": "double"}, {"name": "b", "type": "double"}]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def serving(tmp_path: Path, store: Store) -> Iterator[Any]:
    """Starts servers of the store, and ends them."""
    servers = list[Server]()

    def serve(*arguments: str, **more: Any) -> Server:
        servers.append(Server(tmp_path, store.root, *arguments, **more))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()
        shutil.rmtree(server.temporary, ignore_errors=True)


def test_each_form_of_request_gets_the_answer_of_its_form(store: Store, serving: Any) -> None:
    entry = store.promote(SUM, example={"instances": [[1, 2]]}, answer={"predictions": [3.0]})
    server = serving()
    split = {"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2], [3, 4]]}}
    records = {"dataframe_records": [{"a": 1, "b": 2}]}
    for route in ("/invocations", "/predict", "/api/predict"):
        assert server.post(route, split).json() == {"predictions": [3.0, 7.0]}
        assert server.post(route, records).json() == {"predictions": [3.0]}
        assert server.post(route, {"instances": [[1, 2]]}).json() == {"predictions": [3.0]}
        got = server.post(route, "a,b\n1,2\n", "text/csv")
        assert got.json() == {"predictions": [3.0]}
        assert got.headers["mlgate-model"] == f"churn@{entry.id}"
        assert got.headers["mlgate-model-number"] == "1"
        assert got.headers["content-type"] == "application/json"
    columns = {"a": {"0": 1, "1": 2}, "b": {"0": 1, "1": 2}}
    for route in ("/predict", "/api/predict"):
        assert server.post(route, columns).json() == {"prediction": [2.0, 4.0]}
        assert server.post(route, [[1, 2], [3, 4]]).json() == [3.0, 7.0]


def test_what_it_says_of_itself(store: Store, serving: Any) -> None:
    first = store.promote(answering(1))
    entry = store.promote(SUM, signature=SIGNATURE, answer={"predictions": [3.0]})
    server = serving()
    said = server.serves(2)
    assert said["since"].endswith("+00:00")
    del said["since"]
    assert said == {
        "status": "ok", "model": MODEL, "id": entry.id, "number": 2, "held_back": None,
    }  # fmt: skip
    for path, expected in (
        ("/ping", {}),
        ("/live", {"status": "ok"}),
        ("/version", {"version": __version__}),
    ):
        got = server.get(path)
        assert (got.status_code, got.json()) == (200, expected)
        assert got.headers["mlgate-model"] == f"churn@{entry.id}"
    model = server.get("/model").json()
    assert (model["id"], model["number"], model["previous"]) == (entry.id, 2, first.id)
    assert (model["signature"], model["example"]) == (SIGNATURE, EXAMPLE)
    assert model["needs"]["format"] == "pickle"
    assert model["proof"]["digest"] == entry.digest


def test_what_it_refuses(store: Store, serving: Any) -> None:
    store.promote(SUM)
    server = serving(MLGATE_MAX_REQUEST="1000")

    def refused(got: Any) -> tuple[int, str]:
        assert got.json().keys() == {"error_code", "message"}
        assert got.headers["mlgate-model-number"] == "1"
        return got.status_code, got.json()["error_code"]

    server.serves(1)
    assert refused(server.get("/nothing")) == (404, "NOT_FOUND")
    assert refused(server.get("/predict")) == (405, "METHOD_NOT_ALLOWED")
    assert server.get("/predict").headers["allow"] == "POST"
    assert refused(server.post("/health")) == (405, "METHOD_NOT_ALLOWED")
    assert refused(server.post("/predict", " " * 1001)) == (413, "REQUEST_TOO_LARGE")
    assert refused(server.post("/predict", b"")) == (400, "BAD_REQUEST")
    large = urllib.request.Request(
        f"{server.url}/predict", b" " * (20 << 20), {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as answered:  # it reads once all is sent
        urllib.request.urlopen(large, timeout=PATIENCE)
    assert answered.value.code == 413
    parts = (b" " * 100 for _ in range(20))  # nobody says how many bytes are to come
    got = requests.post(f"{server.url}/predict", data=parts, timeout=PATIENCE)
    assert refused(got) == (413, "REQUEST_TOO_LARGE")
    assert refused(server.post("/predict", "<a/>", "text/xml")) == (415, "UNSUPPORTED_MEDIA_TYPE")
    for body in (
        "no JSON",
        {"instances": [[1, 2]], "inputs": [[1, 2]]},
        {"dataframe_records": [{"a": 1}]},
    ):
        assert refused(server.post("/predict", body)) == (400, "BAD_REQUEST")


def test_without_a_version_it_says_so_and_when_to_come_again(store: Store, serving: Any) -> None:
    server = serving()
    server.until(lambda said: said["status"] == "no_model")
    got = server.post("/predict")
    assert (got.status_code, got.json()["error_code"]) == (503, "NO_MODEL")
    assert int(got.headers["retry-after"]) >= 1
    assert "mlgate-model" not in got.headers
    for path in ("/ping", "/model"):
        got = server.get(path)
        assert (got.status_code, got.json()["error_code"]) == (503, "NO_MODEL")
    assert server.get("/health").status_code == 503
    assert [server.get(path).status_code for path in ("/live", "/")] == [200, 200]

    store.promote(answering(7))
    server.serves(1)
    assert server.post("/predict").json() == {"predictions": [7]}


def test_first_calls_wait_for_one_load(tmp_path: Path, store: Store, serving: Any) -> None:
    loads = tmp_path / "loads"
    load = f"import time; time.sleep(1); open({str(loads)!r}, 'a').write('x')"
    store.promote(answering(1, load))
    server = serving()
    with ThreadPoolExecutor(50) as threads:
        found = list(threads.map(lambda _: server.post("/predict"), range(50)))
    assert [(got.status_code, got.json()) for got in found] == [(200, {"predictions": [1]})] * 50
    assert loads.read_text() == "x"


def test_a_version_takes_over_without_a_request_lost(store: Store, serving: Any) -> None:
    store.promote(answering(1))
    server = serving()
    server.serves(1)
    with Callers(server) as callers:
        for number in (2, 3, 4):
            time.sleep(0.3)
            store.promote(answering(number, "import time; time.sleep(0.3)"))
            server.serves(number)
        time.sleep(0.3)
    assert {status for status, _, _ in callers.answers} == {200}
    assert {number for _, number, _ in callers.answers} == {"1", "2", "3", "4"}
    for _, by, answer in callers.answers:
        assert answer == {"predictions": [int(by or 0)]}
    assert len(server.children()) == 1


def test_a_process_that_dies_after_the_swap_is_the_one_that_is_named(
    tmp_path: Path, store: Store, serving: Any
) -> None:
    """And nobody says that it is started again."""
    go_on = tmp_path / "go-on"
    wait = f"any(os.path.exists({str(go_on)!r}) or time.sleep(0.05) for _ in itertools.count())"
    dies = f"import itertools, os, time; rows[0][0] == 13 and {wait} and os._exit(3)"
    first = store.promote(answering(1, meanwhile=dies))
    server = serving()
    server.serves(1)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.post, "/predict", {"instances": [[13, 0]]})
        time.sleep(0.5)
        store.promote(answering(2))
        server.serves(2)
        go_on.touch()
        got = asked.result()
    name = f"churn@{first.id}"
    assert (got.status_code, got.headers["mlgate-model"]) == (500, name)
    assert re.fullmatch(
        rf"error [0-9a-f]{{8}}: the process of {name} ended during the request\.",
        got.json()["message"],
    )


HELD_BACK: dict[str, tuple[dict[str, Any], str]] = {
    "raises": ({"source": answering(2, "raise RuntimeError('it is a Monday')")}, "it is a Monday"),
    "exits": ({"source": answering(2, "import sys; sys.exit(0)")}, "SystemExit"),
    "is killed": (
        {"source": answering(2, "import os; os.kill(os.getpid(), 9)")},
        r"ended while loading it \(SIGKILL\)",
    ),
    "lacks a distribution": (
        {"source": answering(2), "distributions": {"nowhere-to-be-found": "1.2.3"}},
        "nowhere-to-be-found 1.2.3 is needed, but is not installed",
    ),
    "needs others": (
        {"source": answering(2), "distributions": {"pytest": "1.0", "requests": "1.5.2"}},
        r"pytest 1.0 is needed, \d.* is here; requests 1.5.2 is needed, \d",
    ),
    "needs another Python": (
        {"source": answering(2), "python": "3.8.1"},
        "Python 3.8.1 is needed, 3.",
    ),
    "answers otherwise": (
        {"source": answering(2), "answer": {"predictions": [3]}},
        "answers its example with .*2.* but .*3.* was recorded",
    ),
    "cannot answer": (
        {"source": answering(2, meanwhile="raise ValueError('no rows like these')")},
        "no rows like these",
    ),
}


@pytest.mark.parametrize("name", HELD_BACK)
def test_a_candidate_that_fails_is_held_back(store: Store, serving: Any, name: str) -> None:
    """The version before answers on, without a failed request, and the next good one serves."""
    fields, reason = HELD_BACK[name]
    store.promote(answering(1))
    server = serving()
    server.serves(1)
    with Callers(server, 2) as callers:
        candidate = store.promote(**fields)
        assert re.search(reason, server.holds_back(2))
        said = server.until(lambda said: said["status"] == "held_back" and said["number"] == 1)
        assert said["held_back"]["id"] == candidate.id
        time.sleep(0.5)
    assert {(status, number) for status, number, _ in callers.answers} == {(200, "1")}
    tries = 3 if name == "is killed" else 1  # what may be the machine's fault is tried again
    assert sum("is held back" in line for line in server.err) == tries

    store.promote(answering(3))
    server.serves(3)
    assert server.health()["status"] == "ok"


def test_files_that_were_changed_are_not_loaded(tmp_path: Path, store: Store, serving: Any) -> None:
    marker = tmp_path / "loaded"
    store.promote(answering(1))
    server = serving()
    server.serves(1)
    manifest = store.keep(answering(2))
    file = store.root / MODEL / "versions" / manifest.id / "files" / "model.pkl"
    size = file.stat().st_size
    file.chmod(0o600)
    file.write_bytes(pickled(f"open({str(marker)!r}, 'w')").ljust(size)[:size])
    store.name(manifest)
    assert "model.pkl" in server.holds_back(2)
    assert server.post("/predict").json() == {"predictions": [1]}
    assert not marker.exists()


def test_a_format_that_the_host_does_not_take_is_not_loaded(
    tmp_path: Path, store: Store, serving: Any
) -> None:
    marker = tmp_path / "loaded"
    store.promote(answering(1, f"open({str(marker)!r}, 'w')"))
    server = serving(MLGATE_MODEL_FORMATS="onnx,skops")
    assert "MLGATE_MODEL_FORMATS" in server.holds_back(1)
    got = server.post("/predict")
    assert (got.status_code, "has the format pickle" in got.json()["message"]) == (503, True)
    assert "retry-after" in got.headers
    assert not marker.exists()


def test_a_rollback_serves_the_version_before(store: Store, serving: Any) -> None:
    first = store.keep(answering(1))
    store.name(first)
    store.promote(answering(2))
    server = serving()
    server.serves(2)
    store.name(first, EntryKind.ROLLED_BACK)
    server.serves(3)
    got = server.post("/predict")
    assert (got.json(), got.headers["mlgate-model"]) == ({"predictions": [1]}, f"churn@{first.id}")


def test_back_from_what_was_held_back_nothing_is_loaded_again(
    tmp_path: Path, store: Store, serving: Any
) -> None:
    loads = tmp_path / "loads"
    first = store.keep(answering(1, f"open({str(loads)!r}, 'a').write('x')"))
    store.name(first)
    server = serving()
    server.serves(1)
    store.promote(answering(2, "raise RuntimeError"))
    server.holds_back(2)
    store.name(first, EntryKind.ROLLED_BACK)
    assert server.serves(3)["status"] == "ok"
    assert server.post("/predict").headers["mlgate-model-number"] == "3"
    assert loads.read_text() == "x"


def test_a_pinned_version_stays(store: Store, serving: Any) -> None:
    first = store.promote(answering(1))
    store.promote(answering(2))
    server = serving(f"{MODEL}@{first.id}")
    server.serves(1)
    store.promote(answering(3))
    time.sleep(0.6)
    assert server.post("/predict").json() == {"predictions": [1]}
    assert server.health()["number"] == 1


def test_the_only_model_need_not_be_named(tmp_path: Path, store: Store) -> None:
    store.promote(answering(1))
    with Server(tmp_path, store.root, "--host", "127.0.0.1") as server:
        server.serves(1)
        assert server.terminate() == 0
    shutil.rmtree(server.temporary)


def test_a_process_that_dies_is_started_again(store: Store, serving: Any) -> None:
    store.promote(answering(1, meanwhile="import os; rows[0][0] == 13 and os._exit(3)"))
    server = serving()
    server.serves(1)
    [child] = server.children()
    os.kill(child, signal.SIGKILL)
    while is_running(child):
        time.sleep(0.01)
    assert server.post("/predict").json() == {"predictions": [1]}  # it waits

    got = server.post("/predict", {"instances": [[13, 0]]})
    assert (got.status_code, got.json()["error_code"]) == (500, "INTERNAL_ERROR")
    message = got.json()["message"]
    assert message.endswith("ended during the request. It is being restarted.")
    number = message.partition(":")[0]
    while not any(number in line for line in server.err):
        time.sleep(0.01)
    assert server.post("/predict").json() == {"predictions": [1]}


def test_only_what_a_dying_process_had_got_is_lost(store: Store, serving: Any) -> None:
    store.promote(answering(1, meanwhile="import os; rows[0][0] == 13 and os._exit(3)"))
    server = serving()
    server.serves(1)
    bodies = [{"instances": [[13 if number == 50 else 1, 0]]} for number in range(200)]
    with ThreadPoolExecutor(100) as threads:
        found = list(threads.map(lambda body: server.post("/predict", body).status_code, bodies))
    assert found[50] == 500
    assert {*found} == {200, 500}
    assert found.count(500) <= 8


def test_a_process_that_dies_does_not_wait_for_a_candidate(
    tmp_path: Path, store: Store, serving: Any
) -> None:
    """However long that takes to be loaded."""
    go_on = tmp_path / "go-on"
    store.promote(answering(1))
    server = serving()
    server.serves(1)
    [child] = server.children()
    wait = f"import os, time\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.05)"
    store.promote(answering(2, wait))
    while len(server.children()) < 2:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    while is_running(child):
        time.sleep(0.01)
    assert server.post("/predict").json() == {"predictions": [1]}
    go_on.touch()
    server.serves(2)
    assert server.post("/predict").json() == {"predictions": [2]}


def test_what_was_asked_before_sigterm_is_answered(
    tmp_path: Path, store: Store, serving: Any
) -> None:
    begun = tmp_path / "begun"
    wait = f"import time; rows[0][0] == 13 and (open({str(begun)!r}, 'w'), time.sleep(1.5))"
    store.promote(answering(1, meanwhile=wait))
    server = serving()
    server.serves(1)
    children = server.children()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.post, "/predict", {"instances": [[13, 0]]})
        while not begun.exists():
            time.sleep(0.02)
        assert server.terminate() == 0
    assert (asked.result().status_code, asked.result().json()) == (200, {"predictions": [1]})
    assert not any(map(is_running, children))
    assert list(server.temporary.iterdir()) == []
    assert not any("Traceback" in line for line in server.err), server.err


def test_sigterm_while_a_version_is_being_loaded(store: Store, serving: Any) -> None:
    store.promote(answering(1, "import time; time.sleep(600)"))
    server = serving()
    while not (children := server.children()):
        time.sleep(0.05)
    assert server.terminate() == 0
    assert not any(map(is_running, children))
    assert list(server.temporary.iterdir()) == []


def test_a_store_that_is_gone_ends_nothing(tmp_path: Path, store: Store, serving: Any) -> None:
    store.promote(answering(1))
    server = serving()
    server.serves(1)
    away = store.root.rename(tmp_path / "away")
    store.root.mkdir()  # as a share looks that is not mounted any more
    with Callers(server, 2) as callers:
        time.sleep(1)
    assert {status for status, _, _ in callers.answers} == {200}
    assert server.health()["status"] == "ok"
    store.root.rmdir()
    away.rename(store.root)
    store.promote(answering(2))
    server.serves(2)
    assert sum("cannot be read" in line for line in server.err) == 1


def test_a_store_that_cannot_be_read_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    done = mlgate(tmp_path, "serve", MODEL, MLGATE_MODELS=str(tmp_path / "share"))
    assert (done.code, "mlgate models --init" in done.err, done.out) == (3, True, "")


@pytest.mark.parametrize("arguments", [["Churn"], ["churn@1"], ["churn", "--port", "70000"], []])
def test_usage(tmp_path: Path, store: Store, arguments: list[str]) -> None:
    done = mlgate(tmp_path, "serve", *arguments, MLGATE_MODELS=str(store.root))
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_port_that_is_in_use(tmp_path: Path, store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = mlgate(tmp_path, "serve", MODEL, "--port", port, MLGATE_MODELS=str(store.root))
    assert (done.code, done.out) == (3, "")
    assert port in done.err
    assert "Traceback" not in done.err


def test_a_model_finds_no_setting_and_no_token_of_the_host(store: Store, serving: Any) -> None:
    store.promote(
        "class Model:\n    def predict(self, rows):\n        import os\n"
        "        return [str(sorted(os.environ.items()))]"
    )
    server = serving(
        serviceBusConnectionString="Endpoint=sb://secret",
        AZURE_CLIENT_SECRET="secret",
        MLGATE_SERVICES="https://secret",
        GITHUB_TOKEN="secret",
        PYTHONPATH=os.environ.get("PYTHONPATH", ""),
    )
    [found] = server.post("/predict").json()["predictions"]
    assert "PATH" in found
    for word in ("secret", "MLGATE", "serviceBus", "PYTHONPATH", str(store.root)):
        assert word not in found


@pytest.mark.skipif(sys.platform != "linux", reason="is about /proc")
def test_the_servers_own_variables_are_not_for_its_model(store: Store, serving: Any) -> None:
    store.promote(answering(1))
    with told_from_root() as own:
        server = serving()
    server.serves(1)
    assert [owner(each) for each in server.children()] == [own]
    assert owner(server.process.pid) == (0, 0)


def test_each_version_has_the_environment_that_it_needs(store: Store, serving: Any) -> None:
    """Made by uv, beside that of the version before; one that cannot be made is held back."""
    source = (
        "import six\nclass Model:\n"
        "    def predict(self, rows):\n        return [six.__version__ for _ in rows]"
    )
    store.promote(source, distributions={"six": "1.16.0"})
    server = serving(environments=(), GITHUB_TOKEN="secret")
    server.serves(1)
    with Callers(server, 2) as callers:
        store.promote(source, distributions={"six": "1.17.0"})
        server.serves(2)
        store.promote(source, distributions={"six": "0.0.1"})
        assert "six==0.0.1" in server.holds_back(3)
    assert {(status, *answer["predictions"]) for status, _, answer in callers.answers} == {
        (200, "1.16.0"),
        (200, "1.17.0"),
    }
    store.promote(source, python="3.5.1")
    assert "Python 3.5 is needed" in server.holds_back(4)


def test_sigterm_while_an_environment_is_made(tmp_path: Path, store: Store, serving: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store.promote(answering(1), distributions={"six": "1.16.0"})
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        more = {"UV_DEFAULT_INDEX": index, "UV_CACHE_DIR": str(tmp_path / "cache")}
        server = serving(environments=(), **more)
        connection, _ = silent.accept()  # of uv, which waits
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 15
        connection.close()
    assert server.children() == []
    assert list(server.temporary.iterdir()) == []


def test_nothing_that_models_need_is_imported_by_the_parent() -> None:
    program = (
        "import sys, mlgate.hosts.serving.server; "
        "print({'numpy', 'pandas', 'sklearn', 'mlflow', 'onnxruntime'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
