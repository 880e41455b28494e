"""How a host comes by what runs left in the workspace's storage."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from azure.identity import EnvironmentCredential

from handlers.azureml_handler.access import LIFETIME
from handlers.azureml_handler.storage import Outputs
from handlers.azureml_handler.workspace import STORE
from mlgate.emulators.azure_ml import AzureML, Fault
from mlgate.emulators.azure_ml.storage import Folder
from mlgate.emulators.azure_ml.workspace import BLOB_STORE
from mlgate.orchestration.errors import UnfitHost
from tests.contract.handlers.azureml_handler.support import Bench

KEEPS = "echo kept > outputs/a"
SECRETS = "datastores.secrets"
KEY_REFUSED = r"storage account \w+\.blob\S+ refuses a key .* just given\. .* network rules"
IDENTITY_REFUSED = (
    r"storage account \w+\.blob\S+, .* refuses the host's identity\. "
    "Give that identity the role Storage Blob Data Contributor on the account"
)


@pytest.fixture
def with_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """A build in a workspace with keys, whose storage takes tokens as well."""
    with AzureML() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        bench = Bench(server, tmp_path)
        yield bench
        bench.close()
        assert server.violations == []


def test_a_datastore_without_a_key_is_read_with_the_hosts_identity(keyless: Bench) -> None:
    assert keyless.run(keyless.task(KEEPS)).outputs == ("runs/train/outputs/a",)
    assert keyless.files.read(keyless.build, "runs/train/outputs/a") == b"kept\n"
    assert keyless.calls(SECRETS) == []


@pytest.mark.parametrize("call", ["blob.list", "blob.get", "blob.put"])
def test_an_identity_that_storage_refuses_is_told_its_role(call: str, keyless: Bench) -> None:
    keyless.server.faults.add(call, Fault.answering(403), 99)
    with pytest.raises(UnfitHost, match=IDENTITY_REFUSED):
        keyless.run(keyless.task(KEEPS))


@pytest.mark.parametrize("status", [403, 400])
def test_a_host_that_gets_no_key_comes_with_its_identity(status: int, with_tokens: Bench) -> None:
    with_tokens.server.faults.add(SECRETS, Fault.answering(status))
    assert with_tokens.run(with_tokens.task(KEEPS)).outputs == ("runs/train/outputs/a",)


def test_a_signature_that_storage_does_not_take_gives_way_to_the_identity(keyless: Bench) -> None:
    """As where the account's keys were switched off, and Azure ML still signs with one."""
    storage = keyless.server.storage
    storage.make_container("handed-out")
    place = {
        "blobUri": f"https://{storage.host}:443/handed-out",
        "credential": {"credentialType": "SAS", "sasUri": storage.upload_url("handed-out")},
    }
    told = json.dumps({"blobReferenceForConsumption": place}).encode()
    keyless.server.faults.add("codes.upload", Fault.saying(told))
    assert keyless.run(keyless.task("python train.py")).failure is None
    assert "code/tree/train.py" in storage.list(Folder("handed-out", ""))


def test_a_signature_that_is_refused_for_another_reason_is_told(bench: Bench) -> None:
    bench.server.faults.add("blob.put", Fault.answering(403), 99)
    with pytest.raises(UnfitHost, match=KEY_REFUSED):
        bench.task("true")


@pytest.mark.parametrize("call", ["blob.list", "blob.get"])
def test_a_key_that_was_changed_is_asked_for_again(call: str, bench: Bench) -> None:
    bench.run(bench.task("true", "first"))
    bench.server.requests.clear()
    bench.server.faults.add(call, Fault.answering(403))
    assert bench.run(bench.task(KEEPS)).outputs == ("runs/train/outputs/a",)
    assert Counter(bench.calls("datastores.get", SECRETS)) == {"datastores.get": 1, SECRETS: 1}


def test_a_new_key_that_is_refused_as_well_is_told(bench: Bench) -> None:
    bench.server.faults.add("blob.list", Fault.answering(403), 99)
    with pytest.raises(UnfitHost, match=KEY_REFUSED):
        bench.run(bench.task("true"))
    assert bench.calls(SECRETS) == [SECRETS] * 2


def test_a_host_that_gets_no_second_key_is_told_its_role(bench: Bench) -> None:
    bench.run(bench.task("true", "first"))
    bench.server.faults.add(SECRETS, Fault.answering(403))
    bench.server.faults.add("blob.list", Fault.answering(403), 99)
    with pytest.raises(UnfitHost, match=IDENTITY_REFUSED):
        bench.run(bench.task("true"))


def test_renewed_access_goes_by_the_connections_that_there_are(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first = re.compile(rf"new HTTPS connection \(1\): {re.escape(bench.server.storage.host)}")
    task = bench.task(KEEPS)
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")
    bench.run(task)
    for _ in range(3):
        bench.clock.ahead += LIFETIME
        bench.handler.collect(task, bench.files)
    assert bench.calls(SECRETS) == [SECRETS] * 4
    assert len(first.findall(caplog.text)) == 1


def test_a_file_that_is_there_already_is_not_mixed_with_another_one(
    bench: Bench, tmp_path: Path
) -> None:
    """As where a file system takes the names of two for the same."""
    container = bench.server.workspace.containers[BLOB_STORE]
    bench.server.storage.put(Folder(container, "folder/a"), b"new")
    (tmp_path / "a").write_bytes(b"there")
    store = Outputs(
        *bench.handler._control.datastore(STORE),
        EnvironmentCredential(),
        bench.clock,
        bench.handler._transport,
    )
    with ThreadPoolExecutor(1) as pool:
        assert store.download("folder", {"a": 3}, tmp_path, pool) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"there"
