"""Models as people meet them: offered by builds, shown, and rolled back, each outcome once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import (
    PATIENCE,
    Done,
    assert_no_slip,
    commit,
    message,
    mlgate,
    run,
    start,
)
from tests.support.models import pickled
from tests.support.stores import Store, answering

TRAIN = """
import json, os, pathlib, sys
name, accuracy = sys.argv[1:]
outputs = pathlib.Path("outputs")
outputs.mkdir(exist_ok=True)
(outputs / "model.pkl").write_bytes(pathlib.Path(name).read_bytes())
metrics = {} if accuracy == "none" else {"accuracy": float(accuracy)}
current = os.environ.get("MLGATE_CURRENT_MODEL")
if current:
    same = pathlib.Path(current, "model.pkl").read_bytes() == pathlib.Path("one.pkl").read_bytes()
    metrics["current_is_one"] = float(same)
(outputs / "metrics.json").write_text(json.dumps(metrics))
(outputs / "example.json").write_text(json.dumps({"instances": [[1, 2]]}))
"""
COMPARE = [{"run": "train", "metric": "accuracy", "better": "higher"}]


@pytest.fixture
def models(repository: Path) -> Path:
    """A repository that trains a model of any name to any accuracy."""
    (repository / "train.py").write_text(TRAIN)
    for number, name in enumerate(("one", "two", "three", "four"), 1):
        source = f"class Model:\n    def predict(self, rows): return [{number} for _ in rows]"
        (repository / f"{name}.pkl").write_bytes(pickled(source))
    commit(repository)
    return repository


def offer(folder: Path, repository: Path, name: str, accuracy: object, **promote: Any) -> Done:
    training = {
        "kind": "training",
        "name": "train",
        "command": f"python train.py {name}.pkl {accuracy}",
    }
    offered = {"model": "churn", "example": "outputs/example.json", "compare": COMPARE, **promote}
    return run(folder, message(folder, repository, training, promote=offered))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Where the programs of a test keep models."""
    return Store(tmp_path / ".mlgate/models")


def test_each_outcome_once(tmp_path: Path, models: Path) -> None:
    """One that a gate keeps from it is below, and one that may be worse among the examples."""

    def outcome(*offered: Any, **promote: Any) -> tuple[int, str, Any]:
        done = offer(tmp_path, models, *offered, **promote)
        said = done.result["promotion"]
        assert said["reason"] in done.out
        return done.code, said["outcome"], said["number"]

    assert outcome("one", 0.8) == (0, "promoted", 1)
    first = offer(tmp_path, models, "one", 0.8)
    assert first.result["promotion"]["outcome"] == "unchanged"
    assert first.run("train")["metrics"]["current_is_one"] == 1  # found by the run
    assert outcome("two", 0.9) == (0, "promoted", 2)
    assert outcome("three", 0.7) == (1, "kept", None)
    assert outcome("three", "none") == (1, "refused", None)

    two = json.loads(mlgate(tmp_path, "models", "churn", "--json").out)["current"]
    back = mlgate(tmp_path, "rollback", "churn", "--reason", "It was slow.")
    assert back.code == 0, back.err
    said = json.loads(mlgate(tmp_path, "models", "churn", "--json").out)
    assert (said["current"]["number"], said["current"]["kind"]) == (3, "rolled_back")
    assert (said["current"]["id"], said["previous"]) == (two["replaces"], two["id"])
    assert (said["current"]["reason"], len(said["log"])) == ("It was slow.", 3)

    assert outcome("two", 0.99) == (1, "refused", None)  # only on purpose
    assert mlgate(tmp_path, "rollback", "churn").code == 1  # there is nothing before
    assert mlgate(tmp_path, "rollback", "churn", "--to", two["id"]).code == 0
    assert mlgate(tmp_path, "models", "--check").code == 0
    shown = mlgate(tmp_path, "models").out
    assert "churn" in shown
    assert two["id"] in shown


def test_a_build_that_began_earlier_and_ends_later_is_superseded(
    tmp_path: Path, models: Path
) -> None:
    """However good its model is, it does not replace that of a build which began later."""
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    wait = f"touch {begun}; while [ ! -e {go_on} ]; do sleep 0.1; done; "
    early = message(
        tmp_path,
        models,
        {"kind": "training", "name": "train", "command": f"{wait}python train.py one.pkl 0.95"},
        promote={"model": "churn", "example": "outputs/example.json", "compare": COMPARE},
    ).rename(tmp_path / "early.json")
    process = start(tmp_path, "run", early, "--output", "early")
    try:
        until = time.monotonic() + PATIENCE
        while not begun.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        assert offer(tmp_path, models, "two", 0.9).result["promotion"]["outcome"] == "promoted"
        go_on.touch()
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        go_on.touch()  # whatever happened, its training does not wait for ever
        process.kill()
        process.wait()

    done = Done(process.returncode, out, err, tmp_path / "early")
    assert done.code == 0, err
    promotion = done.result["promotion"]
    assert (promotion["outcome"], promotion["number"]) == ("superseded", None)
    assert f"warning: {promotion['reason']}" in done.out
    assert_no_slip(err)
    [entry] = json.loads(mlgate(tmp_path, "models", "churn", "--json").out)["log"]
    assert entry["metrics"]["train"]["accuracy"] == 0.9


