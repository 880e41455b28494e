"""A store in a folder: it is one by its mark, no link leads out of it, and its disk may fail."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from handlers.models_handler import Answering, Folder, ModelStore
from handlers.models_handler.answering import THREAD
from handlers.models_handler.disk import Disk
from mlgate.orchestration.durable import Head
from mlgate.orchestration.errors import Permanent, Temporary, UnfitHost
from mlgate.orchestration.models import Entry
from tests.contract.handlers.models_handler.disks import Smb, Watched
from tests.contract.handlers.models_handler.places import OnDisk
from tests.contract.handlers.models_handler.some import (
    FILES,
    MODEL,
    append,
    entry_after,
    keep,
    manifest_for,
)

MARK = "mlgate-models.json"
ID = manifest_for(FILES).id
HOME = f"{MODEL}/versions/{ID}"
Share = Literal["folder", "share"]


@pytest.fixture(params=["folder", "share"])
def on_disk(request: pytest.FixtureRequest) -> OnDisk:
    found: OnDisk = request.getfixturevalue(request.param)
    found.root.mkdir()
    return found


@pytest.fixture
def store(on_disk: OnDisk) -> ModelStore:
    store = on_disk.open()
    store.init()
    return store


def refused(store: ModelStore, error: type[Exception], match: str, tmp_path: Path) -> None:
    acts = [
        store.models,
        lambda: store.head(MODEL),
        lambda: store.entry(MODEL, 1),
        lambda: list(store.log(MODEL)),
        lambda: store.append(entry_after(Head())),
        lambda: keep(store),
        lambda: store.versions(MODEL),
        lambda: store.manifest(MODEL, ID),
        lambda: store.missing(MODEL, ID),
        lambda: store.damaged(MODEL, ID),
        lambda: store.fetch(MODEL, ID, tmp_path / "fetched"),
        lambda: store.drop_files(MODEL, ID),
    ]
    for act in acts:
        with pytest.raises(error, match=match):
            act()


@pytest.mark.parametrize("there", [True, False])
def test_an_unmounted_share_is_no_empty_store(on_disk: OnDisk, tmp_path: Path, there: bool) -> None:
    if not there:
        on_disk.root.rmdir()
    began = time.monotonic()
    refused(
        on_disk.open(), UnfitHost, rf"no {on_disk.root}/{MARK}.*`mlgate models --init`", tmp_path
    )
    assert time.monotonic() - began < 5
    assert on_disk.root.exists() is there
    assert not there or not list(on_disk.root.iterdir())


def test_a_share_that_is_unmounted_later_is_noticed(store: ModelStore, on_disk: OnDisk) -> None:
    append(store)
    on_disk.root.rename(on_disk.root.with_name("elsewhere"))
    on_disk.root.mkdir()
    with pytest.raises(UnfitHost, match="is not mounted"):
        store.head(MODEL)


def test_another_store_at_the_same_place_is_noticed(store: ModelStore, on_disk: OnDisk) -> None:
    append(store, 3)
    on_disk.root.rename(on_disk.root.with_name("elsewhere"))
    on_disk.open().init()
    assert store.head(MODEL) == Head()
    assert append(store).number == 1


def begun(folder: Folder) -> Entry:
    """The first entry of a new store, written without a limit: a busy disk may need longer."""
    store = ModelStore(folder)
    store.init()
    return append(store)


def test_a_folder_that_hangs_is_an_error_in_time(tmp_path: Path) -> None:
    disk = Watched(Disk())
    root = tmp_path / "models"
    first = begun(Folder(root, disk=disk))
    store = ModelStore(Folder(root, disk=disk, limit=0.2))
    before = sorted(root.rglob("*"))
    disk.hangs = True
    began = time.monotonic()
    disk.asked.clear()
    refused(store, Temporary, f"{MARK} cannot be read.*`mlgate models --init`", tmp_path)
    assert time.monotonic() - began < 5
    assert disk.asked == {"open mark": 1}, "what hangs already is waited for"
    assert sorted(root.rglob("*")) == before

    disk.hangs = False
    disk.go_on.set()
    assert store.head(MODEL) == Head(first, 1)


def test_a_folder_that_hangs_once_its_mark_was_read_is_an_error_in_time(tmp_path: Path) -> None:
    class Gone(Watched):
        def _ask(self, call: str) -> None:
            if call != "open mark" and self.hangs:
                self.go_on.wait()

    disk = Gone(Disk())
    folder = Folder(tmp_path / "models", disk=disk)
    first = begun(folder)
    store = ModelStore(Answering(folder, limit=0.2))
    disk.hangs = True
    began = time.monotonic()
    with pytest.raises(Temporary, match="does not answer"):
        store.head(MODEL)
    assert time.monotonic() - began < 5
    with pytest.raises(Temporary, match="does not answer"):
        store.append(entry_after(Head(first, 1)))
    for _ in range(30):
        with pytest.raises(Temporary, match="does not answer"):
            store.head(MODEL)
    assert len([each for each in threading.enumerate() if each.name == THREAD]) <= 8

    disk.hangs = False
    disk.go_on.set()
    for each in threading.enumerate():
        if each.name == THREAD:
            each.join(5)
    assert store.head(MODEL).taken >= 1


def test_an_entry_that_was_written_too_slowly_is_none(tmp_path: Path) -> None:
    """Others have taken it for void meanwhile, and gone on."""

    class Slow(Smb):
        others: ModelStore | None = None

        def close(self, descriptor: int) -> None:
            others, self.others = self.others, None
            if others is not None and self.entry:
                time.sleep(0.3)
                assert others.append(entry_after(others.head(MODEL), "quick"))
            elif others is not None:
                self.others = others
            super().close(descriptor)

        entry = False

        def create(self, path: Path) -> int:
            self.entry = path.name == "00000002.json"
            return super().create(path)

    void_after = timedelta(seconds=0.2)
    disk, root = Slow(), tmp_path / "models"
    slow = ModelStore(Folder(root, disk=disk), void_after)
    slow.init()
    first = append(slow)
    disk.others = ModelStore(Folder(root, disk=Smb()), void_after)

    assert not slow.append(entry_after(Head(first, 1), "slow"))
    head = slow.head(MODEL)
    assert head.entry is not None
    assert (head.entry.number, head.entry.person) == (3, "quick")


def test_the_mark_is_looked_at_in_time_by_default(tmp_path: Path) -> None:
    disk = Watched(Disk())
    disk.hangs = True
    began = time.monotonic()
    with pytest.raises(Temporary, match=MARK):
        ModelStore(Folder(tmp_path, disk=disk)).head(MODEL)
    assert time.monotonic() - began < 5
    disk.go_on.set()


def test_an_embedded_store_makes_its_mark_with_the_first_write(on_disk: OnDisk) -> None:
    store = ModelStore(Folder(on_disk.root / "new", embedded=True, disk=on_disk.disk))
    assert store.head(MODEL) == Head()
    assert store.models() == store.versions(MODEL) == []
    assert not (on_disk.root / "new").exists()
    append(store)
    mark = json.loads((on_disk.root / "new" / MARK).read_bytes())
    assert mark == {"version": 1, "id": mark["id"]}
    append(store)
    assert json.loads((on_disk.root / "new" / MARK).read_bytes()) == mark


def test_init_changes_nothing_that_is_there(store: ModelStore, on_disk: OnDisk) -> None:
    append(store)
    before = {name: on_disk.get(name) for name in on_disk.names()}
    on_disk.open().init()
    assert {name: on_disk.get(name) for name in on_disk.names()} == before


def test_a_torn_mark_is_one_and_that_of_another_version_is_none(
    store: ModelStore, on_disk: OnDisk
) -> None:
    on_disk.put(MARK, b'{"vers')
    append(store)
    on_disk.put(MARK, b'{"version": 2}')
    with pytest.raises(UnfitHost, match="is of another version of mlgate"):
        store.head(MODEL)
    with pytest.raises(UnfitHost, match="is of another version of mlgate"):
        store.init()


def test_no_link_leads_out_of_a_store(store: ModelStore, on_disk: OnDisk, tmp_path: Path) -> None:
    keep(store)
    secret = tmp_path / "secret"
    secret.write_bytes(FILES["MLmodel"])
    planted = on_disk.root / HOME / "files/MLmodel"
    planted.unlink()
    planted.symlink_to(secret)
    assert store.damaged(MODEL, ID) == ["MLmodel"]
    with pytest.raises(Permanent, match="MLmodel has 0 bytes"):
        store.fetch(MODEL, ID, tmp_path / "fetched")
    with pytest.raises(Permanent, match="something else is where MLmodel belongs"):
        keep(store)
    assert not list((tmp_path / "fetched").rglob("*"))

    entry = entry_after(Head())
    (tmp_path / "entry").write_bytes(entry.content)
    (on_disk.root / MODEL / "log").mkdir()
    (on_disk.root / MODEL / "log/00000001.json").symlink_to(tmp_path / "entry")
    assert store.head(MODEL) == Head(None, 1)
    assert not store.append(entry_after(Head(), "Bob"))
    assert (tmp_path / "entry").read_bytes() == entry.content


@pytest.mark.parametrize("where", [MODEL, f"{MODEL}/log", f"{HOME}/files", f"{HOME}/files/data"])
def test_no_folder_of_a_store_is_a_link(
    store: ModelStore, on_disk: OnDisk, tmp_path: Path, where: str
) -> None:
    keep(store)
    append(store)
    outside = tmp_path / "outside"
    (on_disk.root / where).rename(outside)
    (on_disk.root / where).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    if where in (MODEL, f"{MODEL}/log"):
        for act in (lambda: store.head(MODEL), lambda: append(store)):
            with pytest.raises(Permanent, match="a symbolic link"):
                act()
    if where != f"{MODEL}/log":
        with pytest.raises(Permanent, match="a symbolic link"):
            store.fetch(MODEL, ID, tmp_path / "fetched")
        with pytest.raises(Permanent, match="a symbolic link"):
            keep(store)
        if where == f"{HOME}/files/data":
            store.drop_files(MODEL, ID)
        else:
            with pytest.raises(Permanent, match="a symbolic link"):
                store.drop_files(MODEL, ID)
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_has_no_content(
    store: ModelStore, on_disk: OnDisk, tmp_path: Path, make: object
) -> None:
    assert callable(make)
    keep(store)
    path = on_disk.root / HOME / "files/MLmodel"
    path.unlink()
    make(path)
    assert store.damaged(MODEL, ID) == ["MLmodel"]
    with pytest.raises(Permanent, match="MLmodel has 0 bytes"):
        store.fetch(MODEL, ID, tmp_path / "fetched")


@pytest.mark.parametrize("call", ["create", "write", "close"])
@pytest.mark.parametrize(
    ("number", "error", "says"),
    [
        (errno.ENOSPC, Temporary, "Free some space, or set MLGATE_MODELS"),
        (errno.EIO, Temporary, "Check its disk"),
        (errno.EACCES, UnfitHost, "Give this host's user permission"),
        (errno.EROFS, UnfitHost, "Give this host's user permission"),
    ],
)
def test_a_disk_that_fails_takes_nothing(
    store: ModelStore, on_disk: OnDisk, call: str, number: int, error: type[Exception], says: str
) -> None:
    entry = append(store)
    before = on_disk.names()
    watched = on_disk.watched[-1]
    watched.faults = {call: number}
    with pytest.raises(error, match=says):
        store.append(entry_after(Head(entry, 1)))
    with pytest.raises(error, match=says):
        keep(store)
    assert on_disk.names() == before
    watched.faults = {}
    append(store)
    keep(store)


def test_a_host_that_may_only_read_reads(
    store: ModelStore, on_disk: OnDisk, tmp_path: Path
) -> None:
    keep(store)
    first = append(store)
    on_disk.put(f"{MODEL}/log/00000002.json", b"{")
    on_disk.watched[-1].faults = dict.fromkeys(["create", "link", "rename", "unlink"], errno.EROFS)
    assert store.head(MODEL) == Head(first, 2)
    store.fetch(MODEL, ID, tmp_path / "fetched")
    assert store.models() == [MODEL]


def test_what_killed_processes_left_aside_goes_after_a_day(
    store: ModelStore, on_disk: OnDisk
) -> None:
    for name, hours in {".mlgate-old": 25, ".mlgate-new": 23, "other": 25}.items():
        on_disk.put(name, b"", age=hours * 3600)
    keep(store)
    left = {name for name in on_disk.names() if "/" not in name}
    assert left == {MARK, ".mlgate-new", "other"}


def test_a_share_is_written_although_what_it_has_is_read(share: OnDisk, tmp_path: Path) -> None:
    store = share.open()
    store.init()
    keep(store)
    entry = append(store)
    reading = [share.disk.open(share.root / name) for name in share.names()]
    keep(store)
    later = append(store, 2)
    assert store.head(MODEL) == Head(later, 3)
    with pytest.raises(Temporary, match="cannot be written"):
        store.drop_files(MODEL, ID)
    for descriptor in reading:
        assert descriptor is not None
        os.close(descriptor)
    store.drop_files(MODEL, ID)
    assert store.entry(MODEL, 1) == entry


def test_the_share_of_these_tests_is_one_by_smb(tmp_path: Path) -> None:
    smb = Smb()
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"1")
    with pytest.raises(OSError, match="not supported"):
        smb.link(tmp_path / "a", tmp_path / "c")
    descriptor = smb.open(tmp_path / "b")
    assert descriptor is not None
    with pytest.raises(OSError, match="busy"):
        smb.rename(tmp_path / "a", tmp_path / "b")
    os.close(descriptor)
    smb.rename(tmp_path / "a", tmp_path / "b")


def test_a_fetch_fills_an_empty_folder_and_no_other(store: ModelStore, tmp_path: Path) -> None:
    keep(store)
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched/MLmodel").write_bytes(b"mine")
    with pytest.raises(Permanent, match="MLmodel exists already"):
        store.fetch(MODEL, ID, tmp_path / "fetched")
    assert (tmp_path / "fetched/MLmodel").read_bytes() == b"mine"
