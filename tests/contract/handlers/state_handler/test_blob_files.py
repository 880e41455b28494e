"""Build files as blobs: types that a browser understands, whole or not there, any size."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from mlgate.orchestration.errors import Temporary, UnfitHost
from tests.contract.handlers.state_handler.conftest import Storage
from tests.contract.handlers.state_handler.disks import a_full_disk

BIG = 65 << 20  # bytes: more than is sent at once


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("report.html", "text/html; charset=utf-8"),
        ("result.json", "application/json"),
        ("junit.xml", "text/xml; charset=utf-8"),
        ("runs/a/log.txt", "text/plain; charset=utf-8"),
        ("runs/a/executed.ipynb", "application/x-ipynb+json"),
        ("runs/a/outputs/plot.png", "image/png"),
        ("runs/a/outputs/data.csv.gz", "application/octet-stream"),
        ("runs/a/outputs/model", "application/octet-stream"),
    ],
)
def test_each_file_has_its_type(path: str, told: str, storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    storage.files().write("b", path, b"content")
    storage.files().copy("c", path, tmp_path / "source")

    url = storage.relay.container(storage.name)
    with ContainerClient.from_container_url(url) as client:
        for name in (f"b/{path}", f"c/{path}"):
            found = client.get_blob_client(name).get_blob_properties()
            assert found.content_settings.content_type == told


def test_a_file_that_is_sent_in_parts_is_there_when_all_are(
    storage: Storage, tmp_path: Path
) -> None:
    files, source = storage.files(), tmp_path / "model.bin"
    files.write("b", "model.bin", b"old")
    with source.open("wb") as content:
        content.truncate(BIG)
    storage.relay.die_after(5)
    with pytest.raises(Temporary):
        files.copy("b", "model.bin", source)
    storage.relay.revive()
    assert files.read("b", "model.bin") == b"old"

    storage.relay.fail("PUT b", "lost", times=2)
    files.copy("b", "model.bin", source)
    found = files.read("b", "model.bin", most=BIG)
    assert found is not None
    assert len(found) == BIG


def test_names_that_storage_would_change_are_kept_apart(storage: Storage, tmp_path: Path) -> None:
    files = storage.files()
    paths = ["runs/a/x\\y", "runs/a/x/y", "runs/a/end.", "runs/a/dots../z", "runs/a/% ?#&ü.txt"]
    for path in paths:
        files.write("b", path, path.encode())

    assert [files.read("b", path) for path in paths] == [path.encode() for path in paths]
    assert len(files.list("b", "runs/a")) == len(paths)
    assert {files.read("b", path) for path in files.list("b")} == {p.encode() for p in paths}


def test_where_they_are_is_told_without_the_right_to_them(storage: Storage) -> None:
    assert storage.files().location("b") == f"{storage.address.url}/b"


def test_a_file_that_is_gone_or_a_right_that_is_missing_is_told(
    storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(Temporary, match="cannot be read"):
        storage.files().copy("b", "log.txt", tmp_path / "missing")
    storage.relay.fail("PUT b", (403, "AuthorizationFailure"))
    with pytest.raises(UnfitHost, match="network rules"):
        storage.files().write("b", "log.txt", b"")


def test_what_does_not_fit_into_memory_is_sent_from_the_disk(storage: Storage) -> None:
    """And from there again, where the answer was lost."""
    files = storage.files()
    files.write("b", "report.html", b"made the container")
    storage.relay.fail("PUT b", "lost", times=2)

    files.write("b", "report.html", (bytes(1 << 20) for _ in range(65)))

    assert files.read("b", "report.html", most=BIG) == bytes(BIG)
    assert files.read("b", "report.html", most=BIG - 1) is None


def test_a_disk_without_room_for_a_scratch_file_can_be_mended(storage: Storage) -> None:
    storage.files().write("b", "report.html", b"old")
    with a_full_disk(), pytest.raises(Temporary, match="temporary file"):
        storage.files().write("b", "report.html", (bytes(1 << 18) for _ in range(8)))

    assert storage.files().read("b", "report.html") == b"old"
