"""A kept model is loaded and asked where nothing but its files is; whatever it does."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from mlgate.orchestration.models import Manifest, manifest_of
from tests.contract.launcher.harness import Run
from tests.contract.launcher.models import (
    ASKED,
    ASKED_ONCE,
    EXAMPLE,
    ROWS,
    UNASKED,
    Serve,
    predict,
    recorded,
)
from tests.support.models import SUM, pickled


def asked(serve: Serve, source: str, expression: str = "Model()", **more: Any) -> Run:
    """A check of a model of this source, with an example."""
    return serve({"outputs/m.pkl": pickled(source, expression), **EXAMPLE}, **ASKED, **more)


def test_what_is_recorded_is_a_manifest(serve: Serve) -> None:
    run = asked(serve, SUM)

    assert (run.exit_code, run.outcome["status"]) == (0, "succeeded"), run.log
    assert run.outcome["outputs"] == ["outputs/metrics.json", "outputs/model.json"]
    record = recorded(run)
    assert (record["version"], record.pop("warnings")) == (1, [])
    manifest = manifest_of(json.dumps(record).encode())
    assert isinstance(manifest, Manifest)
    assert (manifest.format, manifest.path) == ("pickle", "m.pkl")
    assert manifest.python == platform.python_version()
    assert manifest.platform.startswith("linux-")
    [file] = manifest.files
    content = pickled(SUM)
    assert (file.path, file.size) == ("m.pkl", len(content))
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert manifest.signature["columns"][0] == {"name": "a", "type": None, "required": True}
    assert (manifest.example, manifest.answer) == (ROWS, [3.0, 7.5])
    assert record["folder"] == "outputs"
    assert set(record) == {"version", "folder"} | set(Manifest.__dataclass_fields__)


def test_what_is_measured_and_said(serve: Serve) -> None:
    run = asked(serve, SUM + "print('hello from the model')\n")

    metrics = run.outcome["metrics"]
    assert metrics.keys() == {*UNASKED, *ASKED_ONCE}
    assert [metrics[name] for name in ("requests", "failures", "failure_ratio")] == [1, 0, 0]
    assert metrics["p50_ms"] == metrics["p95_ms"] == metrics["p99_ms"]
    assert metrics["p50_ms"] * metrics["requests_per_second"] == pytest.approx(1000)
    assert 0 < metrics["load_seconds"] < 60
    assert 5 < metrics["memory_mb"] < 1000
    assert [event["event"] for event in run.events] == ["started"]
    assert re.sub(r"[\d.]+ (s|MiB|bytes)", "_", run.log) == (
        "model: outputs/m.pkl of train (pickle, 1 file, _)\n"
        "example: example.json\n"
        "loading it\n"
        "hello from the model\n"
        "loaded in _, peak memory _\n"
        "answered [3.0, 7.5]\n"
        "loading it in another process\n"
        "hello from the model\n"
        "loaded in _, peak memory _\n"
        "answered [3.0, 7.5]\n"
    )


def test_without_an_example_loading_alone_is_checked(serve: Serve) -> None:
    run = serve({"m.pkl": pickled()})

    assert run.outcome["status"] == "succeeded"
    assert (recorded(run)["example"], recorded(run)["answer"]) == (None, None)
    assert "`input_example`" in run.outcome["warnings"][0]
    assert recorded(run)["warnings"] == run.outcome["warnings"]
    assert run.outcome["metrics"].keys() == UNASKED
    assert run.outcome["metrics"]["requests"] == 0
    assert run.log.count("loading it") == 1


def test_a_serving_run_that_has_nothing_to_ask_fails_though_its_model_loads(serve: Serve) -> None:
    run = serve({"m.pkl": pickled()}, must_answer=True)

    assert (run.exit_code, run.failure["kind"]) == (1, "invalid")
    assert "was loaded but not asked" in run.failure["message"]
    assert "`requests`" in run.failure["message"]
    assert run.outcome["metrics"].keys() == UNASKED
    assert run.outcome["metrics"]["requests"] == 0
    assert run.outcome["outputs"] == ["outputs/metrics.json"]


def test_a_serving_run_with_an_example_is_as_the_check_of_a_promotion(serve: Serve) -> None:
    run = asked(serve, SUM, must_answer=True)

    assert run.outcome["status"] == "succeeded"
    assert recorded(run)["answer"] == [3.0, 7.5]
    assert run.outcome["metrics"]["requests"] == 1


COUNTS = """
class Model:
    asked = 0
    def predict(self, rows):
        self.asked += 1
        return [self.asked]
