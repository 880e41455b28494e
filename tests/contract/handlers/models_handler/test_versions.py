"""A version's files: kept once, whole or not at all, and given back as they were."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.models_handler import ModelStore
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.models import Manifest, ModelFile
from tests.contract.handlers.models_handler.places import Place
from tests.contract.handlers.models_handler.some import FILES, MODEL, keep, manifest_for, parts_of

ID = manifest_for(FILES).id
HOME = f"{MODEL}/versions/{ID}"


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_version_is_given_back_as_it_was_kept(
    place: Place, store: ModelStore, tmp_path: Path
) -> None:
    assert keep(store) == ID
    other = place.open()

    assert place.get(f"{HOME}/manifest.json") == manifest_for(FILES).content
    assert place.get(f"{HOME}/files/data/model.bin") == FILES["data/model.bin"]
    assert other.versions(MODEL) == [ID]
    assert other.manifest(MODEL, ID) == manifest_for(FILES)
    assert other.missing(MODEL, ID) == other.damaged(MODEL, ID) == []
    other.fetch(MODEL, ID, tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == FILES


def test_nothing_is_there_before(store: ModelStore, tmp_path: Path) -> None:
    assert store.versions(MODEL) == []
    assert store.manifest(MODEL, ID) is None
    for act in (store.missing, store.damaged):
        with pytest.raises(Permanent, match=f"no version {ID} of churn in "):
            act(MODEL, ID)
    with pytest.raises(Permanent, match="no version"):
        store.fetch(MODEL, ID, tmp_path / "fetched")
    store.drop_files(MODEL, ID)


def test_keeping_it_again_copies_nothing(place: Place, store: ModelStore) -> None:
    keep(store)
    before = place.names()

    def parts(path: str) -> Iterable[bytes]:
        raise AssertionError(path)

    place.open().keep(MODEL, manifest_for(FILES), parts)
    assert place.names() == before


def test_a_copy_that_was_cut_short_goes_on(place: Place, store: ModelStore) -> None:
    asked: list[str] = []

    def dying(path: str) -> Iterator[bytes]:
        asked.append(path)
        yield FILES[path][:9]
        if path == "data/model.bin":
            raise OSError("the source is gone")
        yield FILES[path][9:]

    with pytest.raises(OSError, match="the source is gone"):
        store.keep(MODEL, manifest_for(FILES), dying)
    assert store.manifest(MODEL, ID) is None
    assert store.versions(MODEL) == []
    assert f"{HOME}/files/data/model.bin" not in place.names()
    done = asked[:-1]
    assert done

    def rest(path: str) -> Iterable[bytes]:
        assert path not in done
        return parts_of(FILES)(path)

    place.open().keep(MODEL, manifest_for(FILES), rest)
    assert store.damaged(MODEL, ID) == []


@pytest.mark.parametrize("wrong", [b"", b"short", FILES["MLmodel"][:-1] + b"x"])
def test_what_differs_from_its_hash_is_not_kept(
    place: Place, store: ModelStore, wrong: bytes
) -> None:
    with pytest.raises(Permanent, match=f"churn@{ID}: MLmodel has "):
        store.keep(MODEL, manifest_for(FILES), lambda _: [wrong])
    assert [name for name in place.names() if name.startswith(MODEL)] == []


def test_a_stream_without_end_is_cut(store: ModelStore) -> None:
    def endless(path: str) -> Iterator[bytes]:
        while True:
            yield b"x" * 1000

    with pytest.raises(Permanent, match="MLmodel has more than 12 bytes"):
        store.keep(MODEL, manifest_for(FILES), endless)


def test_two_that_keep_the_same_version_share_it(
    place: Place, request: pytest.FixtureRequest
) -> None:
    losing = request.node.callspec.params["place"] == "losing"
    errors: list[BaseException] = []
    ready = threading.Barrier(8)

    def run() -> None:
        store = place.open()
        ready.wait()
        try:
            try:
                keep(store)
            except Temporary:
                if not losing:
                    raise
                keep(store)  # several answers of one request were lost
        except BaseException as error:  # noqa: BLE001 -- shown below
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert place.open().damaged(MODEL, ID) == []
    assert [name for name in place.names() if ".mlgate-" in name] == []


def test_dropped_files_leave_the_manifest_and_can_be_kept_again(
    place: Place, store: ModelStore, tmp_path: Path
) -> None:
    keep(store)
    store.drop_files(MODEL, ID)
    place.open().drop_files(MODEL, ID)
    assert store.manifest(MODEL, ID) == manifest_for(FILES)
    assert store.versions(MODEL) == []
    assert store.missing(MODEL, ID) == store.damaged(MODEL, ID) == sorted(FILES)
    with pytest.raises(Permanent, match="MLmodel no longer exists"):
        store.fetch(MODEL, ID, tmp_path / "fetched")

    keep(store)
    assert store.damaged(MODEL, ID) == []


def test_what_is_damaged_is_named_never_fetched_and_mended_where_it_shows(
    place: Place, store: ModelStore, tmp_path: Path
) -> None:
    keep(store)
    content = FILES["data/model.bin"]
    place.put(f"{HOME}/files/data/model.bin", content[:-1] + b"X")
    place.put(f"{HOME}/files/MLmodel", b"longer than it was")
    assert store.damaged(MODEL, ID) == ["MLmodel", "data/model.bin"]
    assert store.missing(MODEL, ID) == ["MLmodel"]
    with pytest.raises(Permanent, match="MLmodel has more than 12 bytes"):
        store.fetch(MODEL, ID, tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == {}

    keep(store)
    assert store.damaged(MODEL, ID) == []


def test_a_torn_manifest_at_every_length_is_no_version_and_is_mended(
    place: Place, store: ModelStore
) -> None:
    keep(store)
    whole = manifest_for(FILES).content
    for length in range(0, len(whole), 1 if "container" not in place.where else 97):
        place.put(f"{HOME}/manifest.json", whole[:length])
        assert store.manifest(MODEL, ID) is None, length
    keep(store)
    assert place.get(f"{HOME}/manifest.json") == whole


def test_the_manifest_of_another_version_is_none(place: Place, store: ModelStore) -> None:
    other = keep(store, {"a": b"a"})
    content = place.get(f"{MODEL}/versions/{other}/manifest.json")
    assert content is not None
    place.put(f"{HOME}/manifest.json", content)
    assert store.manifest(MODEL, ID) is None
    place.put(f"{HOME}/manifest.json", manifest_for(FILES).content.replace(b"3.11.7", b"3.11.8"))
    assert store.manifest(MODEL, ID) is None


def test_files_have_any_name_that_a_folder_can_have(
    place: Place, store: ModelStore, tmp_path: Path
) -> None:
    files = dict.fromkeys(
        ["a b/é+&?#.txt", "dot./end.", "100%/%2E", "x\x01y", ".hidden", "q\"'<>|*:"], b"1"
    )
    version = keep(store, files)
    assert place.open().damaged(MODEL, version) == []
    store.fetch(MODEL, version, tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == files
    store.drop_files(MODEL, version)
    assert store.missing(MODEL, version) == sorted(files)


def file(path: str) -> ModelFile:
    return ModelFile(path, 1, hashlib.sha256(b"x").hexdigest())


@pytest.mark.parametrize(
    "paths",
    [["../x"], ["/x"], ["a/../../x"], ["."], ["a\\b"], ["a", "a"], ["a", "a/b"], ["\ud800"]],
    ids=str,
)
def test_a_manifest_that_leads_elsewhere_is_neither_kept_nor_fetched(
    place: Place, store: ModelStore, tmp_path: Path, paths: list[str]
) -> None:
    hostile = replace(manifest_for(FILES), files=tuple(file(path) for path in paths))
    before = place.names()
    with pytest.raises(Permanent, match="lists files that no folder can have"):
        store.keep(MODEL, hostile, lambda _: [b"x"])
    assert place.names() == before

    place.put(f"{MODEL}/versions/{hostile.id}/manifest.json", hostile.content)
    with pytest.raises(Permanent):
        store.fetch(MODEL, hostile.id, tmp_path / "deep/fetched")
    assert not list((tmp_path / "deep").rglob("*"))


def test_another_version_of_the_same_id_is_refused(place: Place, store: ModelStore) -> None:
    """Ids are cut; whoever makes two that agree so far is not given the other's files."""

    class Forged(Manifest):
        __slots__ = ()

        @property
        def id(self) -> str:
            return keep(store)

    forged = Forged(**{name: getattr(manifest_for({"a": b"a"}), name) for name in _FIELDS})
    with pytest.raises(Permanent, match="is another version of that id"):
        store.keep(MODEL, forged, lambda _: [b"a"])