def test_what_passed_for_a_stage_is_promoted_on(tmp_path: Path, models: Path) -> None:
    """The approval between two of them: nothing is trained or tried again."""
    assert offer(tmp_path, models, "one", 0.8, model="staging").code == 0
    build = mlgate(tmp_path, "builds").out.split()[2]

    done = mlgate(tmp_path, "promote", build, "--model", "churn")
    assert done.code == 0, done.err
    assert "is the current version, by entry 1" in done.out
    staged, promoted = (
        json.loads(mlgate(tmp_path, "models", model, "--json").out)["current"]
        for model in ("staging", "churn")
    )
    assert promoted["id"] == staged["id"]
    assert promoted["metrics"] == staged["metrics"]
    again = mlgate(tmp_path, "promote", build, "--model", "churn")
    assert (again.code, "is the current version already" in again.out) == (0, True)

    said = {"version": 1, "kind": "promote", "model": "third", "build": build}
    (tmp_path / "promote.json").write_text(json.dumps(said))
    done = mlgate(tmp_path, "run", "promote.json", "--output", "elsewhere")
    assert done.code == 0, done.err
    assert (tmp_path / "elsewhere/result.json").exists()
    refused = mlgate(tmp_path, "run", "promote.json", "--output", "output")
    assert (refused.code, "which is to be promoted" in refused.err) == (2, True)
    assert (tmp_path / "output/result.json").exists()

    assert mlgate(tmp_path, "promote", "nobody", "--model", "churn").code == 3
    (tmp_path / "promote.json").write_text(json.dumps({**said, "build": "nobody"}))
    unknown = mlgate(tmp_path, "run", "promote.json")
    assert unknown.code == 1
    assert "There is no build nobody among the latest ones." in unknown.out
    failed = offer(tmp_path, models, "two", 0.7, model="staging")
    assert failed.code == 1
    refused = mlgate(tmp_path, "promote", failed.result["build_id"])
    assert refused.code == 1
    assert "its model was worse" in refused.err


def test_messages_of_models_are_run_here_as_well(tmp_path: Path, store: Store) -> None:
    for number in (1, 2):
        store.promote(answering(number))
    path = tmp_path / "back.json"
    path.write_text(json.dumps({"version": 1, "kind": "rollback", "model": "churn"}))

    done = run(tmp_path, path)
    assert done.code == 0, done.err
    assert done.result["promotion"]["outcome"] == "rolled_back"
    assert done.result["runs"] == []
    assert run(tmp_path, path).code == 1  # there is nothing before


def test_a_model_that_does_not_load_again_is_not_promoted(tmp_path: Path, models: Path) -> None:
    (models / "one.pkl").write_bytes(b"no pickle at all")
    commit(models)
    done = offer(tmp_path, models, "one", 0.8)

    assert done.code == 1
    assert done.run("check-churn")["status"] == "failed"
    assert done.result["promotion"]["outcome"] == "not_reached"
    assert "No models" in mlgate(tmp_path, "models").out


def test_a_serving_run_asks_for_the_gate_and_is_the_check(tmp_path: Path, models: Path) -> None:
    (models / "requests.json").write_text(json.dumps([{"instances": [[1, 2]]}, [[3, 4]]]))
    (models / "wrong.json").write_text(json.dumps([{"instances": [[1, 2]]}, {"a": 1}]))
    commit(models)
    training = {"kind": "training", "name": "train", "command": "python train.py one.pkl 0.8"}

    def serve(requests: str, at_most: float) -> Done:
        serving = {"kind": "serving", "model": "train", "requests": requests}
        bound = {"run": "serve-train", "metric": "p95_ms", "at_most": at_most}
        gate = {"metrics": [bound]}
        path = message(tmp_path, models, training, serving, promote={"model": "churn"}, gate=gate)
        return run(tmp_path, path)

    wrong = serve("wrong.json", 60_000)
    assert wrong.code == 1
    assert "request 2 of wrong.json was refused" in wrong.run("serve-train")["failure"]["message"]
    slow = serve("requests.json", 0)
    assert (slow.code, slow.run("serve-train")["status"]) == (1, "succeeded")
    assert slow.result["promotion"]["outcome"] == "not_reached"

    done = serve("requests.json", 60_000)
    assert done.code == 0, done.err
    assert [each["name"] for each in done.result["runs"]] == ["train", "serve-train"]
    metrics = done.run("serve-train")["metrics"]
    assert (metrics["requests"], metrics["failures"], metrics["failure_ratio"]) == (2, 0, 0)
    assert done.result["promotion"]["outcome"] == "promoted"
    assert done.run("serve-train")["kind"] == "serving"


def test_files_that_were_changed_in_the_store_are_found(tmp_path: Path, store: Store) -> None:
    kept = store.files(store.promote(answering(1))) / "model.pkl"
    assert mlgate(tmp_path, "models", "--check").code == 0
    kept.chmod(0o600)
    kept.write_bytes(pickled("class Model: pass"))

    checked = mlgate(tmp_path, "models", "--check")
    assert checked.code == 3
    assert "model.pkl" in checked.out
    as_json = mlgate(tmp_path, "models", "--check", "--json")
    [version] = json.loads(as_json.out)["versions"]
    assert as_json.code == 3
    assert version["damaged"] == ["model.pkl"]


def test_a_folder_that_is_no_store_is_refused_with_its_remedy(tmp_path: Path, models: Path) -> None:
    """So does an unmounted share look."""
    share = tmp_path / "share"
    share.mkdir()
    found = mlgate(tmp_path, "models", MLGATE_MODELS=str(share))
    assert found.code == 3
    assert "mlgate models --init" in found.err
    assert list(share.iterdir()) == []

    assert mlgate(tmp_path, "models", "--init", MLGATE_MODELS=str(share)).code == 0
    assert mlgate(tmp_path, "models", MLGATE_MODELS=str(share)).code == 0