"""
HASHES = "class Model:\n  def predict(self, rows): return [hash('text')]"
LARGE = "class Model:\n  def predict(self, rows): return ['x' * (1 << 20)]"


@pytest.mark.parametrize(
    ("source", "said"),
    [(COUNTS, "differ"), (HASHES, "differ"), (LARGE, "has 1,048,580 bytes")],
    ids=["state", "another process", "too large"],
)
def test_an_answer_that_no_server_could_give_again_is_not_kept(
    serve: Serve, source: str, said: str
) -> None:
    run = asked(serve, source)

    assert run.outcome["status"] == "succeeded"
    assert (recorded(run)["example"], recorded(run)["answer"]) == (ROWS, None)
    [warning] = recorded(run)["warnings"]
    assert said in warning


def loading(line: str) -> str:
    return f"import os, sys\n{line}\n{SUM}"


HOLD = f"import os, time\nprint(os.getpid())\ntime.sleep(600)\n{SUM}"


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        (loading("os._exit(0)"), "code", "ended its process while it was loaded: it exited with"),
        (predict("os._exit(0)"), "code", "ended its process while it answered the example"),
        (loading("sys.exit(0)"), "code", "the model could not be loaded: SystemExit: 0"),
        (predict("sys.exit()"), "code", "the model could not answer the example: SystemExit"),
        (predict("os.kill(os.getpid(), 11)"), "code", "killed by SIGSEGV (signal 11) while it ans"),
        (loading("os.abort()"), "code", "killed by SIGABRT (signal 6) while it was loaded"),
        (
            loading("pid = os.fork()\nif pid:\n  os.waitpid(pid, 0)\n  os._exit(0)"),
            "code",
            "ended its process while it was loaded",
        ),
        (loading("1/0"), "code", "could not be loaded: ZeroDivisionError: division by zero"),
        (predict("rows[9]"), "code", "could not answer the example: IndexError: list index"),
        (predict("return object()"), "code", "answered with builtins.object, which JSON cannot"),
        (predict("raise MemoryError"), "out_of_memory", "MemoryError"),
        (predict("open('table.csv')"), "data", "FileNotFoundError: "),
        (loading("import lightgbm"), "dependency", "Add lightgbm to the environment"),
        (
            loading("import urllib.request as r; r.urlopen('http://127.0.0.1:9')"),
            "network",
            "URLError: ",
        ),
    ],
)
def test_what_goes_wrong_is_classified(serve: Serve, source: str, kind: str, said: str) -> None:
    run = asked(serve, source)

    assert (run.exit_code, run.outcome["status"]) == (1, "failed")
    assert (run.failure["kind"], said in run.failure["message"]) == (kind, True), run.failure
    answering = source.startswith("import os, sys\nclass")
    assert run.outcome["metrics"]["requests"] == run.outcome["metrics"]["failures"] == answering
    assert run.outcome["outputs"] == ["outputs/metrics.json"]


def test_the_traceback_is_the_models_own(serve: Serve) -> None:
    run = asked(serve, predict("{}['gone']"))

    assert run.failure["traceback"].endswith("KeyError: 'gone'")
    assert "mlgate" not in run.failure["traceback"]
    assert "KeyError: 'gone'" in run.log


ODD = """
import atexit, os, signal, sys, threading, time
atexit.register(time.sleep, 600)
os.chdir("/")
os.system("setsid sleep 600 &")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=(600,)).start()
"""
CLOSED = "import os, sys\nsys.stdout.close()\nsys.stderr = None\nos.closerange(0, 3)\n"


@pytest.mark.parametrize("line", [ODD, CLOSED, "import os; os.fork()"], ids=["odd", "mute", "fork"])
def test_a_model_may_behave_oddly_and_still_answer(serve: Serve, line: str) -> None:
    run = asked(serve, f"{line}\n{SUM}")

    assert run.outcome["status"] == "succeeded", run.log
    assert recorded(run)["answer"] == [3.0, 7.5]


@pytest.mark.parametrize(
    "change",
    [
        "open({}, 'ab').write(b'x')",
        "os.path.exists({0}) and os.remove({0})",
        "open({} + '.new', 'w').close()",
    ],
)
def test_a_model_that_changes_its_files_fails(serve: Serve, change: str) -> None:
    own = "os.path.abspath('../../model/m.pkl')"
    run = asked(serve, predict(change.format(own)))

    assert run.failure["kind"] == "code"
    assert "changes its own files" in run.failure["message"]
    assert "m.pkl" in run.failure["message"]
    assert not (run.output / "kept/outputs/model.json").exists()


def test_a_claim_that_does_not_hold_is_none(serve: Serve) -> None:
    claim = "open('../said.json', 'w').write('{}'); os._exit(0)"
    run = asked(serve, predict(claim))

    assert run.failure["message"].startswith("the model was not tried: exited with code 0")


def test_what_a_model_writes_elsewhere_does_not_pass_for_the_record(
    serve: Serve, tmp_path: Path
) -> None:
    root, output = tmp_path / "root", tmp_path / "output"
    source = predict(
        f"[open(p, 'w').write('{{}}') for p in ({str(root / 'outputs/model.json')!r}, "
        f"{str(root / 'outputs/metrics.json')!r}, {str(output / 'outcome.json')!r})]"
    )
    run = asked(serve, source)

    assert run.outcome["status"] == "succeeded"
    assert recorded(run)["answer"] == [1]
    assert run.outcome["metrics"]["requests"] == 1


def test_a_record_of_the_repository_is_not_the_runs(serve: Serve) -> None:
    run = asked(serve, loading("1/0"), files={"outputs/model.json": "{}"})

    assert run.outcome["outputs"] == ["outputs/metrics.json"]


def test_a_model_that_kills_whoever_checks_it_leaves_no_outcome(serve: Serve) -> None:
    run = asked(serve, predict("os.kill(os.getppid(), 9)"))

    assert run.exit_code == -signal.SIGKILL
    assert not (run.output / "outcome.json").exists()


def test_a_model_that_hangs_ends_with_its_run(serve: Serve) -> None:
    run = asked(serve, HOLD, wait=False)
    run.wait_for(lambda run: re.search(r"^\d+$", run.log, re.MULTILINE))
    run.process.send_signal(signal.SIGTERM)

    assert run.wait().outcome["status"] == "canceled"
    [pid] = re.findall(r"^\d+$", run.log, re.MULTILINE)
    assert not Path(f"/proc/{pid}").exists()


def test_nothing_but_its_files_is_there(serve: Serve) -> None:
    """Neither the tree, nor what a platform tells a run; the run's own variables are."""
    source = """
import os, sys
class Model:
    def predict(self, rows):
        told = [n for n in os.environ if n.startswith(("MLGATE_", "AZURE", "MLFLOW_RUN"))]
        return [told, os.listdir(), os.environ["SEED"], "helper.py" in str(sys.path)]
"""
    platforms = {"AZUREML_RUN_ID": "1", "MLFLOW_RUN_ID": "1", "SEED": "7", "AZURE_SECRET": "x"}
    files = {"helper.py": "x = 1"}
    run = asked(serve, source, files=files, environment=platforms, variables=["SEED"])

    assert recorded(run)["answer"] == [[], [], "7", False]


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"cfeatures\nScaler\n.", "code", "It is a module of the repository. Only the model's"),
        (
            b"c__main__\nScaler\n.",
            "code",
            "It is defined in the script that trained the model.",
        ),
        (b"csklearn.svm\nSVC\n.", "dependency", "the model needs scikit-learn, which"),
        (pickle.dumps({"model": 1}), "invalid", "class builtins.dict has no pred"),
        (b"version https://git-lfs", "code", "could not be loaded: UnpicklingError"),
    ],
)
def test_what_a_pickle_needs_beyond_its_file_is_told(
    serve: Serve, content: bytes, kind: str, said: str
) -> None:
    run = serve({"m.pkl": content}, files={"features.py": "class Scaler: pass"})

    assert (run.failure["kind"], said in run.failure["message"]) == (kind, True), run.failure


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.onnx", "an ONNX model needs onnxruntime, which is missing in its environment: add onn"),
        ("m.skops", "a skops model needs skops, which"),
        ("m/MLmodel", "an MLflow model needs numpy, which"),
    ],
)
def test_a_library_that_is_missing_is_named(serve: Serve, name: str, said: str) -> None:
    run = serve({name: b"x"})

    assert (run.failure["kind"], said in run.failure["message"]) == ("dependency", True)