_FIELDS = ("format", "path", "python", "platform", "distributions", "files")


def test_a_manifest_that_is_too_large_is_neither_kept_nor_read(
    place: Place, store: ModelStore
) -> None:
    huge = replace(manifest_for({"a": b"a"}), example="x" * (17 << 20))
    with pytest.raises(Permanent, match="17 MiB is too large"):
        store.keep(MODEL, huge, lambda _: [])
    place.put(f"{MODEL}/versions/{huge.id}/manifest.json", huge.content)
    assert store.manifest(MODEL, huge.id) is None


def test_a_large_file_comes_and_goes_in_parts(
    place: Place, store: ModelStore, tmp_path: Path
) -> None:
    """Of more than one piece, as a container has it, and not of whole ones."""
    content = bytes(range(256)) * (20_000_003 // 256)
    version = keep(store, {"large": content, "exact": content[: 8 << 20]})
    assert place.open().damaged(MODEL, version) == []
    store.fetch(MODEL, version, tmp_path / "fetched")
    assert (tmp_path / "fetched/large").read_bytes() == content

    place.put(f"{MODEL}/versions/{version}/files/large", content[:-1])
    keep(store, {"large": content, "exact": content[: 8 << 20]})
    assert store.damaged(MODEL, version) == []

    manifest = manifest_for({"large": content + b"1"})
    with pytest.raises(Permanent, match="large has the SHA-256"):
        store.keep(MODEL, manifest, lambda _: [content, b"2"])
    assert f"{MODEL}/versions/{manifest.id}/files/large" not in place.names()
