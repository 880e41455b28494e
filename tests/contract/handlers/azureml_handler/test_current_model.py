"""How the current version's files come into the workspace's storage, and what that costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.azureml_handler.handler import AzureMLHandler
from mlgate.emulators.azure_ml import Fault
from mlgate.emulators.azure_ml.storage import Folder
from mlgate.emulators.azure_ml.workspace import BLOB_STORE
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from tests.contract.handlers.azureml_handler.support import Bench, write
from tests.contract.handlers.azureml_handler.test_storage import (
    IDENTITY_REFUSED,
    KEY_REFUSED,
    SECRETS,
)

VERSION = "3f9a1c0b7d52"
PLACE = f"mlgate/current-models/{VERSION}"
FILES = {"MLmodel": "flavors: {}", "data/model.pkl": "model", "empty": "", "ü .txt": "x"}
READS = 'test "$(cat "$MLGATE_CURRENT_MODEL/data/model.pkl")" = model'


def stage(
    bench: Bench,
    handler: AzureMLHandler | None = None,
    version: str = VERSION,
    files: Mapping[str, str] = FILES,
) -> str:
    folder = write(bench.folder / "version", files).folder
    return (handler or bench.handler).stage_model(version, folder)


def asked(bench: Bench) -> Counter[str]:
    found = Counter(bench.calls())
    bench.server.requests.clear()
    return found


def stored(bench: Bench) -> dict[str, bytes]:
    storage = bench.server.storage
    folder = Folder(bench.server.workspace.containers[BLOB_STORE], PLACE)
    return {name: storage.get(folder / name) for name in storage.list(folder)}


def test_a_version_is_uploaded_once_and_costs_one_request_from_then_on(bench: Bench) -> None:
    word = stage(bench)
    access = {"datastores.get": 1, SECRETS: 1}
    assert asked(bench) == {**access, "blob.list": 1, "blob.put": len(FILES)}
    assert stage(bench) == word
    assert asked(bench) == {"blob.list": 1}
    assert stage(bench, bench.another()) == word
    assert asked(bench) == {**access, "blob.list": 1}
    assert stored(bench) == {name: text.encode() for name, text in FILES.items()}


def test_what_a_job_has_put_beside_it_goes(bench: Bench) -> None:
    stage(bench)
    folder = Folder(bench.server.workspace.containers[BLOB_STORE], PLACE)
    bench.server.storage.put(folder / "sitecustomize.py", b"evil = True")
    stage(bench)
    assert stored(bench) == {name: text.encode() for name, text in FILES.items()}


def test_a_run_costs_no_more_with_it(bench: Bench) -> None:
    task = replace(bench.task(READS), current_model=stage(bench))
    asked(bench)
    assert bench.handler.submit(task)
    assert asked(bench) == {"jobs.put": 1}
    assert bench.ended(task).failure is None


def test_an_upload_that_was_cut_short_goes_on(bench: Bench) -> None:
    bench.server.faults.add("blob.put", Fault.answering(409), 1)
    with pytest.raises(Temporary):
        stage(bench)
    there = stored(bench).keys()
    assert there < FILES.keys()
    asked(bench)
    stage(bench)
    assert asked(bench)["blob.put"] == len(FILES) - len(there)
    assert stored(bench) == {name: text.encode() for name, text in FILES.items()}


def test_a_job_is_given_it_as_the_sdk_gives_any_folder_to_read(bench: Bench) -> None:
    base = bench.task("true", "base")
    bench.run(base)
    task = bench.task(READS, needs=("base",))
    task = replace(task, inputs={"base": base.attempt}, current_model=stage(bench))
    assert bench.run(task).failure is None
    inputs = bench.job(task).spec["inputs"]
    uri = f"azureml://datastores/workspaceblobstore/paths/{PLACE}/"
    assert inputs == {"need_0": inputs["need_0"], "current_model": {**inputs["need_0"], "uri": uri}}
    assert inputs["need_0"].get("mode") in (None, "ReadOnlyMount")


def test_it_is_uploaded_with_the_hosts_identity_where_there_are_no_keys(keyless: Bench) -> None:
    task = replace(keyless.task(READS), current_model=stage(keyless))
    assert keyless.run(task).failure is None
    assert keyless.calls(SECRETS) == []


@pytest.mark.parametrize("call", ["blob.list", "blob.put"])
def test_an_identity_that_storage_refuses_is_told_its_role(call: str, keyless: Bench) -> None:
    keyless.server.faults.add(call, Fault.answering(403), 99)
    with pytest.raises(UnfitHost, match=IDENTITY_REFUSED):
        stage(keyless)


def test_a_key_that_was_changed_is_asked_for_again(bench: Bench) -> None:
    bench.server.faults.add("blob.put", Fault.answering(403), 1)
    stage(bench)
    assert asked(bench)[SECRETS] == 2
    assert stored(bench).keys() == FILES.keys()
    bench.server.faults.add("blob.list", Fault.answering(403), 99)
    with pytest.raises(UnfitHost, match=KEY_REFUSED):
        stage(bench)


@pytest.mark.parametrize("name", ["a\\b", "line\nbreak", "folder./a"])
def test_names_that_storage_does_not_keep_are_told_before_anything_is_asked(
    name: str, bench: Bench
) -> None:
    with pytest.raises(Permanent, match="has a file whose name Azure's storage cannot keep"):
        stage(bench, files={**FILES, name: "x"})
    assert bench.calls() == []


@pytest.mark.parametrize("version", ["../../other", "", "3F9A1C0B7D52"])
def test_what_is_no_version_is_refused(version: str, bench: Bench) -> None:
    with pytest.raises(Permanent, match="is not the id of a model's version"):
        stage(bench, version=version)
    assert bench.calls() == []


def test_a_link_leads_to_no_file_of_the_host(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host alone")
    folder = write(tmp_path / "linked", {"MLmodel": "x"}).folder
    (folder / "link").symlink_to(secret)
    bench.handler.stage_model(VERSION, folder)
    assert stored(bench) == {"MLmodel": b"x"}