@pytest.mark.parametrize(
    ("kept", "task", "said"),
    [
        ({}, {}, "no model is recognised in the kept outputs: there are no files"),
        (
            {"a.pkl": b"", "b.pkl": b""},
            {},
            "there are several models in the kept outputs: a.pkl, b.pkl",
        ),
        ({"a.pkl": b""}, {"path": "b.pkl"}, "`b.pkl` is not among the kept outputs: a.pkl"),
        ({"a.pkl": pickled()}, {"example": "e.json"}, "the example `e.json` is not among the out"),
        (
            {"a.pkl": pickled(), "e.json": "{"},
            {"example": "e.json"},
            "the example e.json is not a request: the request is not JSON",
        ),
        (
            {"a.pkl": pickled(), "e.json": '[{"a": 1, "c": 2}]'},
            {"example": "e.json"},
            "unknown column `c`; missing column `b`. The model accepts a, b",
        ),
    ],
)
def test_what_is_asked_for_wrongly_is_invalid(
    serve: Serve, kept: dict[str, bytes], task: dict[str, str], said: str
) -> None:
    run = serve(kept, **task)

    assert (run.failure["kind"], said in run.failure["message"]) == ("invalid", True), run.failure


def test_a_named_folder_is_kept_whole(serve: Serve) -> None:
    source = "import os\nclass Model:\n  def predict(self, rows): return [1]"
    kept = {"out/m/a.pkl": pickled(source), "out/m/deep/words.txt": "w", "out/b.pkl": b""}
    run = serve(kept, path="out/m")

    assert recorded(run)["path"] == "a.pkl"
    assert [file["path"] for file in recorded(run)["files"]] == ["a.pkl", "deep/words.txt"]


@pytest.mark.parametrize("name", ["out/m/link", "out/m"])
def test_a_link_is_refused(serve: Serve, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.pkl").write_bytes(pickled())
    (tmp_path / "kept" / name).parent.mkdir(parents=True)
    (tmp_path / "kept" / name).symlink_to(tmp_path / "elsewhere")
    more = {"out/m/a.pkl": pickled()} if name == "out/m/link" else {}
    run = serve(more, path="out/m")

    assert run.failure["kind"] == "invalid"
    assert "link" in run.failure["message"] or "known format" in run.failure["message"]


def test_outputs_that_is_a_file_of_the_tree_is_told(serve: Serve) -> None:
    run = asked(serve, SUM, files={"outputs": "mine"})

    assert run.failure["kind"] == "invalid"
    assert "outputs/metrics.json cannot be written" in run.failure["message"]


def test_nothing_is_left_behind(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    run = asked(serve, SUM, environment={"TMPDIR": str(tmp_path / "tmp")})

    assert run.outcome["status"] == "succeeded"
    assert os.listdir(tmp_path / "tmp") == []  # noqa: PTH208 -- names alone
